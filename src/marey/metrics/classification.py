"""How good is a classifier? `judge` gives every number with its interval, its method and its definition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marey.metrics import calibration
from marey.metrics.average_precision import RankedClass
from marey.metrics.intervals import Interval, Resampling, bootstrap, wilson
from marey.metrics.scores import (
    chance_level,
    check_scores,
    confusion_matrix,
    macro_f1,
    majority_share,
    mean_class_accuracy,
    mean_of_defined,
    precision_recall_f1,
    rank_of_truth,
    top_k_accuracy,
    top_k_hits,
)

__all__ = [
    "chance_level",
    "confusion_matrix",
    "judge",
    "macro_f1",
    "majority_share",
    "mean_class_accuracy",
    "precision_recall_f1",
    "rank_of_truth",
    "top_k_accuracy",
    "top_k_hits",
]

FloatArray = NDArray[np.float64]

TOP_K = 5
THRESHOLD = 0.5  # of a multi-label decision
_MAP_WORK = 1_000_000_000  # samples × classes × draws that the interval of mAP may cost (some ten seconds)


def judge(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    class_names: Sequence[str],
    groups: Sequence[Any] | None = None,
    multi_label: bool = False,
    temperature: ArrayLike = 1.0,
    seed: int = 0,
) -> dict[str, Any]:
    """All that metrics.json says of a set of predictions, in plain JSON types (None where undefined).

    Args:
        logits: `(N, K)`, before calibration.
        targets: int `(N,)`, or 0/1 `(N, K)` for multi-label.
        class_names: K names.
        groups: the group of each sample (None: every sample alone); decides how the intervals are made.
        multi_label: independent labels; decisions at probability 0.5.
        temperature: divides the logits before the probabilities; fit it elsewhere (`fit_temperature`). One
            number, or `(N,)` where each sample has its own, as cross-validation has (then their mean is reported).
        seed: of the bootstrap.

    Returns:
        `top1, top5, mean_class_accuracy, macro_f1, map, ece, ece_before_calibration, temperature, n, groups,
        chance, majority, intervals, interval_method, interval_methods, per_class, confusion, reliability,
        definitions`. `definitions` says in words what each number is for this task.

    Raises:
        UsageError: shapes that do not fit.
        DataError: no samples, targets out of range, logits that are not finite.
    """
    classes = len(class_names)
    z, y = check_scores(logits, targets, classes, multi_label=multi_label)
    resampling = Resampling.of(len(z), groups, seed=seed)
    probs = calibration.probabilities(z, temperature=temperature, multi_label=multi_label)

    values: dict[str, Any] = dict.fromkeys(("top1", "top5", "mean_class_accuracy", "macro_f1", "map"))
    intervals: dict[str, Interval] = {}
    hits = top_k_hits(z, y, 1, multi_label=multi_label)
    values["top1"], intervals["top1"] = float(hits.mean()), resampling.proportion(hits)
    if classes > TOP_K:
        hits = top_k_hits(z, y, TOP_K, multi_label=multi_label)
        values["top5"], intervals["top5"] = float(hits.mean()), resampling.proportion(hits)

    ranked = [RankedClass(probs[:, k], y[:, k] if multi_label else y == k) for k in range(classes)]
    ap = np.array([r.average_precision()[0] for r in ranked])
    if multi_label:
        guessed = probs >= THRESHOLD
        counts = [(y & guessed).sum(axis=0), y.sum(axis=0), guessed.sum(axis=0)]
        drawn = [resampling.column_totals(x) for x in (y & guessed, y, guessed)]
        confusion = None
    else:
        guess = z.argmax(axis=1)
        table = confusion_matrix(y, guess, classes)
        confusion = table.tolist()
        counts = [np.diag(table), table.sum(axis=1), table.sum(axis=0)]
        drawn = resampling.totals(
            (np.where(y == guess, y, -1), classes, None), (y, classes, None), (guess, classes, None)
        )
    precision, recall, f1 = precision_recall_f1(*counts)
    precisions, recalls, f1s = precision_recall_f1(*drawn)

    def put(name: str, value: float, draws: FloatArray, method: str | None = None) -> None:
        if np.isfinite(value):
            values[name] = float(value)
            intervals[name] = resampling.percentile(float(value), draws, method=method)

    put("macro_f1", float(mean_of_defined(f1)), mean_of_defined(f1s))
    ap_draws = np.full((resampling.draws, classes), np.nan)
    if multi_label:
        draws = int(np.clip(_MAP_WORK // (z.size + 1), 200, resampling.draws))
        ap_draws = bootstrap(
            resampling, lambda w: np.stack([r.average_precision(w) for r in ranked], axis=1), draws=draws
        )
        method = resampling.method.replace(f"{resampling.draws} draws", f"{draws} draws")
        put("map", float(mean_of_defined(ap)), mean_of_defined(ap_draws), method)
    else:
        put("mean_class_accuracy", float(mean_of_defined(recall)), mean_of_defined(recalls))

    bins, gaps = calibration.BINS, []
    for name, t in (("ece", temperature), ("ece_before_calibration", 1.0)):
        p = calibration.probabilities(z, temperature=t, multi_label=multi_label)
        confidence, outcome = calibration.confidence_and_outcome(p, y, multi_label=multi_label)
        values[name] = calibration.expected_calibration_error(confidence, outcome)
        gaps.append(_gaps_by_bin(confidence, outcome, len(z)))
    # Multi-label has K values a sample. One pass over the draws serves both errors and their divisor.
    drawn_gaps = resampling.column_totals(np.hstack([*gaps, np.full((len(z), 1), len(confidence) / len(z))]))
    for at, name in enumerate(("ece", "ece_before_calibration")):
        errors = np.abs(drawn_gaps[:, at * bins : (at + 1) * bins]).sum(axis=1) / drawn_gaps[:, -1]
        intervals[name] = resampling.percentile(values[name], errors)
    confidence, outcome = calibration.confidence_and_outcome(probs, y, multi_label=multi_label)

    held, given = (y, guessed) if multi_label else (_one_hot(y, classes), _one_hot(guess, classes))
    support = [resampling.support(x) for x in (given, held, held | given, held)]
    per_class = []
    for k, name in enumerate(class_names):
        row: dict[str, Any] = {"class": name, "n": int(counts[1][k]), "predicted": int(counts[2][k])}
        for key, value, sampled, groups_k in (
            ("precision", precision[k], precisions[:, k], support[0][k]),
            ("recall", recall[k], recalls[:, k], support[1][k]),
            ("f1", f1[k], f1s[:, k], support[2][k]),
            ("ap", ap[k], ap_draws[:, k], support[3][k]),
        ):
            row[key] = float(value) if np.isfinite(value) else None
            if row[key] is None or (key == "ap" and not multi_label):
                continue
            if resampling.singletons and key in ("precision", "recall"):  # plain proportions
                row[f"{key}_interval"] = list(wilson(value * groups_k, groups_k))
            else:
                row[f"{key}_interval"] = resampling.percentile(
                    float(value), sampled, support=int(groups_k)
                ).pair()
        per_class.append(row)

    methods = {name: interval.method for name, interval in intervals.items()}
    return {
        "task": "multi-label" if multi_label else "single-label",
        "class_names": list(class_names),
        **values,
        "temperature": float(np.mean(np.asarray(temperature, dtype=np.float64))),
        "n": len(z),
        "groups": None if resampling.singletons else resampling.groups,
        "chance": chance_level(y, classes, multi_label=multi_label),
        "majority": majority_share(y, classes, multi_label=multi_label),
        "intervals": {name: interval.pair() for name, interval in intervals.items()},
        "interval_method": summary_of_methods(methods),
        "interval_methods": methods,
        "per_class": per_class,
        "confusion": confusion,
        "reliability": calibration.reliability_curve(confidence, outcome),
        "definitions": _definitions(classes, int((counts[1] > 0).sum()), multi_label),
    }


def _one_hot(labels: NDArray[Any], classes: int) -> NDArray[np.bool_]:
    return np.asarray(labels)[:, None] == np.arange(classes)


def _gaps_by_bin(confidence: FloatArray, outcome: FloatArray, n: int) -> FloatArray:
    """Σ (outcome − confidence) of each of n samples in each bin: `(n, bins)`."""
    bins = calibration.BINS
    cells = np.repeat(np.arange(n), len(confidence) // n) * bins + calibration.bin_of(confidence)
    return (
        np.bincount(cells, weights=outcome - confidence, minlength=n * bins)
        .reshape(n, bins)
        .astype(np.float64)
    )


def summary_of_methods(methods: dict[str, str]) -> str:
    """One line on how the intervals were made: the method alone, or each with the numbers it is for."""
    by_method: dict[str, list[str]] = {}
    for name, method in methods.items():
        by_method.setdefault(method, []).append(name)
    if len(by_method) == 1:
        return next(iter(by_method))
    return "; ".join(f"{method} ({', '.join(names)})" for method, names in by_method.items())


def _definitions(classes: int, present: int, multi_label: bool) -> dict[str, str]:
    """What each number means, for people."""
    missing = f" ({classes - present} of {classes} classes have no sample and are left out)"
    absent = "" if present == classes else missing
    bins = f"{calibration.BINS} bins of equal width (Guo et al. 2017)"
    top5 = f"needs more than {TOP_K} classes: with {classes} every answer is right"
    if multi_label:
        return {
            "top1": "share of samples whose highest-scored class is one of their labels (hit@1)",
            "top5": "share of samples with a label among the 5 highest-scored classes"
            if classes > TOP_K
            else top5,
            "mean_class_accuracy": "not defined for multi-label: see mAP and macro-F1",
            "macro_f1": f"mean F1 over classes that occur in truth or prediction, decided at probability {THRESHOLD}",
            "map": f"mean over classes of average precision, not interpolated{absent}",
            "ece": f"expected calibration error over all (sample, class) pairs, {bins}",
            "chance": "mean number of labels a sample ÷ number of classes: the hit@1 of a guess",
        }
    return {
        "top1": "share of samples whose highest-scored class is the true one",
        "top5": "share of samples whose true class is among the 5 highest-scored"
        if classes > TOP_K
        else top5,
        "mean_class_accuracy": f"mean over classes of the share that is right{absent}",
        "macro_f1": "mean F1 over the classes that occur in truth or prediction",
        "map": "only for multi-label",
        "ece": f"expected calibration error of the highest probability, {bins}",
        "chance": "1 ÷ number of classes",
    }
