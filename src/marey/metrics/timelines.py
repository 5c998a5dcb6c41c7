"""What a run that localizes is judged by: several evaluators side by side, each under its own name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.metrics.detections import RankedDetections
from marey.metrics.localization import (
    ACTIVITYNET,
    THUMOS,
    activitynet_map,
    average_recall,
    false_positives,
    thumos14_map,
)
from marey.metrics.segments import SegmentTable

RESAMPLES = 200


def judge_timelines(
    predictions: SegmentTable,
    truth: SegmentTable,
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """All evaluators on the same segments.

    Args:
        groups: of each video of `truth`, what intervals are drawn over; by default each video by itself.

    Returns:
        `map` (ActivityNet's rule at 0.3:0.1:0.7, averaged) with its 95% interval in `intervals`, and under
        `evaluators` the whole results of each: `activitynet 0.3:0.1:0.7`, `activitynet 0.5:0.05:0.95`, `thumos14`,
        `proposals`, `false_positives`. `score_curve` at tIoU 0.5 (`score_tiou`), and `class_choice` at the score where
        its F1 is highest.
    """
    middle = activitynet_map(predictions, truth, THUMOS)
    found: dict[str, Any] = {
        "activitynet 0.3:0.1:0.7": middle,
        "activitynet 0.5:0.05:0.95": activitynet_map(predictions, truth, ACTIVITYNET),
        "thumos14 0.3:0.1:0.7": thumos14_map(predictions, truth, THUMOS),
        "proposals": average_recall(predictions, truth),
        "false_positives": false_positives(predictions, truth),
    }
    low, high = resampled(
        predictions, truth, lambda p, y: float(activitynet_map(p, y, THUMOS)["average_map"]), groups, seed
    )
    curve = score_curve(predictions, truth, 0.5)
    best = max(curve, key=lambda point: point["f1"])["score"]
    return {
        "map": middle["average_map"],
        "intervals": {"map": [low, high]},
        "interval_method": f"bootstrap over {len(set(groups)) if groups is not None else len(truth.videos)} "
        f"{'groups' if groups is not None else 'videos'}, {RESAMPLES} resamples",
        "evaluators": found,
        "score_curve": curve,
        "score_tiou": 0.5,
        "class_choice": {"score": best, "classes": class_choice(predictions, truth, 0.5, best)},
    }


def score_curve(predictions: SegmentTable, truth: SegmentTable, threshold: float) -> list[dict[str, float]]:
    """Precision, recall and F1 of the predictions from a score on, for 99 scores: what an alarm would be set by.

    A prediction is right if, taken by falling score, it claims a ground truth of its class by ActivityNet's rule.
    """
    case = RankedDetections(predictions, truth, (threshold,))
    hit = case.taken(case.choice_of_predictions(threshold).at(threshold))
    assert case.predictions.score is not None
    score = case.predictions.score
    curve = []
    for least in np.arange(1, 100) / 100:
        counted = score >= least
        right, said = int((hit & counted).sum()), int(counted.sum())
        precision, recall = right / said if said else 1.0, right / len(truth)
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        curve.append({"score": float(least), "precision": precision, "recall": recall, "f1": f1})
    return curve


def class_choice(
    predictions: SegmentTable, truth: SegmentTable, threshold: float, least: float
) -> dict[str, dict[str, float]]:
    """Of every annotated class, what its predictions from the score `least` on are worth, by the rule of `score_curve`.

    Returns:
        name -> `n` annotated, `said` predicted, `right` of them, `precision`, `recall` and `f1`.
    """
    case = RankedDetections(predictions, truth, (threshold,))
    assert case.predictions.score is not None
    counted = case.predictions.score >= least
    hit = case.taken(case.choice_of_predictions(threshold).at(threshold)) & counted
    k = len(truth.labels)
    right = np.bincount(case.label[hit], minlength=k)
    said = np.bincount(case.label[counted], minlength=k)
    return {
        truth.labels[c]: {
            "n": int(n),
            "said": int(said[c]),
            "right": int(right[c]),
            "precision": right[c] / said[c] if said[c] else 1.0,
            "recall": right[c] / n,
            "f1": 2 * right[c] / (said[c] + n),
        }
        for c, n in enumerate(case.positives.tolist())
        if n
    }


def mean_f1(predictions: SegmentTable, truth: SegmentTable, thresholds: Sequence[float]) -> float:
    """F1 of all predictions together, averaged over tIoU thresholds: right is what claims a ground truth of its class
    by ActivityNet's rule. Unlike average precision it minds every segment that is too much."""
    if not len(predictions):
        return 0.0
    case = RankedDetections(predictions, truth, thresholds)
    choice = case.choice_of_predictions(min(thresholds))
    right = [int(case.taken(choice.at(t)).sum()) for t in thresholds]
    return float(np.mean([2 * r / (len(predictions) + len(truth)) for r in right]))


def resampled(
    predictions: SegmentTable,
    truth: SegmentTable,
    score: Callable[[SegmentTable, SegmentTable], float],
    groups: Sequence[int] | None,
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """The 95% interval of a score under resampling of groups of videos with all that is in them.

    A resample in which some class has no ground truth is judged on the classes that it has, as any data set is.
    """
    rng = np.random.default_rng(seed)
    group = np.arange(len(truth.videos)) if groups is None else np.asarray(groups)
    names, group = np.unique(group, return_inverse=True)
    place = {video: i for i, video in enumerate(truth.videos)}
    theirs = np.array([place.get(video, -1) for video in predictions.videos], dtype=np.int64)
    own = theirs[predictions.video] if len(predictions) else np.empty(0, np.int64)
    members = [np.flatnonzero(group == g) for g in range(len(names))]
    truth_rows = [np.flatnonzero(truth.video == v) for v in range(len(truth.videos))]
    own_rows = [np.flatnonzero(own == v) for v in range(len(truth.videos))]
    scores = []
    for _ in range(resamples):
        chosen = np.concatenate([members[g] for g in rng.integers(0, len(names), len(names))])
        y = _taken(truth, truth_rows, chosen)
        if len(y):
            scores.append(score(_taken(predictions, own_rows, chosen), y))
    low, high = np.percentile(scores, (2.5, 97.5)) if scores else (float("nan"), float("nan"))
    return float(low), float(high)


def _taken(table: SegmentTable, rows: Sequence[NDArray[np.int64]], chosen: NDArray[np.int64]) -> SegmentTable:
    """The chosen videos, each a video of its own however often it was drawn."""
    index = np.concatenate([rows[v] for v in chosen]) if len(chosen) else np.empty(0, np.int64)
    video = np.repeat(np.arange(len(chosen)), [len(rows[v]) for v in chosen])
    return replace(
        table,
        videos=tuple(str(i) for i in range(len(chosen))),
        video=video,
        label=table.label[index],
        start=table.start[index],
        end=table.end[index],
        score=None if table.score is None else table.score[index],
    )
