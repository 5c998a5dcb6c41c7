"""What happens when, drawn: a lane a class, truth above and prediction below, overlaps as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from marey.report.lanes import SURE, Lane, certainty, clock_text, lanes
from marey.report.plots import ACCENT, COOL, DPI, FAINT, INK, RULE, SERIES, SOFT, WIDTH, _figure, _plain
from marey.types import Segment

TRACK = "#dcd8cf"
_LONG = 120.0  # seconds: longer videos have wider pictures
_LANE, _MORE = 0.34, 0.13  # inches: a lane, and what every row more of overlapping segments adds


def timeline(
    predicted: Sequence[Segment],
    true: Sequence[Segment] | None,
    *,
    start: float,
    end: float,
    title: str = "",
    scores: tuple[NDArray[Any], NDArray[Any], Sequence[str]] | None = None,
    least: float = SURE,
) -> Figure:
    """One video's timeline.

    Args:
        predicted: with scores, which are how solid they are drawn; those below `least` are left out.
        true: what was annotated, or None where nothing is known.
        start, end: of the video, seconds.
        title: above it.
        scores: times `(T,)`, scores `(T, K)` and the K names, drawn as a filled track in each lane.
        least: smallest score that is drawn.
    """
    shown = lanes(predicted, true, least=least, scores=scores)
    end = max(end, start + 1e-3)
    rows = [max(lane.true_rows, 1) * shown.annotated + max(lane.found_rows, 1) for lane in shown.lanes]
    heights = [_LANE + _MORE * max(0, n - 1 - shown.annotated) for n in rows]
    wide = WIDTH * (1.5 if end - start <= _LONG else 2.4)
    figure, (axis,) = _figure(wide, 1.0 + sum(heights))
    thinnest = (end - start) / (wide * DPI) * 2.5  # two and a half pixels, so that none is lost to the eye
    top, middles = 0.0, []
    for lane, height in zip(shown.lanes, heights, strict=True):
        bottom = top + height
        middles.append((top + bottom) / 2)
        axis.axhline(bottom, color=FAINT, lw=0.6, zorder=0)
        if lane.scores is not None:
            track = bottom - (height - 0.04) * np.clip(lane.scores, 0, 1)
            axis.fill_between(shown.times, bottom, track, color=TRACK, lw=0, zorder=0.5)
        split = top + height * (max(lane.true_rows, 1) / sum_rows(lane) if shown.annotated else 0)
        for placed, of, first, last, color in (
            (lane.true, lane.true_rows, top, split, COOL),
            (lane.found, lane.found_rows, split, bottom, ACCENT),
        ):
            for segment, row in placed:
                high = (last - first - 0.06) / of
                axis.barh(
                    first + 0.03 + (row + 0.5) * high, max(segment.end - segment.start, thinnest), 0.86 * high,
                    segment.start, color=color, alpha=0.25 + 0.65 * min(certainty(segment), 1.0), lw=0,
                )  # fmt: skip
        top = bottom
    axis.set_yticks(middles, _plain([lane.name or "nothing happens" for lane in shown.lanes], 26), fontsize=8)
    axis.set(xlim=(start, end), ylim=(top, 0))
    long = end - start > _LONG
    axis.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 1.5, 3, 6, 10] if long else [1, 2, 5, 10]))
    if long:
        axis.xaxis.set_major_formatter(FuncFormatter(lambda t, _: clock_text(t, 0)))
    axis.set_xlabel("minutes and seconds" if long else "seconds", color=SOFT, fontsize=8.5)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    more = f"  (and {len(shown.left_out)} more classes)" if shown.left_out else ""
    axis.set_title(_plain([title], 90)[0] + more, fontsize=8.5, color=INK, loc="left")
    key = [Patch(color=COOL, label="annotated")] * shown.annotated + [Patch(color=ACCENT, label="found")]
    key += [Patch(color=TRACK, label="score")] * bool(len(shown.times))
    axis.legend(
        handles=key, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=7.5, frameon=False,
        borderaxespad=0.2, handlelength=1, handleheight=0.8,
    )  # fmt: skip
    return figure


def sum_rows(lane: Lane) -> int:
    """Rows of both kinds, of which each has one at least."""
    return max(lane.true_rows, 1) + max(lane.found_rows, 1)


def recall_curves(evaluators: Mapping[str, Mapping[str, Any]]) -> Figure:
    """mAP over tIoU thresholds, a line an evaluator."""
    figure, (axis,) = _figure(WIDTH, 2.6)
    for color, (name, found) in zip(SERIES, evaluators.items(), strict=False):
        axis.plot(found["thresholds"], [100 * x for x in found["map"]], "o-", ms=4, color=color, label=name)
    axis.set(ylim=(0, 100))
    axis.set_xlabel("tIoU that a prediction must reach", color=SOFT, fontsize=8.5)
    axis.set_ylabel("mAP, %", color=SOFT, fontsize=8.5)
    axis.grid(color=RULE, lw=0.8)
    axis.legend(fontsize=7.5, frameon=False)
    return figure


def score_choice(curve: Sequence[Mapping[str, float]], threshold: float) -> Figure:
    """Precision and recall over the score from which on a prediction counts."""
    figure, (axis,) = _figure(WIDTH, 2.6)
    at = [point["score"] for point in curve]
    for key, color in (("precision", COOL), ("recall", ACCENT)):
        axis.plot(at, [100 * point[key] for point in curve], color=color, lw=1.8, label=key)
    axis.set(xlim=(0, 1), ylim=(0, 100))
    axis.set_xlabel(
        f"score from which on a prediction counts (tIoU ≥ {threshold:g})", color=SOFT, fontsize=8.5
    )
    axis.set_ylabel("%", color=SOFT, fontsize=8.5)
    axis.grid(color=RULE, lw=0.8)
    axis.legend(fontsize=8, frameon=False)
    return figure
