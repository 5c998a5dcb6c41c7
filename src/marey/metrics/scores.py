"""The numbers that classifiers are judged by, from logits and targets. `judge` puts them together.

Ties are broken as `argmax` breaks them, towards the class that comes first, in the top-1 answer and in
top-k alike. Classes of which the judged samples hold none have no recall; means over classes leave them
out and say how many they were.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marey.errors import DataError, UsageError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def rank_of_truth(logits: ArrayLike, targets: ArrayLike) -> IntArray:
    """How many classes come before the true one: int `(N,)`, 0 is right at once. Ties as `argmax` has them."""
    z, y = np.asarray(logits), np.asarray(targets, dtype=np.int64)
    true = np.take_along_axis(z, y[:, None], axis=1)
    before = np.arange(z.shape[1])[None, :] < y[:, None]
    return ((z > true) | ((z == true) & before)).sum(axis=1)


def top_k_hits(
    logits: ArrayLike, targets: ArrayLike, k: int = 1, *, multi_label: bool = False
) -> NDArray[np.bool_]:
    """Whether the truth is among the `k` best classes: bool `(N,)`.

    Multi-label: whether *any* of the sample's labels is (hit@k, as YouTube-8M reports it).
    """
    if not multi_label:
        return np.asarray(rank_of_truth(logits, targets) < k)
    best = np.argsort(-np.asarray(logits), axis=1, kind="stable")[:, :k]
    held: NDArray[np.bool_] = np.take_along_axis(np.asarray(targets) > 0, best, axis=1)
    return np.asarray(held.any(axis=1))


def top_k_accuracy(logits: ArrayLike, targets: ArrayLike, k: int = 1, *, multi_label: bool = False) -> float:
    """Share of samples whose truth is among the `k` best classes."""
    return float(np.mean(top_k_hits(logits, targets, k, multi_label=multi_label)))


def confusion_matrix(targets: ArrayLike, predicted: ArrayLike, classes: int) -> IntArray:
    """Counts `(classes, classes)`: rows are the truth, columns the prediction."""
    cells = np.asarray(targets, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """a / b, NaN where b is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(b > 0, a / b, np.nan)


def mean_of_defined(values: FloatArray) -> FloatArray:
    """Mean over the last axis without NaN; NaN where nothing is left."""
    return ratio(np.nansum(values, axis=-1), np.isfinite(values).sum(axis=-1).astype(np.float64))


def precision_recall_f1(
    hits: ArrayLike, truths: ArrayLike, guesses: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Per-class precision, recall and F1 from counts `(..., K)`.

    Args:
        hits: samples of the class that were given it.
        truths: samples of the class.
        guesses: samples that were given the class.

    Returns:
        precision = hits/guesses, recall = hits/truths, F1 = 2·hits/(truths + guesses); NaN where the divisor
        is 0 (never predicted; not among the samples; neither).
    """
    h, t, g = (np.asarray(x, dtype=np.float64) for x in (hits, truths, guesses))
    return ratio(h, g), ratio(h, t), ratio(2 * h, t + g)


def mean_class_accuracy(targets: ArrayLike, predicted: ArrayLike, classes: int) -> float:
    """Mean recall over the classes that the samples hold (scikit-learn's balanced accuracy)."""
    table = confusion_matrix(targets, predicted, classes)
    return float(mean_of_defined(ratio(np.diag(table).astype(float), table.sum(axis=1).astype(float))))


def macro_f1(targets: ArrayLike, predicted: ArrayLike, classes: int) -> float:
    """Mean F1 over the classes that occur in the truth or in the predictions."""
    table = confusion_matrix(targets, predicted, classes)
    return float(
        mean_of_defined(precision_recall_f1(np.diag(table), table.sum(axis=1), table.sum(axis=0))[2])
    )


def chance_level(targets: ArrayLike, classes: int, *, multi_label: bool = False) -> float:
    """Expected top-1 of a guess that knows nothing: 1/K, or mean labels a sample / K for multi-label."""
    if not multi_label:
        return 1 / classes
    return float(np.mean(np.asarray(targets) > 0)) if np.size(targets) else 0.0


def majority_share(targets: ArrayLike, classes: int, *, multi_label: bool = False) -> float:
    """Top-1 of always answering the most frequent class: what unequal classes give away for free."""
    if multi_label:
        return float((np.asarray(targets) > 0).mean(axis=0).max())
    return float(
        np.bincount(np.asarray(targets, dtype=np.int64), minlength=classes).max() / len(np.asarray(targets))
    )


def check_scores(
    logits: ArrayLike, targets: ArrayLike, classes: int, *, multi_label: bool
) -> tuple[FloatArray, NDArray[Any]]:
    """Logits float64 `(N, K)` and targets int `(N,)` or bool `(N, K)`, or the error that says what does not fit."""
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(targets)
    if z.ndim != 2 or z.shape[1] != classes:
        raise UsageError(
            f"logits of shape {z.shape} for {classes} classes.", "give one row a sample, (N, K)."
        )
    expected = z.shape if multi_label else z.shape[:1]
    if y.shape != expected:
        kind = "multi-label" if multi_label else "single-label"
        raise UsageError(f"targets of shape {y.shape} where {kind} needs {expected}.")
    if not len(z):
        raise DataError("there is no sample to judge.", "choose another split, or look at the failures.")
    if not np.isfinite(z).all():
        bad = np.flatnonzero(~np.isfinite(z).all(axis=1))
        raise DataError(f"{len(bad)} of {len(z)} samples have NaN or infinite logits, first row {bad[0]}.")
    if multi_label:
        return z, y > 0
    y = y.astype(np.int64)
    if y.min() < 0 or y.max() >= classes:
        raise DataError(f"targets reach from {y.min()} to {y.max()}, but there are {classes} classes.")
    return z, y
