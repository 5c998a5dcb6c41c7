"""Predictions put in the order in which evaluators take them, and what every evaluator checks first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import DataError, UsageError
from marey.metrics.segments import Choice, SegmentTable, overlapping_pairs

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

Average = Callable[[FloatArray], float]
"""From the precision at each hit of a class, best first, to the sum which divided by the number of ground truths
is the average precision. Recall rises at hits alone, so nothing else is needed."""


class RankedDetections:
    """Predictions of known classes, ranked: by class, then by falling score, then as they came."""

    def __init__(
        self,
        predictions: SegmentTable,
        truth: SegmentTable,
        thresholds: Sequence[float],
        *,
        without: int = -1,
    ) -> None:
        score = scores_of(predictions)
        check_truth(truth, thresholds, without=without)
        self.truth, self.thresholds = truth, tuple(float(t) for t in thresholds)
        k = len(truth.labels)
        judged = truth.label != without
        self.positives = np.bincount(truth.label[judged], minlength=k)
        classes = numbers_in(predictions.labels, truth.labels)
        classes[np.isin(classes, np.flatnonzero(self.positives == 0))] = -1
        label = classes[predictions.label]
        video = numbers_in(predictions.videos, truth.videos)[predictions.video]
        known = np.flatnonzero(label >= 0)
        rank = known[np.argsort(-score[known], kind="stable")]
        # By class, keeping the order: NumPy sorts small integers by radix, much faster than by comparing.
        rank = rank[np.argsort(label[rank].astype(np.uint16 if k < 2**16 else np.int64), kind="stable")]
        self.n_predictions, self.n_unknown_class = len(predictions), len(predictions) - len(known)
        self.label, self.video = label[rank], video[rank]
        self.n_unknown_video = int((self.video < 0).sum())
        self.predictions = SegmentTable(
            predictions.videos, predictions.labels, predictions.video[rank], predictions.label[rank],
            predictions.start[rank], predictions.end[rank], score[rank],
        )  # fmt: skip
        self.key = np.where(self.video >= 0, self.video * k + self.label, -1)
        self.truth_key = np.where(judged, truth.video * k + truth.label, -1)

    def __len__(self) -> int:
        return len(self.label)

    def choice_of_predictions(self, least: float) -> Choice:
        pairs = overlapping_pairs(self.predictions, self.key, self.truth, self.truth_key, least=least)
        return Choice(pairs.a, pairs.b, pairs.tiou, len(self), len(self.truth))

    def taken(self, holder: IntArray) -> BoolArray:
        """Which predictions hold a ground truth."""
        hit = np.zeros(len(self) + 1, dtype=bool)
        hit[holder] = True
        return hit[:-1]

    def result(
        self, evaluator: str, average: Average, hits: BoolArray, judged: BoolArray | None = None
    ) -> dict[str, Any]:
        """Average precision of every class at every threshold, and the means.

        Args:
            hits: `(thresholds, n)`, which predictions are true.
            judged: `(thresholds, n)`, which count at all; None: every one.
        """
        classes = np.flatnonzero(self.positives)
        column = np.full(len(self.positives), -1)
        column[classes] = np.arange(len(classes))
        left = np.searchsorted(self.label, classes)
        table = np.zeros((len(self.thresholds), len(classes)))
        for t in range(len(self.thresholds)):
            at = np.flatnonzero(hits[t])
            of = column[self.label[at]]
            edges = np.searchsorted(of, np.arange(len(classes) + 1))
            counted = (
                np.arange(len(self) + 1) if judged is None else np.concatenate([[0], np.cumsum(judged[t])])
            )
            true = np.arange(len(at)) - edges[of] + 1
            precision = true / (counted[at + 1] - counted[left[of]])
            for c in range(len(classes)):
                table[t, c] = average(precision[edges[c] : edges[c + 1]])
        table /= self.positives[classes]
        per_class = {
            self.truth.labels[k]: {"ap": table[:, i].tolist(), "average": float(table[:, i].mean()),
                                   "n": int(self.positives[k])}
            for i, k in enumerate(classes)
        }  # fmt: skip
        by_threshold = table.mean(axis=1)
        return {
            "evaluator": evaluator,
            "thresholds": list(self.thresholds),
            "map": by_threshold.tolist(),
            "average_map": float(by_threshold.mean()),
            "per_class": per_class,
            "n_truth": int(self.positives.sum()),
            "n_predictions": self.n_predictions,
            "n_unknown_class": self.n_unknown_class,
            "n_unknown_video": self.n_unknown_video,
        }


def scores_of(table: SegmentTable) -> FloatArray:
    if table.score is None:
        raise UsageError("these segments have no scores, so they cannot be ranked.", "give score= for each.")
    return table.score


def check_truth(truth: SegmentTable, thresholds: Sequence[float], *, without: int = -1) -> None:
    if not len(thresholds) or min(thresholds) <= 0 or max(thresholds) > 1:
        raise UsageError(f"tIoU thresholds {list(thresholds)} must lie above 0 and not above 1.")
    judged = truth.label != without
    if not judged.any():
        raise DataError("the ground truth has no segment, so there is nothing to find.")
    empty = judged & (truth.end <= truth.start)
    if empty.any():
        i = int(np.flatnonzero(empty)[0])
        raise DataError(
            f"a true segment at {truth.start[i]:g} s has no length, so nothing can overlap it.",
            "remove it, or give it an end.",
            where=f"{truth.videos[truth.video[i]]}, {truth.labels[truth.label[i]]}",
        )


def numbers_in(names: tuple[str, ...], known: tuple[str, ...]) -> IntArray:
    """Where each name stands in `known`; −1 where it does not. One more −1 at the end, for no names at all."""
    at = {name: i for i, name in enumerate(known)}
    return np.array([*(at.get(name, -1) for name in names), -1], dtype=np.int64)
