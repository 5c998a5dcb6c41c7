"""The figures of a report: matplotlib's object interface alone, so nothing global is touched and threads are safe.

Every function gives a `Figure`; `save` writes it. Shares are drawn in percent, intervals are the 95% ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from marey.report import words

INK, SOFT, FAINT, RULE = "#23262b", "#767b82", "#d9dbde", "#eceded"
ACCENT, COOL = "#b8452f", "#2f5d7c"
SERIES = (ACCENT, COOL, "#8a8f45", "#7a5a8c", "#c58a2b", "#4f8f83")
HEAT = LinearSegmentedColormap.from_list("marey", ["#fbfaf8", "#e9c9bb", "#c8694f", "#7d2416"])
DPI = 160
WIDTH = 5.4  # inches: 864 pixels, so that text is still read on a phone

MAX_BARS = 30
MAX_NAMED, MAX_COUNTED = 40, 12  # classes of a confusion matrix with names, and with numbers in the cells


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # A class name in a script that the font lacks becomes boxes here; the page's tables have it right.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasAgg(figure).print_png(str(path))
    return path


def training_curves(rows: Sequence[Mapping[str, float | None]]) -> Figure:
    """Loss, and top-1 or mAP where it was recorded, over epochs, training against validation.

    Args:
        rows: of results.csv; None where a value is empty. With a column "fold", one line a fold.
    """
    kinds = [("loss", 1)]
    for what in ("top1", "map"):  # of a classifier; of a localizer
        if any(row.get(f"{part}_{what}") is not None for row in rows for part in ("train", "val")):
            kinds.append((what, 100))
    figure, axes = _figure(WIDTH, 2.7, columns=len(kinds))
    folds = sorted({row.get("fold") or 0 for row in rows})
    for axis, (what, scale) in zip(axes, kinds, strict=True):
        for part, color in (("train", COOL), ("val", ACCENT)):
            label: str | None = {"train": "training", "val": "validation"}[part]
            for fold in folds:
                drawn = [
                    (row["epoch"], scale * value)
                    for row in rows
                    if (row.get("fold") or 0) == fold
                    and row.get("epoch") is not None
                    and (value := row.get(f"{part}_{what}")) is not None
                    and np.isfinite(value)
                ]
                if drawn:
                    marker = "o" if len(drawn) < 30 else None
                    thin = 1.6 if len(folds) == 1 else 0.9
                    x, y = zip(*drawn, strict=True)
                    axis.plot(x, y, color=color, lw=thin, marker=marker, ms=3, label=label, clip_on=False)
                    label = None
        axis.set_title({"loss": "Loss", "top1": "Top-1, %", "map": "mAP, %"}[what], **_TITLE)
        axis.set_xlabel("epoch", color=SOFT, fontsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axis.grid(axis="y", color=RULE, lw=0.8)
        if axis.lines:
            axis.legend(frameon=False, fontsize=8, labelcolor=INK)
        else:
            axis.text(0.5, 0.5, "not recorded", transform=axis.transAxes, ha="center", color=SOFT, fontsize=9)
    axes[0].set_ylim(bottom=0)
    for axis in axes[1:]:
        axis.set_ylim(0, 100)
    return figure


def confusion(table: Sequence[Sequence[int]], class_names: Sequence[str]) -> Figure:
    """Rows are the truth, columns the prediction; shade is the share of the row.

    Counts stand in the cells up to 12 classes, names at the sides up to 40; beyond, every so many classes
    carries its number and the picture shows the pattern.
    """
    counts = np.asarray(table, dtype=float)
    k = len(counts)
    rows = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, rows, out=np.full_like(counts, np.nan), where=rows > 0)
    side = float(np.clip(1.7 + 0.32 * k, 2.6, 4.8)) if k <= MAX_COUNTED else 6.4
    figure, (axis,) = _figure(side + 0.8, side)
    colors = HEAT.with_extremes(bad="#f1f1f1")
    image = axis.imshow(
        share, cmap=colors, vmin=0, vmax=1, interpolation="nearest" if k <= 200 else "antialiased"
    )
    bar = figure.colorbar(image, ax=axis, fraction=0.03, pad=0.02, shrink=0.6, aspect=26, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0", "50%", "100%"], fontsize=7, color=SOFT)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    if k <= MAX_NAMED:
        size = float(np.interp(k, [8, MAX_NAMED], [8.5, 5.5]))
        names = _plain(class_names, 26 if k <= MAX_COUNTED else 22)
        turn: dict[str, Any] = (
            {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if k <= 20 else {"rotation": 90}
        )
        axis.set_xticks(range(k), names, fontsize=size, **turn)
        axis.set_yticks(range(k), names, fontsize=size)
    else:
        step = next(s for s in (10, 20, 50, 100, 200, 500) if k / s <= 12 or s == 500)
        ticks = list(range(0, k, step))
        axis.set_xticks(ticks, [str(t) for t in ticks], fontsize=7)
        axis.set_yticks(ticks, [str(t) for t in ticks], fontsize=7)
    if k <= MAX_COUNTED:
        for i in range(k):
            for j in range(k):
                if counts[i, j]:
                    color = "white" if share[i, j] > 0.55 else INK
                    size = 8.5 if k <= 8 else 7
                    axis.text(
                        j, i, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=size, color=color
                    )
    axis.tick_params(length=0, colors=INK)
    axis.spines[:].set_visible(False)
    number = "" if k <= MAX_NAMED else " (class number)"
    axis.set_xlabel(f"predicted{number}", color=SOFT, fontsize=8.5)
    axis.set_ylabel(f"true{number}", color=SOFT, fontsize=8.5)
    return figure


def reliability(curve: Sequence[Mapping[str, float]], *, ece: float | None = None) -> Figure:
    """Accuracy against confidence by bin, the diagonal of perfect calibration, and how many fall in each bin."""
    figure = Figure(figsize=(4.2, 4.0), dpi=DPI, layout="constrained")
    axis, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    for a in (axis, below):
        _dress(a)
    left = [100 * row["low"] for row in curve]
    width = [100 * (row["high"] - row["low"]) for row in curve]
    accuracy = [100 * row["accuracy"] for row in curve]
    confidence = [100 * row["confidence"] for row in curve]
    axis.bar(
        left,
        accuracy,
        width,
        align="edge",
        color=COOL,
        alpha=0.8,
        edgecolor="white",
        lw=0.8,
        label="accuracy",
    )
    middle = [x + w / 2 for x, w in zip(left, width, strict=True)]
    axis.vlines(middle, accuracy, confidence, color=ACCENT, lw=1.4)
    axis.plot(
        middle,
        confidence,
        ls="",
        marker="D",
        ms=4,
        color=ACCENT,
        mec="white",
        mew=0.7,
        label="mean confidence",
    )
    axis.plot([0, 100], [0, 100], color=INK, lw=0.9, ls=(0, (4, 3)))
    axis.set(xlim=(0, 100), ylim=(0, 100))
    axis.set_ylabel("%", color=SOFT, fontsize=8.5)
    if ece is not None:
        axis.set_title(f"ECE {100 * ece:.1f}%", **_TITLE)
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=2, labelcolor=INK)
    below.bar(left, [row["n"] for row in curve], width, align="edge", color=FAINT, edgecolor="white", lw=0.6)
    below.set_xlabel("confidence, %", color=SOFT, fontsize=8.5)
    below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=2))
    below.set_title("how many", fontsize=8, color=SOFT, loc="left")
    return figure


def audit_bars(audits: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Top-1 of the same clips in order, shuffled, reversed and frozen, with intervals and the chance line.

    Args:
        audits: name of the model -> its "audit" entry; one model or several side by side.
    """
    names = list(audits)
    kinds = [k for k in words.CONDITION_NAMES if any(a.get(k) for a in audits.values())]
    height = 0.8 / len(names)
    figure, (axis,) = _figure(WIDTH, 0.9 + len(kinds) * max(0.42, 0.26 * len(names)) + 0.12 * len(names))
    for i, name in enumerate(names):
        for row, kind in enumerate(kinds):
            entry = audits[name].get(kind)
            if not entry:
                continue
            y = row + (i - (len(names) - 1) / 2) * height
            value, (low, high) = 100 * entry["top1"], (100 * x for x in entry["interval"])
            if len(names) > 1:
                color = SERIES[i % len(SERIES)]
            else:
                color = {"ordered": ACCENT, "baseline": FAINT}.get(kind, COOL)
            axis.barh(y, value, height * 0.86, color=color)
            axis.plot([low, high], [y, y], color=INK, lw=1.1, solid_capstyle="butt")
            axis.text(
                max(high, value) + 1.2, y, f"{value:.1f}", va="center", fontsize=8, color=INK, bbox=_BEHIND
            )
    chance = max(a.get("chance") or 0 for a in audits.values())
    axis.axvline(100 * chance, color=INK, lw=0.9, ls=(0, (3, 3)))
    axis.text(
        100 * chance + 0.8, -0.62, f"chance {words.percent(chance)}", fontsize=8, color=SOFT, va="center"
    )
    axis.set_yticks(range(len(kinds)), [words.CONDITION_NAMES[kind] for kind in kinds], fontsize=9)
    axis.set(xlim=(0, 108), ylim=(len(kinds) - 0.5, -0.85))
    axis.set_xticks(range(0, 101, 20))
    axis.set_xlabel("top-1, %", color=SOFT, fontsize=8.5)
    axis.grid(axis="x", color=RULE, lw=0.8)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    if len(names) > 1:
        handles = [Patch(color=SERIES[i % len(SERIES)]) for i in range(len(names))]
        labels = _plain(names, 32)
        figure.legend(
            handles, labels, frameon=False, fontsize=8.5, loc="outside lower center", ncols=min(3, len(names))
        )
    return figure


def class_bars(per_class: Sequence[Mapping[str, Any]]) -> Figure:
    """F1 of each class with its interval, lowest first; of many classes the lowest 30."""
    rows = sorted(
        (row for row in per_class if row.get("f1") is not None), key=lambda row: (row["f1"], -row["n"])
    )
    title = "F1, %" if len(rows) <= MAX_BARS else f"F1, %: the lowest {MAX_BARS} of {len(rows)} classes"
    rows = rows[:MAX_BARS]
    figure, (axis,) = _figure(WIDTH, 0.8 + 0.23 * max(len(rows), 2))
    for y, row in enumerate(rows):
        axis.barh(y, 100 * row["f1"], 0.72, color=COOL)
        if row.get("f1_interval"):
            axis.plot([100 * x for x in row["f1_interval"]], [y, y], color=INK, lw=1.0, solid_capstyle="butt")
    names = _plain([str(row["class"]) for row in rows], 34)
    labels = [f"{name}  ({row['n']})" for name, row in zip(names, rows, strict=True)]
    axis.set_yticks(range(len(rows)), labels, fontsize=8)
    axis.set(xlim=(0, 100), ylim=(len(rows) - 0.4, -0.6))
    axis.set_title(title, **_TITLE)
    axis.grid(axis="x", color=RULE, lw=0.8)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    return figure


def comparison(models: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Top-1 (or mAP) of several runs with their intervals, and the chance line."""
    figure, (axis,) = _figure(WIDTH, 0.9 + 0.42 * max(len(models), 2))
    keys = [words.headline_metric(metrics) for metrics in models.values()]
    for y, (key, metrics) in enumerate(zip(keys, models.values(), strict=True)):
        value = metrics.get(key)
        if value is None:
            axis.text(1, y, "not measured", va="center", fontsize=8, color=SOFT)
            continue
        low, high = (metrics.get("intervals") or {}).get(key) or (value, value)
        color = SERIES[y % len(SERIES)]
        axis.plot([100 * low, 100 * high], [y, y], color=color, lw=2.2, solid_capstyle="round")
        axis.plot([100 * value], [y], "o", color=color, ms=7, mec="white", mew=1.2, clip_on=False, zorder=3)
        axis.text(
            100 * value, y - 0.3, f"{100 * value:.1f}", ha="center", fontsize=8, color=INK, bbox=_BEHIND
        )
    chances = [
        m["chance"] for k, m in zip(keys, models.values(), strict=True) if k == "top1" and m.get("chance")
    ]
    if chances:
        axis.axvline(100 * max(chances), color=INK, lw=0.9, ls=(0, (3, 3)))
    axis.set_yticks(range(len(models)), _plain(list(models), 34), fontsize=9)
    axis.set(xlim=(0, 100), ylim=(len(models) - 0.5, -0.6))
    axis.set_xlabel(
        f"{' / '.join(dict.fromkeys(words.METRIC_NAMES[k] for k in keys))}, %", color=SOFT, fontsize=8.5
    )
    axis.grid(axis="x", color=RULE, lw=0.8)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    return figure


_BEHIND: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
_TITLE: dict[str, Any] = {"fontsize": 9.5, "color": INK, "loc": "left"}


def _figure(width: float, height: float, *, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(1, columns)))
    for axis in axes:
        _dress(axis)
    return figure, axes


def _dress(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(FAINT)
    axis.tick_params(colors=INK, labelsize=8, color=FAINT)
    axis.set_axisbelow(True)


def _plain(names: Sequence[str], length: int) -> list[str]:
    """Names as text: shortened, on one line, and without the dollar that would start a formula."""
    flat = ["".join(c if c.isprintable() else " " for c in name) for name in names]
    return [name.replace("$", r"\$") for name in words.shorten_all(flat, length)]
