"""The report of a run that localizes: what was found when, how well by which evaluator, and what the errors are."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from marey.report import plots, sections, timelines, words
from marey.report.page import Markup, cell, figure, join, note, table, tag
from marey.report.run import RunData
from marey.types import Segment

TASKS = ("localize", "dense")
MAX_VIDEOS = 6


def body(run: RunData) -> Markup:
    """Everything between the title and the footer."""
    metrics, folder = run.metrics, run.folder / "plots"
    parts = [
        ("timelines", "What happens when", _timelines(run, folder)),
        ("evaluators", "How well, by which evaluator", _evaluators(metrics, folder)),
        ("threshold", "Which score to act on", _threshold(metrics, folder)),
        ("dense", "Every moment's label", _dense(metrics)),
        ("classes", "Classes", _classes(metrics)),
        ("errors", "What the false positives are", _errors(metrics)),
        ("curves", "Training", sections.curves(run, folder) if run.results else Markup("")),
        ("protocol", "Protocol", sections.protocol(metrics)),
        ("setting", "How it was made", sections.setting(run)),
    ]
    shown = [(anchor, title, content) for anchor, title, content in parts if content]
    return join(
        [
            tag("p", words.model_line(metrics), class_="soft"),
            _headline(metrics),
            tag("nav", *(tag("a", title, href=f"#{anchor}") for anchor, title, _ in shown)),
            *(tag("section", tag("h2", title), content, id=anchor) for anchor, title, content in shown),
        ]
    )


def _headline(metrics: dict[str, Any]) -> Markup:
    line = words.protocol_line(metrics)
    if not line:
        return note(f"{words.NO_PROTOCOL[0].upper()}{words.NO_PROTOCOL[1:]}.")
    pair = (metrics.get("intervals") or {}).get("map")
    shown = [
        tag(
            "div",
            tag("div", words.percent(metrics.get("map")), class_="big"),
            tag("div", "average mAP, tIoU 0.3:0.1:0.7, ActivityNet's rule", class_="name"),
            tag("div", f"95% {words.interval(pair)}" if pair else "no interval", class_="name"),
        )
    ]
    dense = (metrics.get("segmentation") or {}).get("ms-tcn")
    if dense:
        shown += [
            tag("div", tag("div", words.percent(value), class_="value"), tag("div", name, class_="name"))
            for name, value in (
                ("F1@50 (MS-TCN)", dense["f1"]["50"]),
                ("edit score", dense["edit"]),
                ("frame accuracy", dense["frame_accuracy"]),
            )
        ]
    return join([tag("div", *shown, class_="numbers"), tag("p", line, class_="soft")])


def _timelines(run: RunData, folder: Path) -> Markup:
    path = run.folder / "segments.csv"
    if not path.is_file():
        return note("segments.csv is not here, so no timeline can be drawn.")
    videos: dict[str, dict[str, list[Segment]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            score = float(row["score"]) if row["score"] else None
            segment = Segment(float(row["start"]), float(row["end"]), row["label"], score)
            videos.setdefault(row["path"], {"true": [], "predicted": []})[row["kind"]].append(segment)
    with_truth = [path for path, kinds in videos.items() if kinds["true"]] or list(videos)
    figures = []
    for number, video in enumerate(with_truth[:MAX_VIDEOS]):
        kinds = videos[video]
        every = [*kinds["true"], *kinds["predicted"]]
        first, end = min(s.start for s in every), max(s.end for s in every)
        start = 0.0 if first < end - first else first  # the clock of a recording need not begin at 0
        drawn = timelines.timeline(
            kinds["predicted"], kinds["true"], start=start, end=end, title=Path(video).name
        )
        saved = plots.save(drawn, folder / f"timeline-{number + 1}.png")
        figures.append(figure(saved, f"timeline of {Path(video).name}"))
    about = (
        f"The first {len(figures)} of {len(with_truth)} videos with annotations: above in each lane what is true, "
        "below what was predicted, the more solid the higher its score."
    )
    return join([tag("p", about, class_="soft"), *figures])


def _evaluators(metrics: dict[str, Any], folder: Path) -> Markup:
    found = {k: v for k, v in (metrics.get("evaluators") or {}).items() if "map" in v}
    if not found:
        return note("No evaluator's result was recorded.")
    plot = plots.save(timelines.recall_curves(found), folder / "map.png")
    rows = [
        (
            cell(name, class_="name"),
            result["evaluator"],
            words.percent(result["average_map"]),
            "  ".join(
                f"{t:g}: {100 * x:.1f}" for t, x in zip(result["thresholds"], result["map"], strict=True)
            ),
        )
        for name, result in found.items()
    ]
    proposals = metrics["evaluators"].get("proposals")
    lines = [table(("thresholds", "evaluator", "average mAP", "mAP at each tIoU, %"), rows, numeric=(2,))]
    if proposals:
        lines.append(
            tag(
                "p",
                f"{proposals['evaluator']}: area under average recall {words.percent(proposals['auc'])} up to "
                f"{proposals['proposals_per_video'][-1]:.0f} proposals a video.",
                class_="soft",
            )
        )
    return join(
        [figure(plot, "mAP over tIoU thresholds", "Evaluators disagree: each stands under its name."), *lines]
    )


def _threshold(metrics: dict[str, Any], folder: Path) -> Markup:
    curve = metrics.get("score_curve")
    if not curve:
        return Markup("")
    best = max(curve, key=lambda point: point["f1"])
    plot = plots.save(timelines.score_choice(curve, metrics.get("score_tiou", 0.5)), folder / "scores.png")
    about = (
        f"F1 is highest, {words.percent(best['f1'])}, when predictions count from a score of {best['score']:.2f} on: "
        f"precision {words.percent(best['precision'])}, recall {words.percent(best['recall'])}."
    )
    return figure(plot, "precision and recall over scores", about)


def _dense(metrics: dict[str, Any]) -> Markup:
    found = metrics.get("segmentation")
    if not found:
        return Markup("")
    rows = [
        (
            cell(result["evaluator"], class_="name"),
            words.percent(result["frame_accuracy"]),
            words.percent(result["edit"]),
            *(words.percent(result["f1"][k]) for k in ("10", "25", "50")),
        )
        for result in found.values()
    ]
    return table(("evaluator", "frames", "edit", "F1@10", "F1@25", "F1@50"), rows, numeric=range(1, 6))


def _classes(metrics: dict[str, Any]) -> Markup:
    result = (metrics.get("evaluators") or {}).get("activitynet 0.3:0.1:0.7")
    if not result:
        return Markup("")
    at = result["thresholds"]
    ordered = sorted(result["per_class"].items(), key=lambda item: item[1]["average"])
    rows = [
        (
            cell(name, class_="name"),
            entry["n"],
            words.percent(entry["average"]),
            *(words.percent(x) for x in entry["ap"]),
        )
        for name, entry in ordered
    ]
    head = ("class, worst first", "annotated", "AP, averaged", *(f"tIoU {t:g}" for t in at))
    tall = len(rows) > 30
    parts = [table(head, rows, numeric=range(1, len(head)), tall=tall)]
    choice = metrics.get("class_choice")
    if choice:
        told = [
            (
                cell(name, class_="name"),
                entry["n"],
                entry["said"],
                entry["right"],
                words.percent(entry["precision"] if entry["said"] else None),
                *(words.percent(entry[key]) for key in ("recall", "f1")),
            )
            for name, _ in ordered
            if (entry := choice["classes"].get(name))
        ]
        about = (
            f"What each class's predictions are worth from the score {choice['score']:.2f} on, where F1 over all "
            f"classes is highest on these very videos; one is right from tIoU {metrics.get('score_tiou', 0.5):g} on."
        )
        head = ("class", "annotated", "predicted", "right", "precision", "recall", "F1")
        parts += [tag("p", about, class_="soft"), table(head, told, numeric=range(1, 7), tall=tall)]
    return join(parts)


def _errors(metrics: dict[str, Any]) -> Markup:
    result = (metrics.get("evaluators") or {}).get("false_positives")
    if not result:
        return Markup("")
    rows = [
        (f"{i + 1}G", *(f"{100 * x:.0f}%" for x in shares))
        for i, shares in enumerate(result["shares"])
        if sum(result["counts"][i])
    ]
    about = (
        "The best predictions of each class, as many as it has ground truths (1G), then as many again, and so on; "
        "each by what it is."
    )
    return join([tag("p", about, class_="soft"), table(("", *result["kinds"]), rows, numeric=range(1, 7))])
