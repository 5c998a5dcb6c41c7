"""A timeline as people look at it: a lane a class, what overlaps within a class side by side, scores thinned out.

Picture, page and annotated video are all drawn from these lanes, so they show the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marey.data.stacking import stacked
from marey.types import FloatArray, Segment

MAX_LANES = 24
SURE = 0.15
"""Found segments with a lower score are noise to the eye; nothing shows them unless it is told to."""

Placed = tuple[Segment, int]
"""A segment and its row."""


@dataclass(frozen=True, eq=False)
class Lane:
    """One class.

    Attributes:
        name: of the class; "" where nothing happens at all.
        found, true: segments with their row among those of the same kind that overlap them.
        found_rows, true_rows: how many rows each kind takes.
        scores: `(T,)` in 0–1, or None.
    """

    name: str
    found: tuple[Placed, ...] = ()
    true: tuple[Placed, ...] = ()
    found_rows: int = 0
    true_rows: int = 0
    scores: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Lanes:
    """All that is shown of a timeline.

    Attributes:
        lanes: at most `MAX_LANES`, in order of what happens first.
        times: `(T,)`, of every lane's scores.
        left_out: classes that found no room; those that are surest and annotated ones have it before others.
        weak: found segments below the least score.
        annotated: whether there is truth, even where it is empty.
    """

    lanes: tuple[Lane, ...]
    times: FloatArray
    left_out: tuple[str, ...]
    weak: int
    annotated: bool


def lanes(
    found: Sequence[Segment],
    true: Sequence[Segment] | None,
    *,
    least: float = SURE,
    scores: tuple[FloatArray, NDArray[np.float32], Sequence[str]] | None = None,
    most: int = MAX_LANES,
    columns: int = 1500,
) -> Lanes:
    """Lay a timeline out.

    Args:
        found: with scores, or without where all are certain.
        true: what was annotated, or None where nothing is known.
        least: smallest score that is shown. A class without a segment has a lane where its score reaches it.
        scores: times `(T,)`, scores `(T, K)` and the K names.
        most: classes that have room.
        columns: instants to keep of the scores; of more, each keeps the highest of its stretch.
    """
    shown = [s for s in found if certainty(s) >= least]
    first: dict[str, float] = {}
    weight: dict[str, float] = {}
    for segment in [*(true or ()), *shown]:
        first[segment.label] = min(first.get(segment.label, np.inf), segment.start)
        weight[segment.label] = max(weight.get(segment.label, 0), certainty(segment))
    times, tracks = _thinned(scores, columns)
    for name, track in tracks.items():  # what was nearly found has a lane as well
        if name not in first and len(track) and track.max() >= max(least, SURE):
            first[name], weight[name] = float(times[track.argmax()]), float(track.max()) - 1
    kept = sorted(first, key=lambda name: (-weight[name], first[name], name))[:most]
    made = []
    for name in sorted(kept, key=lambda name: (first[name], name)):
        of_found, found_rows = _placed([s for s in shown if s.label == name])
        of_true, true_rows = _placed([s for s in true or () if s.label == name])
        made.append(Lane(name, of_found, of_true, found_rows, true_rows, tracks.get(name)))
    left_out = tuple(sorted(set(first) - set(kept)))
    return Lanes(tuple(made) or (Lane(""),), times, left_out, len(found) - len(shown), true is not None)


def certainty(segment: Segment) -> float:
    """The score, 1 where there is none."""
    return 1.0 if segment.score is None else segment.score


def clock_text(seconds: float, digits: int = 1) -> str:
    """Seconds as a clock shows them: "0:04.2", "1:02:03.0"."""
    ticks = round(abs(seconds) * 10**digits)
    whole, part = divmod(ticks, 10**digits)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
    tail = f".{part:0{digits}d}" if digits else ""
    return f"{'−' if seconds < 0 and ticks else ''}{head}{tail}"


def _placed(segments: Sequence[Segment]) -> tuple[tuple[Placed, ...], int]:
    rows = stacked([(s.start, s.end) for s in segments])
    return tuple(zip(segments, rows, strict=True)), max(rows, default=-1) + 1


def _thinned(
    scores: tuple[FloatArray, NDArray[np.float32], Sequence[str]] | None, columns: int
) -> tuple[FloatArray, dict[str, NDArray[np.float32]]]:
    if scores is None or not len(scores[0]):
        return np.empty(0), {}
    times, values, names = scores
    if len(times) > columns:
        edges = np.linspace(0, len(times), columns + 1).astype(int)[:-1]
        values = np.maximum.reduceat(values, edges, axis=0)
        times = times[edges]
    return np.asarray(times, np.float64), {name: values[:, k] for k, name in enumerate(names)}
