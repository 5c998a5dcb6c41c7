"""Contenders side by side: one table for the terminal and the page, and accuracy against latency."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Group
from rich.text import Text

from marey.report import plots, words
from marey.report.page import Markup, figure, join, table, tag

HEAD = ("", "top-1", "95%", "against the baseline, points", "95%", "shuffled costs, points", "parameters",
        "GMACs", "training", "ms a clip", "of that network")  # fmt: skip
NUMERIC = range(1, len(HEAD))

Models = Mapping[str, Mapping[str, Any]]


def rows(models: Models) -> list[list[str]]:
    """A row a contender, as HEAD names the columns; none of its numbers without a protocol."""
    found = []
    for name, metrics in models.items():
        if not words.protocol_line(metrics):
            found.append([name, *["–"] * (len(HEAD) - 1)])
            continue
        contest, model = metrics.get("contest") or {}, metrics.get("model") or {}
        shuffled = (metrics.get("audit") or {}).get("shuffled") or {}
        difference = contest.get("difference")
        found.append(
            [
                name,
                words.percent(metrics.get("top1")),
                words.interval((metrics.get("intervals") or {}).get("top1")),
                "baseline" if difference is None else words.points(difference, sign=True),
                words.points_interval(contest.get("difference_interval")),
                words.points(shuffled.get("cost")),
                words.count(model["parameters"]) if model.get("parameters") else "–",
                f"{model['gmacs']:.3g}" if model.get("gmacs") else "–",
                duration(contest.get("training_seconds")),
                _milliseconds(contest.get("clip_ms")),
                _milliseconds(contest.get("network_ms")),
            ]
        )
    return found


def duration(seconds: float | None) -> str:
    """ "45 s", "3.2 min", "1.5 h"."""
    if seconds is None:
        return "–"
    for limit, unit in ((3600, "h"), (60, "min")):
        if seconds >= limit:
            return f"{seconds / limit:.1f} {unit}"
    return f"{seconds:.0f} s"


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def contest_table(models: Models) -> Group:
    """The terminal's table, with each contender's sentence and the protocol below."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("")
    for title in ("top-1\n95%", "against the\nbaseline, points", "shuffled\ncosts, points", "parameters\nGMACs",
                  "training", "ms a clip\nnetwork"):  # fmt: skip
        shown.add_column(title, justify="right")
    for name, *cells in rows(models):  # two numbers that belong together stand one above the other
        top1, its, against, paired, shuffled, *cost, training, clip, network = cells
        pairs = ((top1, its), (against, paired), (shuffled,), cost, (training,), (clip, network))
        shown.add_row(Text(name), *("\n".join(x for x in pair if x != "–") or "–" for pair in pairs))
    below = [
        *sentences(models),
        *dict.fromkeys(filter(None, map(words.protocol_line, models.values()))),
        CLOCKS,
    ]
    return Group(Text("\nSide by side", style="bold"), shown, Text("\n".join(below), style="dim"))


CLOCKS = (
    "training: seconds spent on steps, all folds; ms a clip: median, one clip at a time from file to logits, "
    "the models in turns in one run"
)


def sentences(models: Models) -> list[str]:
    """What each comparison with the baseline says."""
    return [m["contest"]["sentence"] for m in models.values() if (m.get("contest") or {}).get("sentence")]


def section(models: Models, folder: Path) -> Markup:
    """The page's table, sentences and plot; nothing where the runs were not made as contenders."""
    if not any(metrics.get("contest") for metrics in models.values()):
        return Markup("")
    parts: list[object] = [table(HEAD, rows(models), numeric=NUMERIC), tag("p", f"{CLOCKS}.", class_="soft")]
    if said := sentences(models):
        parts.append(tag("ul", *(tag("li", sentence) for sentence in said)))
    if own := [
        (name, _settings(metrics["contest"].get("settings")))
        for name, metrics in models.items()
        if (metrics.get("contest") or {}).get("settings")
    ]:
        parts.append(table(("contender", "settings of its own"), own))
    if any((m.get("contest") or {}).get("clip_ms") for m in models.values()):
        plot = plots.save(latency(models), folder / "latency.png")
        about = (
            "Top-1 with its 95% interval against the milliseconds from file to logits, one clip at a time."
        )
        parts.append(figure(plot, "accuracy against latency", about))
    return join(parts)


def _settings(tree: Mapping[str, Any], prefix: str = "") -> str:
    parts = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            parts.append(_settings(value, f"{prefix}{key}."))
        else:
            shown = " ".join(map(str, value)) if isinstance(value, list | tuple) else value
            parts.append(f"{prefix}{key} {'none' if shown is None else shown}")
    return ", ".join(parts)


def latency(models: Models) -> Figure:
    """Accuracy against milliseconds a clip; up and to the left is better."""
    timed = {
        n: m
        for n, m in models.items()
        if (m.get("contest") or {}).get("clip_ms") and m.get("top1") is not None
    }
    drawn, (axis,) = plots._figure(plots.WIDTH, 3.4)
    names = plots._plain(list(timed), 28)
    span = [m["contest"]["clip_ms"] for m in timed.values()]
    place = {x: i for i, x in enumerate(sorted(span))}  # neighbours' names stand above and below in turn
    for number, (name, metrics) in enumerate(zip(names, timed.values(), strict=True)):
        x, y = metrics["contest"]["clip_ms"], 100 * metrics["top1"]
        low, high = (100 * v for v in (metrics.get("intervals") or {}).get("top1") or (metrics["top1"],) * 2)
        color = plots.SERIES[number % len(plots.SERIES)]
        axis.plot([x, x], [low, high], color=color, lw=1.6, alpha=0.6, solid_capstyle="round")
        axis.plot([x], [y], "o", color=color, ms=7, mec="white", mew=1.2, zorder=3)
        right = x > np.sqrt(min(span) * max(span))  # names of the slow ones stand to their left
        beside = (-7 if right else 7, -11 if place[x] % 2 else 4)
        axis.annotate(
            name, (x, y), xytext=beside, textcoords="offset points", fontsize=8,
            ha="right" if right else "left", color=plots.INK, bbox=plots._BEHIND,
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(min(span) / 1.6, max(span) * 1.6)
    ticks = [
        t
        for e in range(-1, 6)
        for t in (10**e, 2 * 10**e, 5 * 10**e)
        if min(span) / 1.6 <= t <= max(span) * 1.6
    ]
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.set_ylim(0, 100)
    chance = next((m["chance"] for m in timed.values() if m.get("chance")), None)
    if chance:
        axis.axhline(100 * chance, color=plots.INK, lw=0.9, ls=(0, (3, 3)))
    axis.set_xlabel("ms a clip, from file to logits", color=plots.SOFT, fontsize=8.5)
    axis.set_title("top-1, %", **plots._TITLE)
    axis.grid(color=plots.RULE, lw=0.8)
    return drawn
