"""`write_report`: one offline file that shows what a run is worth.

Nothing is fetched, nothing is executed: images are inlined, the style is inlined, there is no script. What the
run folder lacks is said to be lacking.
"""

from __future__ import annotations

import re
from pathlib import Path

from marey.errors import DataError
from marey.files import write_text
from marey.report import contest, localization, plots, sections, words
from marey.report.page import Markup, document, figure, join, note, table, tag
from marey.report.run import RunData, read_run


def write_report(run_dir: str | Path) -> Path:
    """Write `report.html` and `plots/*.png` from what the run folder holds.

    A folder whose metrics.json has "models" (name -> metrics) gives a comparison, with the sub-run folders of
    the same names beneath it; every other folder gives the report of one run.

    Args:
        run_dir: the run folder.

    Returns:
        The path of report.html.

    Raises:
        DataError: there is no such folder, or nothing in it to report.
    """
    run = read_run(run_dir)
    if not run.metrics and not run.results:
        raise DataError(
            "there is nothing to report: neither metrics.json nor results.csv can be read here.",
            *run.notes,
            where=str(run_dir),
        )
    if run.models:
        title, body = f"Comparison · {run.name}", _comparison(run)
    elif run.metrics.get("task") in localization.TASKS:
        title = f"{run.name} · {_model_name(run)}"
        body = join([_kicker(run), tag("h1", _model_name(run)), localization.body(run), _footer(run)])
    else:
        title, body = f"{run.name} · {_model_name(run)}", _single(run)
    path = run.folder / "report.html"
    write_text(path, document(title, body))
    return path


def _model_name(run: RunData) -> str:
    return words.model_line(run.metrics).split(" · ")[0]


def _kicker(run: RunData) -> Markup:
    verb = run.folder.resolve().parent.name
    return tag("div", f"marey · {verb} · {run.name}", class_="kicker")


def _footer(run: RunData) -> Markup:
    version = run.metrics.get("marey")
    made = f"Made by marey {version}. " if version else "Made by marey. "
    return tag("footer", made + "Every share is in percent; every interval is a 95% interval.")


def _parts(run: RunData, plot_folder: Path, *, quoted: bool) -> list[tuple[str, str, Markup]]:
    """(anchor, title, content) of every section of one run; `quoted`: the audit's sentence stands in it."""
    metrics = run.metrics
    return [
        ("audit", "Does it use time?", sections.audit(metrics, plot_folder, quoted=quoted)),
        *(
            [("branches", "What each branch knows", sections.branches(metrics))]
            if metrics.get("branches")
            else []
        ),
        ("curves", "Training", sections.curves(run, plot_folder)),
        ("confusion", "Confusion", sections.confusion(metrics, plot_folder)),
        ("calibration", "Calibration", sections.calibration(metrics, plot_folder)),
        ("classes", "Classes", sections.classes(metrics, plot_folder)),
        ("mistakes", "Worst mistakes", sections.mistakes(run)),
        ("failures", "Failures", sections.failures(metrics)),
        ("protocol", "Protocol", sections.protocol(metrics)),
        ("setting", "How it was made", sections.setting(run)),
    ]


def _missing(run: RunData) -> Markup:
    return note("Not in this report: ", "; ".join(run.notes), ".") if run.notes else Markup("")


def _single(run: RunData) -> Markup:
    parts = _parts(run, run.folder / "plots", quoted=False)
    sentence = (run.metrics.get("audit") or {}).get("sentence")
    return join(
        [
            _kicker(run),
            tag("h1", _model_name(run)),
            tag("p", words.model_line(run.metrics), class_="soft"),
            sections.numbers(run.metrics),
            sections.logistic(run.metrics),
            tag("p", sentence, class_="quote") if sentence else "",
            _missing(run),
            tag("nav", *(tag("a", title, href=f"#{anchor}") for anchor, title, _ in parts)),
            *(tag("section", tag("h2", title), content, id=anchor) for anchor, title, content in parts),
            _footer(run),
        ]
    )


def _comparison(run: RunData) -> Markup:
    models = run.models
    slugs = {
        name: f"model-{i}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"
        for i, name in enumerate(models)
    }
    folder = run.folder / "plots"
    chart = plots.save(plots.comparison(models), folder / "comparison.png")
    audits = {name: metrics["audit"] for name, metrics in models.items() if metrics.get("audit")}
    conclusion = run.metrics.get("conclusion")
    lines = dict.fromkeys(words.protocol_line(metrics) for metrics in models.values())
    parts: list[object] = [
        _kicker(run),
        tag("h1", " against ".join(models) if len(models) < 4 else f"{len(models)} models"),
        tag("p", conclusion, class_="quote") if conclusion else note("metrics.json holds no conclusion."),
        tag("nav", *(tag("a", name, href=f"#{slugs[name]}") for name in models)),
        tag("h2", "Side by side", id="comparison"),
        *(tag("p", line, class_="soft") for line in lines if line),
        contest.section(models, folder),
        _side_by_side(models, slugs),
        figure(chart, "accuracy of each model", "Dots with their 95% intervals; the dashed line is chance."),
        tag("h2", "Do they use time?", id="audits"),
    ]
    if audits:
        plot = plots.save(plots.audit_bars(audits), folder / "audits.png")
        about = "Top-1 on the same clips, disturbed in time only; lines are 95% intervals."
        parts.append(figure(plot, "the temporal audit of each model", about))
        rows = [(tag("td", name, class_="name"), audit.get("sentence", "")) for name, audit in audits.items()]
        parts.append(table(("model", "what follows"), rows))
    else:
        parts.append(note("No temporal audit was made."))
    for name, metrics in models.items():
        parts.append(_model_section(run, name, metrics, slugs[name]))
    if run.command:
        parts += [tag("h2", "Command"), tag("pre", run.command, class_="command")]
    parts.append(_footer(run))
    return join(parts)


def _side_by_side(models: dict[str, dict[str, object]], slugs: dict[str, str]) -> Markup:
    """The table of all models; a model without a protocol shows no numbers."""
    keys = [k for k in words.METRIC_NAMES if any(m.get(k) is not None for m in models.values())]
    keys = [k for k in keys if k != "ece_before_calibration"]
    head = ["", *models]
    rows: list[list[object]] = [
        [title, *(_cost(metrics, key) for metrics in models.values())]
        for key, title in (("parameters", "parameters"), ("gmacs", "GMACs a clip"))
    ]
    for key in [*keys, "chance"]:
        row: list[object] = [words.METRIC_NAMES.get(key, key)]
        for metrics in models.values():
            value = metrics.get(key) if words.protocol_line(metrics) else None
            intervals = metrics.get("intervals")
            pair = intervals.get(key) if isinstance(intervals, dict) else None
            shown: list[object] = [words.percent(value) if isinstance(value, int | float) else "–"]
            if pair and isinstance(value, int | float):
                shown.append(tag("small", words.interval(pair)))
            row.append(join(shown, " "))
        rows.append(row)
    rows.append(["samples", *(str(metrics.get("n", "–")) for metrics in models.values())])
    rows.append(["more", *(tag("a", "its own section", href=f"#{slug}") for slug in slugs.values())])
    return table(head, rows, numeric=range(1, len(head)))


def _cost(metrics: dict[str, object], key: str) -> str:
    model = metrics.get("model")
    value = model.get(key) if isinstance(model, dict) else None
    return words.count(value) if isinstance(value, int | float) else "–"


def _model_section(run: RunData, name: str, metrics: dict[str, object], slug: str) -> Markup:
    # The name may be anything; only a plain one can be a folder beneath this one.
    beneath = run.folder / name if Path(name).name == name and name not in (".", "..") else run.folder / slug
    sub = read_run(beneath, metrics=metrics)
    plot_folder = beneath / "plots" if beneath.is_dir() else run.folder / "plots" / slug
    parts = _parts(sub, plot_folder, quoted=True)
    links = (tag("a", title, href=f"#{slug}-{anchor}") for anchor, title, _ in parts)
    return tag(
        "section",
        tag("h2", name),
        tag("p", words.model_line(metrics), class_="soft"),
        sections.numbers(metrics),
        _missing(sub),
        tag("nav", *links, tag("a", "back to the comparison", href="#comparison")),
        *(
            tag("section", tag("h3", title), content, id=f"{slug}-{anchor}")
            for anchor, title, content in parts
        ),
        class_="model",
        id=slug,
    )
