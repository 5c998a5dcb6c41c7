"""Are the probabilities true? Expected calibration error, the reliability curve, temperature scaling.

Bins and error after Naeini, Cooper & Hauskrecht, *Obtaining Well Calibrated Probabilities Using Bayesian
Binning* (AAAI 2015); temperature scaling after Guo, Pleiss, Sun & Weinberger, *On Calibration of Modern
Neural Networks* (ICML 2017, arXiv 1706.04599).

Single label: the confidence of a sample is its largest probability, the outcome whether that class is right.
Multi-label: every (sample, class) pair counts, the confidence is the class's probability, the outcome whether
the sample has that label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

BINS = 15  # of equal width, as in Guo et al.


def probabilities(
    logits: ArrayLike, *, temperature: ArrayLike = 1.0, multi_label: bool = False
) -> FloatArray:
    """softmax(logits / temperature), or the sigmoid of it for multi-label: float64 `(N, K)`.

    The temperature is one number, or `(N,)` where each sample has its own (cross-validation fits one a fold).
    """
    t = np.asarray(temperature, dtype=np.float64)
    z = np.asarray(logits, dtype=np.float64) / (t[:, None] if t.ndim else t)
    if multi_label:
        # exp of a negative number only, so that no logit overflows
        e = np.exp(-np.abs(z))
        return np.where(z >= 0, 1 / (1 + e), e / (1 + e))
    e = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=1, keepdims=True)


def confidence_and_outcome(
    probs: ArrayLike, targets: ArrayLike, *, multi_label: bool = False
) -> tuple[FloatArray, FloatArray]:
    """What calibration compares: the confidences and whether each held.

    Args:
        probs: `(N, K)`.
        targets: int `(N,)`, or 0/1 `(N, K)` for multi-label.

    Returns:
        Two float arrays, `(N,)`, or `(N·K,)` for multi-label (row after row).
    """
    probs = np.asarray(probs, dtype=np.float64)
    if multi_label:
        return probs.ravel(), np.asarray(targets, dtype=np.float64).ravel()
    guess = probs.argmax(axis=1) if len(probs) else np.zeros(0, dtype=np.int64)
    return probs[np.arange(len(probs)), guess], (guess == np.asarray(targets)).astype(np.float64)


def bin_of(confidence: ArrayLike, bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each confidence: bin b holds (b/bins, (b+1)/bins], and 0 lies in the first."""
    c = np.asarray(confidence, dtype=np.float64)
    return np.clip(np.ceil(c * bins).astype(np.int64) - 1, 0, bins - 1)


def reliability_curve(
    confidence: ArrayLike, outcome: ArrayLike, *, bins: int = BINS
) -> list[dict[str, float | int]]:
    """Confidence against accuracy, for every bin that holds something.

    Returns:
        `[{"low", "high", "n", "confidence" (mean), "accuracy"}]`, by rising confidence.
    """
    c, y = np.asarray(confidence, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    b = bin_of(c, bins)
    n = np.bincount(b, minlength=bins)
    conf, acc = np.bincount(b, weights=c, minlength=bins), np.bincount(b, weights=y, minlength=bins)
    return [
        {
            "low": i / bins,
            "high": (i + 1) / bins,
            "n": int(n[i]),
            "confidence": float(conf[i] / n[i]),
            "accuracy": float(acc[i] / n[i]),
        }
        for i in range(bins)
        if n[i]
    ]


def expected_calibration_error(confidence: ArrayLike, outcome: ArrayLike, *, bins: int = BINS) -> float:
    """ECE = Σ_b n_b/n · |accuracy_b − confidence_b| over `bins` bins of equal width, in 0…1.

    The estimate is biased upward for few samples (each bin's noise counts as error).
    """
    c, y = np.asarray(confidence, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    if not len(c):
        return 0.0
    gap = np.bincount(bin_of(c, bins), weights=y - c, minlength=bins)
    return float(np.abs(gap).sum() / len(c))


def negative_log_likelihood(
    logits: ArrayLike, targets: ArrayLike, *, temperature: float = 1.0, multi_label: bool = False
) -> float:
    """Mean −log p of the true labels at a temperature, in nats (a sample, or a (sample, class) pair)."""
    z = np.asarray(logits, dtype=np.float64) / temperature
    if multi_label:
        y = np.asarray(targets, dtype=np.float64)
        return float(np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))))
    z = z - z.max(axis=1, keepdims=True)
    true = z[np.arange(len(z)), np.asarray(targets)]
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - true))


def fit_temperature(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    multi_label: bool = False,
    low: float = 0.05,
    high: float = 20.0,
) -> float:
    """The temperature in `low`…`high` that minimises the negative log-likelihood.

    Fit it on the validation split, never on what is reported. The likelihood is convex in b = 1/temperature,
    so Newton's steps inside a shrinking bracket find the one minimum. Logits that are all right (or that say
    nothing) have theirs at infinity: the nearer end is returned, and 1 where the temperature changes nothing
    or there are no samples.

    Args:
        logits: `(N, K)`, before any calibration.
        targets: int `(N,)`, or 0/1 `(N, K)` for multi-label.
        multi_label: one temperature over sigmoids instead of a softmax.
    """
    z = np.asarray(logits, dtype=np.float64)
    if not z.size:
        return 1.0
    if multi_label:
        y = np.asarray(targets, dtype=np.float64)
    else:
        true = z[np.arange(len(z)), np.asarray(targets)]

    def slope(b: float) -> tuple[float, float]:
        """First and second derivative of the mean negative log-likelihood in b."""
        p = probabilities(z, temperature=1 / b, multi_label=multi_label)
        if multi_label:
            return float(np.mean((p - y) * z)), float(np.mean(p * (1 - p) * z * z))
        mean = (p * z).sum(axis=1)
        return float(np.mean(mean - true)), float(np.mean((p * z * z).sum(axis=1) - mean * mean))

    left, right = 1 / high, 1 / low
    if np.ptp(z, axis=None if multi_label else 1).max() == 0 and (not multi_label or z.flat[0] == 0):
        return 1.0
    if slope(left)[0] >= 0:
        return high
    if slope(right)[0] <= 0:
        return low
    b = min(max(1.0, left), right)
    for _ in range(100):
        first, second = slope(b)
        if first > 0:
            right = b
        else:
            left = b
        step = b - first / second if second > 0 else np.nan
        new = step if left < step < right else (left * right) ** 0.5
        if abs(new - b) <= 1e-10 * b:
            break
        b = new
    return float(1 / b)
