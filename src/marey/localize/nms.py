"""Non-maximum suppression over time: of predictions that mean the same segment, one is left. NumPy, no state.

Greedy suppression is a chain of choices, but the chains of different classes know nothing of each other: they
go side by side here, one array operation for the next choice of every class.

Bodla et al., "Soft-NMS" (https://arxiv.org/abs/1704.04503), Gaussian: each choice takes exp(−tIoU² ÷ σ) off the
scores of what overlaps it, instead of striking it out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marey.errors import UsageError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def suppress(
    segments: FloatArray,
    scores: FloatArray,
    labels: IntArray,
    *,
    method: str = "soft",
    sigma: float = 0.5,
    threshold: float = 0.5,
    least: float = 0.001,
    most: int = 200,
) -> tuple[IntArray, FloatArray]:
    """Choose among predictions, class by class.

    Args:
        segments: `(N, 2)`, starts and ends.
        scores: `(N,)`, 0 or more.
        labels: `(N,)`, class of each; classes do not suppress each other.
        method: "soft" lowers scores by `exp(−tIoU² ÷ sigma)`, "hard" strikes out what overlaps a better one by
            more than `threshold`.
        sigma: of the Gaussian; larger suppresses less.
        threshold: tIoU, for "hard".
        least: predictions whose score is below, or falls below, are left out.
        most: predictions kept in all, the best ones.

    Returns:
        index: int `(M,)`, the chosen rows of the input by falling new score; equal ones in the input's order.
        scores: float `(M,)`, their new scores ("hard" leaves them as they are).

    Raises:
        UsageError: an unknown method, or numbers that cannot be.
    """
    if method not in ("soft", "hard"):
        raise UsageError(f"{method!r} is no way to suppress.", "ways: soft, hard")
    if sigma <= 0 or not 0 <= threshold <= 1 or most < 1:
        raise UsageError(
            f"sigma must be above 0, threshold between 0 and 1, most at least 1; got {sigma}, {threshold}, {most}."
        )
    able = np.flatnonzero(scores >= least)
    if not len(able):
        return np.empty(0, dtype=np.int64), np.empty(0)
    table, left = _by_class(labels[able], scores[able])
    start, end = (segments[able, side][table] for side in (0, 1))
    length = end - start
    rows = np.arange(len(table))
    taken, given = [], []
    for _ in range(min(most, table.shape[1])):
        best = left.argmax(axis=1)
        value = left[rows, best]
        alive = value >= least
        if not alive.any():
            break
        taken.append(able[table[rows[alive], best[alive]]])
        given.append(value[alive])
        s, e = start[rows, best][:, None], end[rows, best][:, None]
        both = np.clip(np.minimum(end, e) - np.maximum(start, s), 0, None)
        union = length + (e - s) - both
        tiou = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
        left = (
            left * np.exp(-(tiou**2) / sigma) if method == "soft" else np.where(tiou > threshold, -1.0, left)
        )
        left[rows, best] = -1.0
    index, value = np.concatenate(taken), np.concatenate(given)
    order = np.lexsort((index, -value))[:most]
    return index[order], value[order]


def _by_class(labels: IntArray, scores: FloatArray) -> tuple[IntArray, FloatArray]:
    """Rows of each class side by side: numbers `(C, n)` and scores `(C, n)`, −1 where a class has fewer."""
    order = np.argsort(labels, kind="stable")
    _, first, counts = np.unique(labels[order], return_index=True, return_counts=True)
    table = np.zeros((len(counts), counts.max()), dtype=np.int64)
    filled = np.arange(counts.max()) < counts[:, None]
    table[filled] = order
    assert np.array_equal(first, np.concatenate([[0], np.cumsum(counts)[:-1]]))
    return table, np.where(filled, scores[table], -1.0)
