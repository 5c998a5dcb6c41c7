"""What a localizer says of annotated videos, judged and written: predictions.json, segments.csv, every evaluator."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from marey.data.annotated import Annotated
from marey.data.manifest import Manifest
from marey.data.splits import grouping
from marey.data.timelines import Timeline
from marey.files import write_json, write_text
from marey.metrics.activitynet import predictions_to_json
from marey.metrics.localization import THUMOS, activitynet_map
from marey.metrics.segmentation import segmentation_scores
from marey.metrics.segments import SegmentTable
from marey.metrics.timelines import judge_timelines, score_curve
from marey.types import Segment

if TYPE_CHECKING:
    from marey.predict.localizer import LocalizerPredictor


def judge_run(
    predictions: dict[str, list[Segment]],
    judged: Sequence[Annotated] | Sequence[Timeline],
    names: Sequence[str],
    manifest: Manifest,
    *,
    seed: int,
) -> dict[str, Any]:
    """Every evaluator on the judged videos, with intervals over groups."""
    lines = [item.timeline if isinstance(item, Annotated) else item for item in judged]
    group = grouping(manifest).ids
    return judge_timelines(
        SegmentTable.from_segments(predictions, labels=names),
        truth_table(lines, names),
        groups=[int(group[line.rows[0]]) for line in lines],
        seed=seed,
    )


def truth_table(lines: Sequence[Timeline], names: Sequence[str]) -> SegmentTable:
    """The ground truth of some videos as columns."""
    return SegmentTable.from_segments({line.path: true_segments(line, names) for line in lines}, labels=names)


def true_segments(line: Timeline, names: Sequence[str]) -> list[Segment]:
    """What happens in a video, as it was annotated."""
    return [
        Segment(float(s), float(e), names[k]) for (s, e), k in zip(line.segments, line.labels, strict=True)
    ]


def write_timelines(
    run: Path, predictions: dict[str, list[Segment]], judged: Sequence[Annotated], names: Sequence[str]
) -> None:
    """predictions.json in ActivityNet's form, and segments.csv with what was true and what was predicted."""
    write_json(
        run / "predictions.json",
        predictions_to_json(SegmentTable.from_segments(predictions, labels=names)),
    )
    truth = {item.timeline.path: true_segments(item.timeline, names) for item in judged}
    write_segments(run, predictions, truth)


def write_segments(
    run: Path, predictions: Mapping[str, Sequence[Segment]], truth: Mapping[str, Sequence[Segment]]
) -> None:
    """segments.csv with what was true and what was predicted in each video of `truth`: what a report draws."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "kind", "label", "start", "end", "score"))
    for path, true in truth.items():
        for kind, segments in (("true", true), ("predicted", predictions.get(path, ()))):
            for s in segments:
                score = "" if s.score is None else f"{s.score:.6f}"
                writer.writerow((path, kind, s.label, f"{s.start:.3f}", f"{s.end:.3f}", score))
    write_text(run / "segments.csv", text.getvalue())


def segments_of(predictor: LocalizerPredictor, item: Annotated) -> list[Segment]:
    """What a localizer says of one video."""
    return predictor.segments([np.asarray(item.features)], len(item), item.map)


def average_map(predictor: LocalizerPredictor, judged: Sequence[Annotated], names: Sequence[str]) -> float:
    """mAP by ActivityNet's rule, averaged over 0.3:0.1:0.7: the one number of a validation on the way."""
    table = SegmentTable.from_segments(
        {item.timeline.path: segments_of(predictor, item) for item in judged}, labels=names
    )
    truth = truth_table([item.timeline for item in judged], names)
    return float(activitynet_map(table, truth, THUMOS)["average_map"])


def sure_score(
    predictor: LocalizerPredictor, judged: Sequence[Annotated], names: Sequence[str]
) -> dict[str, Any]:
    """The score from which on predictions are most often right (F1 at tIoU 0.5), and on which split: what is told to
    people of a video that nobody annotated."""
    table = SegmentTable.from_segments(
        {item.timeline.path: segments_of(predictor, item) for item in judged}, labels=names
    )
    curve = score_curve(table, truth_table([item.timeline for item in judged], names), 0.5)
    best = max(curve, key=lambda point: point["f1"])
    return {"score": best["score"], "f1": best["f1"], "split": str(judged[0].timeline.split)}


def dense_scores(
    predictor: LocalizerPredictor, judged: Sequence[Annotated], names: Sequence[str], background: str
) -> dict[str, Any]:
    """Labels of all positions by both of the field's evaluators."""
    from marey.training.localizer import dense_target

    full = [*names, background]
    said, true = {}, {}
    for item in judged:
        path = item.timeline.path
        labels, _ = predictor.labels([np.asarray(item.features)], len(item))
        said[path] = [full[k] for k in labels]
        target = dense_target(item.segments, item.timeline.labels, len(item), len(names))
        true[path] = [full[k] for k in target.tolist()]
    return {
        rule: segmentation_scores(said, true, background=(background,), rule=rule)
        for rule in ("ms-tcn", "lea")
    }
