"""Segments of many videos as columns, and the matching that every localization metric is made of.

Matching walks through one side in a fixed order and lets each take the best that is still free. That is a
*serial dictatorship*: its outcome is the one stable matching in which all of the other side rank their
suitors alike, so deferred acceptance (Gale & Shapley 1962) finds it in a few vectorised rounds instead of one
step a prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marey.errors import DataError
from marey.types import Segment

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_CHUNK = 65_536  # pairs of segments looked at together: they stay in the cache
_DENSE = 16_000_000  # keys for which a table is made


@dataclass(frozen=True, eq=False)
class SegmentTable:
    """Segments of many videos.

    Attributes:
        videos: names; may hold videos without a segment, which is legal and says that nothing happens there.
        labels: names of the classes.
        video, label: int `(N,)`, numbers into `videos` and `labels`.
        start, end: float `(N,)`, seconds, start ≤ end.
        score: float `(N,)`, or None for a ground truth.
    """

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    video: IntArray
    label: IntArray
    start: FloatArray
    end: FloatArray
    score: FloatArray | None = None

    def __post_init__(self) -> None:
        columns = [self.video, self.label, self.start, self.end]
        n = len(self.start)
        assert all(len(c) == n for c in columns)
        assert self.score is None or len(self.score) == n
        wrong = ~(np.isfinite(self.start) & np.isfinite(self.end)) | (self.end < self.start)
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"segment {self.start[i]:g}–{self.end[i]:g} s is reversed or not finite; so are "
                f"{int(wrong.sum()) - 1} others.",
                "start must not lie behind end.",
                where=f"{self.videos[self.video[i]]}, {self.labels[self.label[i]]}, row {i}",
            )
        if self.score is not None and not np.isfinite(self.score).all():
            i = int(np.flatnonzero(~np.isfinite(self.score))[0])
            raise DataError(f"the score of segment {i} is {self.score[i]}.", where=self.videos[self.video[i]])

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def of(
        cls,
        video: Sequence[str],
        label: Sequence[str],
        start: ArrayLike,
        end: ArrayLike,
        score: ArrayLike | None = None,
        *,
        videos: Iterable[str] = (),
        labels: Iterable[str] = (),
    ) -> SegmentTable:
        """From columns of names; `videos` and `labels` name some that may have no segment.

        Raises:
            DataError: a reversed segment, or times or scores that are not finite.
        """
        names_v = {name: i for i, name in enumerate(dict.fromkeys([*videos, *video]))}
        names_l = {name: i for i, name in enumerate(dict.fromkeys([*labels, *label]))}
        return cls(
            tuple(names_v),
            tuple(names_l),
            np.fromiter(map(names_v.__getitem__, video), np.int64, len(video)),
            np.fromiter(map(names_l.__getitem__, label), np.int64, len(label)),
            np.asarray(start, dtype=np.float64).reshape(-1),
            np.asarray(end, dtype=np.float64).reshape(-1),
            None if score is None else np.asarray(score, dtype=np.float64).reshape(-1),
        )

    @classmethod
    def from_segments(
        cls, segments: Mapping[str, Iterable[Segment]], *, labels: Iterable[str] = ()
    ) -> SegmentTable:
        """From video name -> segments; scores are kept if every segment has one."""
        rows = [(video, s) for video, those in segments.items() for s in those]
        scores = [s.score for _, s in rows]
        return cls.of(
            [video for video, _ in rows],
            [s.label for _, s in rows],
            [s.start for _, s in rows],
            [s.end for _, s in rows],
            None if any(x is None for x in scores) else [x for x in scores if x is not None],
            videos=segments,
            labels=labels,
        )


def temporal_iou(start_a: ArrayLike, end_a: ArrayLike, start_b: ArrayLike, end_b: ArrayLike) -> FloatArray:
    """Intersection over union of segments, elementwise; 0 where the union is empty."""
    a0, a1, b0, b1 = (np.asarray(x, dtype=np.float64) for x in (start_a, end_a, start_b, end_b))
    inter = np.maximum(np.minimum(a1, b1) - np.maximum(a0, b0), 0.0)
    union = (a1 - a0) + (b1 - b0) - inter
    return np.divide(
        inter, union, out=np.zeros(np.broadcast_shapes(inter.shape, union.shape)), where=union > 0
    )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs (a, b) of segments of two tables that share a key, with their tIoU, all above 0."""

    a: IntArray
    b: IntArray
    tiou: FloatArray


def overlapping_pairs(
    a: SegmentTable, key_a: IntArray, b: SegmentTable, key_b: IntArray, *, least: float = 0.0
) -> Pairs:
    """All pairs of segments with equal keys whose tIoU is above 0 and at least `least`.

    Keys below 0 pair with nothing. Memory is bounded by chunks and by what is found.
    """
    parts = list(_pairs_by_chunk(a, key_a, b, key_b, least))
    if not parts:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _pairs_by_chunk(
    a: SegmentTable, key_a: IntArray, b: SegmentTable, key_b: IntArray, least: float
) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    order = np.argsort(key_b, kind="stable")
    left, count = _spans(key_b[order], key_a)
    rows = np.flatnonzero(count)
    ends = np.cumsum(count[rows])
    start_b, end_b = b.start[order], b.end[order]
    at = 0
    while at < len(rows):
        done = int(ends[at - 1]) if at else 0
        stop = max(at + 1, int(np.searchsorted(ends, done + _CHUNK, "right")))
        some = rows[at:stop]
        n = count[some]
        place = np.arange(int(n.sum())) + np.repeat(left[some] - np.cumsum(n) + n, n)
        # Few pairs overlap at all: what they share comes first, the rest is worked out for those alone.
        shared = np.minimum(np.repeat(a.end[some], n), end_b[place])
        shared -= np.maximum(np.repeat(a.start[some], n), start_b[place])
        near = np.flatnonzero(shared > 0)
        i, place, shared = np.repeat(some, n)[near], place[near], shared[near]
        tiou = shared / ((a.end[i] - a.start[i]) + (end_b[place] - start_b[place]) - shared)
        keep = np.flatnonzero(tiou >= least)
        yield i[keep], order[place[keep]], tiou[keep]
        at = stop


def _spans(keys: IntArray, wanted: IntArray) -> tuple[IntArray, IntArray]:
    """Where each wanted key starts in the sorted `keys`, and how often it is there (0 for keys below 0)."""
    known = wanted >= 0
    if not len(keys) or keys[-1] < 0:
        return np.zeros_like(wanted), np.zeros_like(wanted)
    if keys[-1] < _DENSE:  # a table of all keys is quicker than a search
        below = int(np.searchsorted(keys, 0))
        edges = below + np.concatenate([[0], np.cumsum(np.bincount(keys[below:]))])
        known &= wanted < len(edges) - 1
        safe = np.where(known, wanted, 0)
        return edges[safe], np.where(known, edges[safe + 1] - edges[safe], 0)
    left, right = np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right")
    return left, np.where(known, right - left, 0)


class Choice:
    """One side choosing from the other in a fixed order, each the highest tIoU that is still free.

    Args:
        chooser, chosen: int `(P,)`, pairs; *lower numbers of choosers choose first*, and among equal tIoU the
            lower number of `chosen` is taken.
        tiou: float `(P,)`.
        choosers, choices: how many there are of each.
    """

    def __init__(
        self, chooser: IntArray, chosen: IntArray, tiou: FloatArray, choosers: int, choices: int
    ) -> None:
        if np.any(np.diff(chooser) < 0):
            order = np.lexsort((chosen, chooser))
            chooser, chosen, tiou = chooser[order], chosen[order], tiou[order]
        self.choosers, self.choices = choosers, choices
        self.first = np.flatnonzero(np.diff(chooser, prepend=-1))
        self.who = chooser[self.first]  # only those with anything to choose from
        lengths = np.diff(self.first, append=len(chooser))
        self.row = np.repeat(np.arange(len(self.first)), lengths)
        # Most have one thing to choose from; the others get their lists sorted, best first.
        several = np.flatnonzero(np.repeat(lengths > 1, lengths))
        order = np.arange(len(chooser))
        order[several] = several[np.lexsort((chosen[several], -tiou[several], self.row[several]))]
        self.chosen, self.tiou = chosen[order], tiou[order]

    def at(self, threshold: float, *, strict: bool = False) -> IntArray:
        """Who has taken each choice: int `(choices,)`, `choosers` where nobody has.

        Args:
            threshold: tIoU must be at least this (above it, if `strict`).
        """
        nobody = len(self.who)
        allowed = self.tiou > threshold if strict else self.tiou >= threshold
        # Within a chooser tIoU falls, so what is allowed is a prefix of its list.
        limit = self.first + np.bincount(self.row[allowed], minlength=nobody)
        place = self.first.copy()
        holder = np.full(self.choices, nobody, dtype=np.int64)
        best = np.empty(self.choices, dtype=np.int64)
        free = np.flatnonzero(limit > place)
        while len(free):  # `free` rises, so that the first to choose wins each tie below
            target = self.chosen[place[free]]
            before = holder[target]
            best[target[::-1]] = free[::-1]  # of several that ask, the last written: the lowest
            winner = np.minimum(best[target], before)
            holder[target] = winner
            sent_off = before[(winner != before) & (free == winner) & (before < nobody)]
            refused = np.concatenate([free[winner != free], sent_off])
            place[refused] += 1
            free = np.sort(refused[place[refused] < limit[refused]])
        return np.append(self.who, self.choosers)[holder]
