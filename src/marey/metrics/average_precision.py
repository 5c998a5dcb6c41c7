"""Average precision, exact with ties, for one set of samples or for thousands of resamples at once.

AP = Σ_t (R_t − R_{t−1}) · P_t over the distinct scores t from high to low (Everingham et al., *The PASCAL
Visual Object Classes Challenge*, IJCV 2010, without interpolation): samples of equal score enter together,
so their order cannot matter. The same number as scikit-learn's `average_precision_score`, except that a class
without a positive has no average precision (NaN) rather than 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


class RankedClass:
    """One class's samples ranked by score; gives the average precision under any weights of the samples."""

    def __init__(self, scores: ArrayLike, positive: ArrayLike) -> None:
        """Args:
        scores: `(n,)`, higher is more likely.
        positive: bool `(n,)`, which samples have the class.
        """
        scores = np.asarray(scores, dtype=np.float64)
        positive = np.asarray(positive, dtype=bool)
        self.order = np.argsort(-scores, kind="stable")
        ranked = scores[self.order]
        last = (
            np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
            if len(ranked)
            else np.zeros(0, np.int64)
        )
        hits = np.flatnonzero(positive[self.order])
        block = np.searchsorted(last, hits)  # the block of equal scores that each positive lies in
        # Only blocks with a positive move the recall, so precision is needed at their ends alone.
        kept, starts = np.unique(block, return_index=True)
        self.hits, self.starts, self.ends = hits, starts, last[kept]

    @property
    def positives(self) -> int:
        return len(self.hits)

    def average_precision(self, weights: FloatArray | None = None) -> FloatArray:
        """AP under sample weights `(r, n)` (default: one row of ones): `(r,)`, NaN where no positive weighs."""
        w = np.ones((1, len(self.order))) if weights is None else weights
        if not len(self.hits):
            return np.full(len(w), np.nan)
        w = w[:, self.order]
        weighed = np.cumsum(w, axis=1)[:, self.ends]
        gained = np.add.reduceat(w[:, self.hits], self.starts, axis=1)
        found = np.cumsum(gained, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(weighed > 0, found / weighed, 0.0)
            return np.where(found[:, -1] > 0, (gained * precision).sum(axis=1) / found[:, -1], np.nan)


def average_precision(scores: ArrayLike, positive: ArrayLike) -> float:
    """AP of one class: `scores` `(n,)`, `positive` bool `(n,)`. NaN where nothing is positive."""
    return float(RankedClass(scores, positive).average_precision()[0])


def average_precisions(scores: ArrayLike, positive: ArrayLike) -> FloatArray:
    """AP of every class: `scores` and `positive` `(n, K)`; gives `(K,)`, NaN for a class without a positive."""
    scores, positive = np.asarray(scores), np.asarray(positive, dtype=bool)
    return np.array([average_precision(scores[:, k], positive[:, k]) for k in range(scores.shape[1])])


def mean_average_precision(scores: ArrayLike, positive: ArrayLike) -> float:
    """Mean AP over the classes that have a positive; NaN where none has."""
    each = average_precisions(scores, positive)
    return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")
