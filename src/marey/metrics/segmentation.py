"""Dense labelling (a label for every frame) judged as the field does, by two evaluators that differ.

- `ms-tcn`: Farha & Gall, *MS-TCN* (CVPR 2019): frames are pooled over videos, and so are the hits of F1@k.
- `lea`: Lea et al., *Temporal Convolutional Networks for Action Segmentation and Detection* (CVPR 2017):
  accuracy and F1@k are taken video by video and averaged.

The edit score is averaged over videos in both. All are shares in 0…1, where papers print percent.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marey.errors import DataError, UsageError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

OVERLAPS = (0.10, 0.25, 0.50)
EVALUATORS = {
    "ms-tcn": "MS-TCN (frames and F1 pooled over videos)",
    "lea": "Lea et al. (accuracy and F1 by video, averaged)",
}


@dataclass(frozen=True, eq=False)
class _Runs:
    """Stretches of equal label, of all videos end to end.

    Attributes:
        start: first frame of each; `stop`: one past its last; `label`; `video`.
    """

    start: IntArray
    stop: IntArray
    label: IntArray
    video: IntArray

    def without(self, labels: IntArray) -> _Runs:
        keep = ~np.isin(self.label, labels)
        return _Runs(self.start[keep], self.stop[keep], self.label[keep], self.video[keep])


def segmentation_scores(
    predictions: Mapping[str, ArrayLike],
    truth: Mapping[str, ArrayLike],
    *,
    background: Iterable[Hashable] = (),
    overlaps: Sequence[float] = OVERLAPS,
    rule: Literal["ms-tcn", "lea"] = "ms-tcn",
) -> dict[str, Any]:
    """Frame accuracy, edit score and F1 at several overlaps.

    Segments are stretches of equal label; those of `background` count in no edit score and no F1, though
    their frames count in the accuracy. For F1@k each predicted segment, in order, is held against the true
    segment of its label that it overlaps most (IoU; of equals the first); it is a hit if IoU ≥ k and no
    earlier one has taken it.

    Args:
        predictions: video -> labels of its frames, numbers or names.
        truth: the same videos, as many frames each.
        background: labels that are no action.
        overlaps: the k of F1@k, each in (0, 1].
        rule: "ms-tcn" or "lea".

    Returns:
        `evaluator, frame_accuracy, edit, f1` ({"10": …}), `precision` and `recall` (as f1), `n_frames,
        n_videos, n_segments`. A video that holds nothing but background in both has edit score 1; under
        `lea` its F1 is 0, as there.

    Raises:
        DataError: a video missing from the predictions, another number of frames, or no frames at all.
        UsageError: overlaps out of range, or an unknown rule.
    """
    if rule not in EVALUATORS:
        raise UsageError(f"{rule!r} is no evaluator.", f"evaluators: {', '.join(EVALUATORS)}")
    if not overlaps or min(overlaps) <= 0 or max(overlaps) > 1:
        raise UsageError(f"overlaps {list(overlaps)} must lie above 0 and not above 1.")
    p, y, lengths, names = _frames(predictions, truth)
    ignored = np.flatnonzero([name in set(background) for name in names])
    edges = np.concatenate([[0], np.cumsum(lengths)])
    predicted, true = (_runs(x, edges).without(ignored) for x in (p, y))

    right = np.add.reduceat(p == y, edges[:-1])
    accuracy = float((right / lengths).mean() if rule == "lea" else right.sum() / lengths.sum())
    edits = _edit_scores(predicted, true, len(lengths))
    best, overlap = _best_overlaps(predicted, true)
    n_true, n_predicted = (np.bincount(r.video, minlength=len(lengths)) for r in (true, predicted))
    scores: dict[str, dict[str, float]] = {"f1": {}, "precision": {}, "recall": {}}
    for k in overlaps:
        hits = np.bincount(predicted.video[_hits(best, overlap, k)], minlength=len(lengths))
        counts = [hits, n_predicted, n_true]
        if rule == "ms-tcn":
            counts = [np.array([c.sum()]) for c in counts]
        # One row in all, or one a video; 0 where there is nothing to divide by, as both evaluators have it
        precision, recall = _share(counts[0], counts[1]), _share(counts[0], counts[2])
        f1 = _share(2 * precision * recall, precision + recall)
        for name, value in (("f1", f1), ("precision", precision), ("recall", recall)):
            scores[name][f"{100 * k:g}"] = float(value.mean())
    return {
        "evaluator": EVALUATORS[rule],
        "frame_accuracy": accuracy,
        "edit": float(edits.mean()),
        **scores,
        "n_frames": int(lengths.sum()),
        "n_videos": len(lengths),
        "n_segments": len(true.label),
    }


def edit_score(predicted: Sequence[Hashable], true: Sequence[Hashable]) -> float:
    """1 − Levenshtein distance ÷ length of the longer, of two sequences of segment labels; 1 if both are empty."""
    names = {name: i for i, name in enumerate(dict.fromkeys([*predicted, *true]))}
    a, b = (np.array([names[x] for x in side], dtype=np.int64) for side in (predicted, true))
    longest = max(len(a), len(b))
    return 1.0 if not longest else 1.0 - _levenshtein(a, b) / longest


def _levenshtein(a: IntArray, b: IntArray) -> int:
    """The edit distance, a row of the table at a time.

    Within a row d[j] = min(c[j], d[j−1] + 1), which is the running minimum of c[j] − j, plus j.
    """
    steps = np.arange(len(b) + 1)
    row = steps.copy()
    for i, x in enumerate(a, start=1):
        cell = np.empty_like(row)
        cell[0] = i
        cell[1:] = np.minimum(row[1:] + 1, row[:-1] + (b != x))
        row = np.minimum.accumulate(cell - steps) + steps
    return int(row[-1])


def _frames(
    predictions: Mapping[str, ArrayLike], truth: Mapping[str, ArrayLike]
) -> tuple[IntArray, IntArray, IntArray, list[Any]]:
    """Labels of all frames as numbers, predicted and true; frames a video; and the labels' names."""
    given: list[NDArray[Any]] = []
    asked: list[NDArray[Any]] = []
    for video, labels in truth.items():
        if video not in predictions:
            raise DataError("there is no prediction for this video.", where=video)
        p, y = np.asarray(predictions[video]), np.asarray(labels)
        if p.shape != y.shape or y.ndim != 1:
            raise DataError(
                f"predicted labels of shape {p.shape}, true ones of shape {y.shape}.", where=video
            )
        if len(y):
            given.append(p)
            asked.append(y)
    if not asked:
        raise DataError("there is no frame to judge.")
    kinds = {"text" if x.dtype.kind in "UO" else "number" for x in given + asked}
    if len(kinds) > 1:
        raise DataError("some labels are names and others are numbers.", "use one of them throughout.")
    names, codes = np.unique(np.concatenate(given + asked), return_inverse=True)
    half = len(codes) // 2
    lengths = np.array([len(y) for y in asked], dtype=np.int64)
    return codes[:half].astype(np.int64), codes[half:].astype(np.int64), lengths, names.tolist()


def _runs(labels: IntArray, edges: IntArray) -> _Runs:
    starts = np.union1d(np.flatnonzero(np.diff(labels)) + 1, edges[:-1])
    stops = np.append(starts[1:], len(labels))
    return _Runs(starts, stops, labels[starts], np.searchsorted(edges, starts, "right") - 1)


def _edit_scores(predicted: _Runs, true: _Runs, videos: int) -> FloatArray:
    scores = np.empty(videos)
    bounds = [np.searchsorted(r.video, np.arange(videos + 1)) for r in (predicted, true)]
    for v in range(videos):
        a, b = (r.label[at[v] : at[v + 1]] for r, at in zip((predicted, true), bounds, strict=True))
        longest = max(len(a), len(b))
        scores[v] = 1.0 - _levenshtein(a, b) / longest if longest else 1.0
    return scores


def _best_overlaps(predicted: _Runs, true: _Runs) -> tuple[IntArray, FloatArray]:
    """For each predicted segment the true one of its label with the largest IoU, and that IoU (0: none).

    Both are stretches of one line (videos lie end to end), so the pieces between all their bounds name every
    overlapping pair, each once.
    """
    best, overlap = np.zeros(len(predicted.label), np.int64), np.zeros(len(predicted.label))
    if not len(predicted.label) or not len(true.label):
        return best, overlap
    bounds = np.unique(np.concatenate([predicted.start, predicted.stop, true.start, true.stop]))
    piece, length = bounds[:-1], np.diff(bounds)
    i, j = (np.searchsorted(r.start, piece, "right") - 1 for r in (predicted, true))
    inside = (i >= 0) & (j >= 0)
    i, j, piece, length = i[inside], j[inside], piece[inside], length[inside]
    same = (predicted.stop[i] > piece) & (true.stop[j] > piece) & (predicted.label[i] == true.label[j])
    i, j, length = i[same], j[same], length[same]
    union = np.maximum(predicted.stop[i], true.stop[j]) - np.minimum(predicted.start[i], true.start[j])
    iou = length / union
    order = np.lexsort((j, -iou, i))
    first = order[np.unique(i[order], return_index=True)[1]]
    best[i[first]], overlap[i[first]] = j[first], iou[first]
    return best, overlap


def _hits(best: IntArray, overlap: FloatArray, k: float) -> IntArray:
    """Which predicted segments are hits: of those that point at one true segment, the first that is good enough."""
    good = np.flatnonzero(overlap >= k)
    return good[np.unique(best[good], return_index=True)[1]]


def _share(part: NDArray[Any], whole: NDArray[Any]) -> FloatArray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
