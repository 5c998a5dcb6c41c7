"""Temporal localization, judged exactly as the field does. Evaluators disagree by points, so every result
names its own.

Ties, which the original tools leave to the sorting routine, are broken by one rule here: of equal scores the
prediction that comes first in the table, of equal tIoU the ground truth (or detection) that comes first.

- `activitynet_map`: Caba Heilbron et al., *ActivityNet* (CVPR 2015), the detection task of its toolkit. The
  same rule is used with other thresholds for THUMOS'14 (0.3:0.1:0.7) and EPIC-Kitchens (0.1:0.1:0.5).
- `thumos14_map`: the THUMOS'14 development kit (Jiang et al. 2014).
- `average_recall`: AR@AN of the ActivityNet proposal task (Caba Heilbron et al. 2016; Escorcia et al. 2016).
- `false_positives`: Alwassel et al., *Diagnosing Error in Temporal Action Detectors* (ECCV 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import UsageError
from marey.metrics.detections import RankedDetections, check_truth, numbers_in, scores_of
from marey.metrics.segments import Choice, SegmentTable, overlapping_pairs

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

ACTIVITYNET = tuple(float(x) for x in np.linspace(0.5, 0.95, 10))
THUMOS = (0.3, 0.4, 0.5, 0.6, 0.7)
EPIC = (0.1, 0.2, 0.3, 0.4, 0.5)
FALSE_POSITIVE_KINDS = ("true positive", "double", "wrong label", "localization", "confusion", "background")


def activitynet_map(
    predictions: SegmentTable, truth: SegmentTable, thresholds: Sequence[float] = ACTIVITYNET
) -> dict[str, Any]:
    """Mean average precision by the ActivityNet rule.

    Of each class the predictions are taken by falling score; each tries the ground truths of its video and
    class by falling tIoU and claims the first unclaimed one with tIoU ≥ threshold, else it is false. The
    average precision is the area under the precision–recall curve made monotone, at all points. The mean goes
    over the classes of the ground truth; one that is never predicted counts 0.

    Args:
        predictions: with scores. Those of classes that the truth does not have are left out and counted;
            those in videos that the truth does not name are false, and counted.
        truth: the ground truth; segments must have a length.
        thresholds: tIoU, each in (0, 1].

    Returns:
        `evaluator, thresholds, map` (one a threshold), `average_map, per_class` (name -> AP by threshold, and
        "average"), `n_truth, n_predictions, n_unknown_class, n_unknown_video`.

    Raises:
        UsageError: predictions without scores, thresholds out of range.
        DataError: no ground truth, or a ground truth without length.
    """
    case = RankedDetections(predictions, truth, thresholds)
    choice = case.choice_of_predictions(min(thresholds))
    hits = np.stack([case.taken(choice.at(t)) for t in thresholds])
    return case.result("ActivityNet (all-point interpolated AP)", _interpolated, hits)


def thumos14_map(
    predictions: SegmentTable,
    truth: SegmentTable,
    thresholds: Sequence[float] = THUMOS,
    *,
    ambiguous: str = "Ambiguous",
) -> dict[str, Any]:
    """Mean average precision by the rule of the THUMOS'14 development kit.

    In each video the ground truths of a class, in their order, each claim the free detection of highest tIoU
    if it lies *above* the threshold. Detections that claim nothing are false, except those that overlap an
    ambiguous segment at all, which are left out. AP = Σ precision at hits ÷ positives, not interpolated.

    Args:
        ambiguous: the class in `truth` whose segments excuse detections of every class; it is not judged.

    Returns and Raises: as `activitynet_map`; `n_left_out` counts, by threshold, what ambiguous segments excuse.
    """
    unclear = truth.labels.index(ambiguous) if ambiguous in truth.labels else -1
    case = RankedDetections(predictions, truth, thresholds, without=unclear)
    pairs = overlapping_pairs(case.predictions, case.key, truth, case.truth_key, least=min(thresholds))
    choice = Choice(pairs.b, pairs.a, pairs.tiou, len(truth), len(case))
    hits = np.stack([choice.at(t, strict=True) < len(truth) for t in thresholds])
    excused = np.zeros(len(case), dtype=bool)
    if unclear >= 0:
        where = np.where(truth.label == unclear, truth.video, -1)
        excused[overlapping_pairs(case.predictions, case.video, truth, where).a] = True
    judged = hits | ~excused
    found = case.result("THUMOS'14 development kit (AP at hits)", _at_hits, hits, judged)
    found["n_left_out"] = [int(n) for n in (~judged).sum(axis=1)]
    return found


def average_recall(
    proposals: SegmentTable,
    truth: SegmentTable,
    thresholds: Sequence[float] = ACTIVITYNET,
    *,
    most: float | None = 100,
) -> dict[str, Any]:
    """Average recall against the average number of proposals a video (AR@AN), as ActivityNet's proposal task.

    Classes do not count. Every video keeps the same share of its own proposals, best first, such that `most`
    are kept on average; at each percent of these the recall of the ground truth is averaged over thresholds.

    Args:
        proposals: with scores; those in videos that the truth does not name count for the average only.
        truth: the ground truth; segments must have a length.
        most: largest average number; None takes all that there are.

    Returns:
        `evaluator, thresholds, proposals_per_video` (100), `average_recall` (100), `recall` (thresholds × 100),
        `auc` (area under average recall ÷ the largest number), `n_truth, n_proposals`.
    """
    score = scores_of(proposals)
    check_truth(truth, thresholds)
    videos = np.unique(truth.video)  # videos without a segment have nothing to recall
    total = len(proposals)
    wanted = float(most) if most is not None else total / len(videos)
    video = numbers_in(proposals.videos, truth.videos)[proposals.video]
    order = np.lexsort((-score, video))
    count = np.bincount(video[video >= 0], minlength=len(truth.videos))
    share = wanted * len(videos) / total if total else 0.0
    kept = np.minimum((count * share).astype(np.int64), count)
    # Place of each proposal in its video, best first; what is not kept is out of reach.
    sorted_video = video[order]
    place = np.empty(total, dtype=np.int64)
    place[order] = np.arange(total) - np.searchsorted(sorted_video, sorted_video)
    reach = (video >= 0) & (place < kept[np.maximum(video, 0)])
    pairs = overlapping_pairs(
        proposals, np.where(reach, video, -1), truth, truth.video, least=min(thresholds)
    )

    retrieved = int(kept[videos].sum())
    percent = np.arange(1, 101) / 100.0 * (wanted * len(videos) / retrieved if retrieved else 0.0)
    shown = np.minimum((kept[:, None] * percent).astype(np.int64), kept[:, None])  # (videos, 100)
    recall = np.zeros((len(thresholds), 100))
    for row, threshold in enumerate(thresholds):
        first = np.full(
            len(truth), np.iinfo(np.int64).max
        )  # place of the first proposal that finds each truth
        good = pairs.tiou >= threshold
        np.minimum.at(first, pairs.b[good], place[pairs.a[good]])
        recall[row] = (first[:, None] < shown[truth.video]).mean(axis=0)
    average = recall.mean(axis=0)
    per_video = percent * (retrieved / len(videos))
    area = float(np.sum((average[1:] + average[:-1]) / 2 * np.diff(per_video)))
    auc = area / float(per_video[-1]) if per_video[-1] > 0 else 0.0
    return {
        "evaluator": "ActivityNet proposals (AR@AN)",
        "thresholds": [float(t) for t in thresholds],
        "proposals_per_video": per_video.tolist(),
        "average_recall": average.tolist(),
        "recall": recall.tolist(),
        "auc": auc,
        "n_truth": len(truth),
        "n_proposals": total,
    }


def false_positives(
    predictions: SegmentTable,
    truth: SegmentTable,
    threshold: float = 0.5,
    *,
    background: float = 0.1,
    groups: int = 10,
) -> dict[str, Any]:
    """What the false positives are, by DETAD's kinds, from the best predictions down.

    Each false prediction is held against the ground truth of *any* class that it overlaps most (of equals, the
    first): at tIoU ≥ `threshold` it is a *double* detection if the class agrees and a *wrong label* if not; at
    tIoU ≥ `background` a *localization* error or a *confusion*; below, *background*. What is true follows the
    ActivityNet rule.

    Args:
        background: tIoU under which a prediction has to do with nothing.
        groups: how many groups: the G best predictions of each class (G: its ground truths), the next G, …

    Returns:
        `evaluator, threshold, background, kinds` and, for each group, the `counts` and `shares` by kind; `total`
        over all predictions of known classes.
    """
    case = RankedDetections(predictions, truth, (threshold,))
    if not 0 < background <= threshold:
        raise UsageError(f"the background bound {background:g} must lie above 0 and not above {threshold:g}.")
    hit = case.taken(case.choice_of_predictions(threshold).at(threshold))
    pairs = overlapping_pairs(case.predictions, case.video, truth, truth.video)
    order = np.lexsort((pairs.b, -pairs.tiou, pairs.a))
    a, b, tiou = pairs.a[order], pairs.b[order], pairs.tiou[order]
    best = np.unique(a, return_index=True)[1]
    top, agrees = np.zeros(len(case)), np.zeros(len(case), dtype=bool)
    top[a[best]] = tiou[best]
    agrees[a[best]] = truth.label[b[best]] == case.label[a[best]]
    kind = np.select(
        [hit, top >= threshold, top >= background],
        [0, np.where(agrees, 1, 2), np.where(agrees, 3, 4)],
        default=5,
    )
    rank = np.arange(len(case)) - np.searchsorted(case.label, case.label)
    group = rank // case.positives[case.label]
    inside = group < groups
    table = np.bincount(group[inside] * 6 + kind[inside], minlength=groups * 6).reshape(groups, 6)
    sizes = np.maximum(table.sum(axis=1, keepdims=True), 1)
    return {
        "evaluator": "DETAD false-positive profile",
        "threshold": float(threshold),
        "background": float(background),
        "kinds": list(FALSE_POSITIVE_KINDS),
        "counts": table.tolist(),
        "shares": (table / sizes).tolist(),
        "total": np.bincount(kind, minlength=6).tolist(),
    }


def _interpolated(precision: FloatArray) -> float:
    """Σ over hits of the best precision there or later (which is always that of a hit: misses only lower it)."""
    return float(np.maximum.accumulate(precision[::-1]).sum())


def _at_hits(precision: FloatArray) -> float:
    return float(precision.sum())
