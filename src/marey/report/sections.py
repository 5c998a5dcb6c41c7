"""The sections of a run's report. Each gives its HTML, and says so where the run folder lacks what it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from marey.report import plots, strips, words
from marey.report.page import Markup, cell, facts, figure, image, join, note, table, tag
from marey.report.run import RunData
from marey.report.text import logistic_line

MAX_FAILURES = 200


def numbers(metrics: Mapping[str, Any]) -> Markup:
    """The headline: the number the run is judged by, large, and the others beside it; none without a protocol."""
    if not words.protocol_line(metrics):
        return note(f"{words.NO_PROTOCOL[0].upper()}{words.NO_PROTOCOL[1:]}.")
    first = words.headline_metric(metrics)
    intervals = metrics.get("intervals") or {}
    keys = [
        first,
        *(k for k in ("top1", "top5", "mean_class_accuracy", "macro_f1", "map", "ece") if k != first),
    ]
    shown = []
    for key in keys:
        value = metrics.get(key)
        if value is None:
            continue
        pair = intervals.get(key)
        shown.append(
            tag(
                "div",
                tag("div", words.percent(value), class_="big" if key == first else "value"),
                tag("div", words.METRIC_NAMES[key], class_="name"),
                tag("div", f"95% {words.interval(pair)}" if pair else "no interval", class_="name"),
            )
        )
    chance = []
    if metrics.get("chance") is not None:
        chance.append(f"chance {words.percent(metrics['chance'])}")
    if metrics.get("majority") is not None:
        chance.append(f"most frequent class alone {words.percent(metrics['majority'])}")
    line = " · ".join([words.protocol_line(metrics), *chance])
    return join([tag("div", *shown, class_="numbers"), tag("p", line, class_="soft")])


def logistic(metrics: Mapping[str, Any]) -> Markup:
    """One line under the numbers of a head on features: what a logistic regression makes of them."""
    return tag("p", logistic_line(metrics), class_="soft") if metrics.get("logistic") else Markup("")


def audit(metrics: Mapping[str, Any], folder: Path, *, quoted: bool = True) -> Markup:
    entry = metrics.get("audit")
    if not entry:
        return note("No temporal audit was made of this run, so whether it uses time is not known.")
    plot = plots.save(plots.audit_bars({"model": entry}), folder / "audit.png")
    rows = []
    for key, name in words.CONDITION_NAMES.items():
        row = entry.get(key)
        if row:
            cost = (words.points(row.get("cost")), words.points_interval(row.get("cost_interval")))
            rows.append((name, words.percent(row["top1"]), words.interval(row["interval"]), *cost))
    about = (
        f"Top-1 on the same {entry['n']} clips, disturbed in time only; lines are intervals "
        f"({entry.get('interval_method', 'method not recorded')}). Cost is the paired difference to the clips in "
        "order, in percentage points."
    )
    return join(
        [
            tag("p", entry.get("sentence", ""), class_="quote") if quoted else "",
            figure(plot, "top-1 in order, shuffled, reversed and frozen", about),
            table(("the same clips", "top-1", "95%", "cost, points", "95%"), rows, numeric=(1, 2, 3, 4)),
        ]
    )


def branches(metrics: Mapping[str, Any]) -> Markup:
    found = metrics["branches"]
    keys = [k for k in ("top1", "map", "mean_class_accuracy", "macro_f1") if k in found["fusion"]]
    rows = []
    for name, entry in found.items():
        cells: list[object] = [cell(words.BRANCH_NAMES.get(name, name), class_="name")]
        for key in keys:
            pair = (entry.get("intervals") or {}).get(key)
            small = tag("small", words.interval(pair)) if pair else ""
            cells.append(join([words.percent(entry.get(key)), small], " "))
        rows.append(cells)
    about = "The same model on the same clips: what each branch would answer by itself, and both together."
    head = ("", *(words.METRIC_NAMES[key] for key in keys))
    return join([table(head, rows, numeric=range(1, len(head))), tag("p", about, class_="soft")])


def curves(run: RunData, folder: Path) -> Markup:
    if not run.results:
        return note("There are no training curves: results.csv is not here or holds no epoch.")
    plot = plots.save(plots.training_curves(run.results), folder / "curves.png")
    last = run.results[-1]
    about = f"{len(run.results)} epochs"
    if last.get("clips_per_s"):
        about += f"; the last at {last['clips_per_s']:.0f} clips a second"
    measure = "mAP" if any(row.get("val_map") is not None for row in run.results) else "top-1"
    return figure(plot, f"loss and {measure} over epochs", about + ".")


def confusion(metrics: Mapping[str, Any], folder: Path) -> Markup:
    counts, names = metrics.get("confusion"), metrics.get("class_names")
    if not counts or not names:
        why = (
            "multi-label answers do not exclude each other"
            if metrics.get("task") == "multi-label"
            else "not recorded"
        )
        return note(f"There is no confusion matrix: {why}.")
    k = len(names)
    plot = plots.save(plots.confusion(counts, names), folder / "confusion.png")
    matrix = np.asarray(counts, dtype=float)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(matrix, 0)
    most = np.argsort(-matrix, axis=None, kind="stable")[:10]
    pairs = [(i, j) for i, j in zip(*np.unravel_index(most, matrix.shape), strict=True) if matrix[i, j] > 0]
    rows = [
        (
            cell(_numbered(names, i, k), class_="name"),
            cell(_numbered(names, j, k), class_="name"),
            f"{matrix[i, j]:.0f}",
            words.percent(share[i, j]),
        )
        for i, j in pairs
    ]
    shown = (
        table(("true", "answered", "times", "of the class"), rows, numeric=(2, 3))
        if rows
        else note("No mistakes.")
    )
    about = "Rows are the truth, columns the answer; the shade is the share of the row."
    if k > plots.MAX_NAMED:
        about += f" {k} classes carry numbers; their names stand in the table of classes."
    picture = figure(plot, "confusion matrix", about)
    beside = join([tag("h3", "Most frequent confusions"), shown])
    return (
        tag("div", picture, tag("div", beside), class_="pair")
        if k <= plots.MAX_COUNTED
        else join([picture, beside])
    )


def _numbered(names: list[str], i: int, k: int) -> str:
    return f"{names[i]}" if k <= plots.MAX_NAMED else f"{i} · {names[i]}"


def calibration(metrics: Mapping[str, Any], folder: Path) -> Markup:
    curve = metrics.get("reliability")
    if not curve:
        return note("There is no reliability diagram: metrics.json has no bins.")
    plot = plots.save(plots.reliability(curve, ece=metrics.get("ece")), folder / "reliability.png")
    intervals = metrics.get("intervals") or {}
    definition = (metrics.get("definitions") or {}).get("ece", "expected calibration error")
    temperature = metrics.get("temperature")
    beside = [
        facts(
            [
                ("ECE", f"{words.percent(metrics.get('ece'))} (95% {words.interval(intervals.get('ece'))})"),
                (
                    "before calibration",
                    f"{words.percent(metrics.get('ece_before_calibration'))} "
                    f"(95% {words.interval(intervals.get('ece_before_calibration'))})",
                ),
                ("temperature", "–" if temperature is None else f"{temperature:.3g}"),
            ]
        ),
        tag("p", f"The ECE is the {definition}. Few samples raise it.", class_="soft"),
        tag("p", "A temperature above 1 means that the model was too sure of itself.", class_="soft"),
    ]
    return tag("div", figure(plot, "reliability diagram"), tag("div", *beside), class_="pair")


def classes(metrics: Mapping[str, Any], folder: Path) -> Markup:
    rows = metrics.get("per_class") or []
    if not rows:
        return note("There is no table of classes: metrics.json has none.")
    many = len(rows) > 12
    number = {id(row): i for i, row in enumerate(rows)}
    ordered = sorted(rows, key=lambda row: (row.get("f1") is None, row.get("f1") or 0)) if many else rows
    shown = []
    for row in ordered:
        name = f"{number[id(row)]} · {row['class']}" if len(rows) > plots.MAX_NAMED else row["class"]
        cells: list[object] = [cell(name, class_="name"), str(row["n"])]
        for key in ("precision", "recall", "f1", "ap"):
            value, pair = row.get(key), row.get(f"{key}_interval")
            label = join([words.percent(value), tag("small", words.interval(pair)) if pair else ""], " ")
            cells.append(cell(label, numeric=True, bar=value if key == "f1" and value is not None else None))
        shown.append(cells)
    plot = plots.save(plots.class_bars(rows), folder / "classes.png")
    about = (
        "AP is average precision. Small: 95% intervals. A dash: undefined, since no sample has the class or none "
        "was given it."
    )
    if many:
        about += " Lowest F1 first."
    head = ("class", "samples", "precision", "recall", "F1", "AP")
    return join(
        [
            table(head, shown, numeric=(1, 2, 3, 4, 5), tall=len(rows) > 25),
            tag("p", about, class_="soft"),
            figure(plot, "F1 by class", "F1 with 95% intervals; in brackets the number of samples."),
        ]
    )


def mistakes(run: RunData) -> Markup:
    if run.wrong is None:
        return note("There are no film strips: predictions.csv is not here.")
    if not run.mistakes:
        return tag("p", f"None: all {run.predictions} predictions are right.")
    sampler = strips.run_sampler(run.folder, run.metrics)
    parts: list[Markup] = [
        tag(
            "p",
            f"The {len(run.mistakes)} most confident of {run.wrong} wrong answers to {run.predictions} samples.",
        )
    ]
    for mistake in run.mistakes:
        picture, error = strips.strip_or_placeholder(
            _where(mistake.path, run), start=mistake.start, end=mistake.end, sampler=sampler
        )
        stretch = ""
        if mistake.start is not None and mistake.end is not None:
            stretch = f" · {mistake.start:.2f}–{mistake.end:.2f} s"
        path = Path(mistake.path)
        details = [tag("strong", path.name), f" · {path.parent}" if str(path.parent) != "." else "", stretch]
        details += [f" · group {mistake.group}" if mistake.group else ""]
        truth = mistake.probability_of_truth
        parts.append(
            tag(
                "div",
                tag(
                    "p",
                    "answered ",
                    tag("span", mistake.predicted, class_="wrong"),
                    f" at {words.percent(mistake.score)}, is ",
                    tag("span", mistake.label, class_="right"),
                    f" ({words.percent(truth)})" if truth is not None else "",
                ),
                image(strips.jpeg(picture), "jpeg", error or f"frames of {path.name}"),
                tag("p", *details, class_="soft"),
                class_="mistake",
            )
        )
    return join(parts)


def _where(path: str, run: RunData) -> Path:
    """The file of a sample; a relative path is looked for here, in the run folder, and beside the manifest."""
    given = Path(path)
    if given.is_absolute() or given.exists():
        return given
    places = [run.folder]
    manifest = run.metrics.get("data") or _data_of(run.config)
    if manifest:
        places += [Path(manifest), Path(manifest).parent]
    return next((place / given for place in places if (place / given).exists()), given)


def _data_of(config: str) -> str | None:
    import yaml

    try:
        found = yaml.safe_load(config) if config else None
    except yaml.YAMLError:
        return None
    data = found.get("data") if isinstance(found, dict) else None
    return data if isinstance(data, str) else None


def failures(metrics: Mapping[str, Any]) -> Markup:
    failed = metrics.get("failures") or []
    if not failed:
        return tag("p", "None: every sample could be read.")
    rows = [
        (
            cell(f.get("path", ""), class_="name"),
            str(f.get("id", "")),
            cell(f.get("error", ""), class_="name"),
        )
        for f in failed[:MAX_FAILURES]
    ]
    more = f" The first {MAX_FAILURES} are listed." if len(failed) > MAX_FAILURES else ""
    said = f"{len(failed)} samples could not be read and are in none of the numbers above; none was replaced.{more}"
    return join([tag("p", said), table(("file", "sample", "what was wrong"), rows)])


def protocol(metrics: Mapping[str, Any]) -> Markup:
    parts = words.protocol_parts(metrics)
    if not parts:
        return note(f"{words.NO_PROTOCOL[0].upper()}{words.NO_PROTOCOL[1:]}.")
    rows: list[tuple[object, object]] = [
        *parts,
        ("intervals", metrics.get("interval_method") or "not recorded"),
    ]
    for key, said in (metrics.get("definitions") or {}).items():
        rows.append((words.METRIC_NAMES.get(key, key), said))
    return facts(rows)


def setting(run: RunData) -> Markup:
    parts = [
        tag("h3", "Command"),
        tag("pre", run.command, class_="command") if run.command else note("command.txt is not here."),
        tag("h3", "Configuration"),
    ]
    if run.config:
        parts.append(tag("details", tag("summary", "config.yaml"), tag("pre", run.config.rstrip())))
    else:
        parts.append(note("config.yaml is not here."))
    parts.append(tag("h3", "Environment"))
    if run.environment:
        written = json.dumps(run.environment, indent=2, ensure_ascii=False)
        parts.append(tag("details", tag("summary", "environment.json"), tag("pre", written)))
    else:
        parts.append(note("environment.json is not here."))
    return join(parts)
