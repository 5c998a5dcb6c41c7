"""What happens when, drawn: a lane a class, truth above and prediction below, overlaps as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from marey.report.plots import ACCENT, COOL, INK, RULE, SERIES, SOFT, WIDTH, _figure, _plain
from marey.types import Segment

MAX_LANES = 24
_SURE = 0.15  # predictions below this score are noise on a picture; the files have them


def timeline(
    predicted: Sequence[Segment],
    true: Sequence[Segment] | None,
    *,
    start: float,
    end: float,
    title: str = "",
    scores: tuple[NDArray[Any], NDArray[Any], Sequence[str]] | None = None,
    least: float = _SURE,
) -> Figure:
    """One video's timeline.

    Args:
        predicted: with scores, which are how solid they are drawn; those below `least` are left out.
        true: what was annotated, or None where nothing is known.
        start, end: of the video, seconds.
        title: above it.
        scores: times `(T,)`, scores `(T, K)` and the K names, drawn as a line in each lane.
        least: smallest score that is drawn.
    """
    shown = [s for s in predicted if s.score is None or s.score >= least]
    names = list(dict.fromkeys(s.label for s in sorted([*(true or ()), *shown], key=lambda s: s.start)))
    left_out = names[MAX_LANES:]
    names = names[:MAX_LANES] or ["nothing happens"]
    figure, (axis,) = _figure(WIDTH * 1.5, 0.8 + 0.34 * len(names))
    lane = {name: i for i, name in enumerate(names)}
    for i, name in enumerate(names):
        axis.axhline(i, color=RULE, lw=0.8, zorder=0)
        if scores is not None and name in scores[2]:
            track = scores[1][:, list(scores[2]).index(name)]
            axis.fill_between(scores[0], i + 0.42, i + 0.42 - 0.84 * track, color=RULE, lw=0, zorder=0.5)
    for kind, segments, offset, color in (
        ("true", true or (), -0.38, COOL),
        ("predicted", shown, 0.02, ACCENT),
    ):
        height = 0.36 if true is not None else 0.6
        below = offset if true is not None else -0.3
        if kind == "true" and true is None:
            continue
        for s in segments:
            if s.label in lane:
                solid = 0.85 if s.score is None else 0.2 + 0.7 * float(np.clip(s.score, 0, 1))
                axis.barh(
                    lane[s.label] + below + height / 2, s.end - s.start, height, s.start, color=color, alpha=solid,
                    ec="white", lw=0.6,
                )  # fmt: skip
    axis.set_yticks(range(len(names)), _plain(names, 22), fontsize=8)
    axis.set(xlim=(start, max(end, start + 1e-3)), ylim=(len(names) - 0.5, -0.5))
    axis.set_xlabel("seconds", color=SOFT, fontsize=8.5)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    words = title + (f"  (and {len(left_out)} more classes)" if left_out else "")
    if words:
        axis.set_title(_plain([words], 90)[0], fontsize=8.5, color=INK, loc="left")
    return figure


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
