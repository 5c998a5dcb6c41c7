"""ActivityNet mAP of 200,000 detections: the vectorised evaluator against the plain per-prediction loop.

    python benchmarks/localization_metrics.py [--detections 200000] [--videos 1000] [--classes 20]

Both judge the same table in one process, after one another, and must agree; the ratio of their processor times
is what counts, not the times. The loop is written to be fast as Python goes: ground truths looked up by video
and class, no data frames, the overlaps of a prediction computed once for all ten thresholds.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import numpy as np

from marey.metrics.localization import ACTIVITYNET, activitynet_map
from marey.metrics.segments import SegmentTable


def make_tables(
    detections: int, videos: int, classes: int, seed: int = 0
) -> tuple[SegmentTable, SegmentTable]:
    """Untrimmed videos of some 15 actions of one or two classes; detections gather around them, as after NMS.

    Scores are rounded to four places, so that there are ties.
    """
    rng = np.random.default_rng(seed)
    count = rng.poisson(14, videos) + 1
    video = np.repeat(np.arange(videos), count)
    own = rng.integers(0, classes, (videos, 2))
    label = own[video, (rng.random(len(video)) < 0.2).astype(int)]
    start = rng.uniform(0, 200, len(video))
    length = rng.lognormal(1.3, 0.7, len(video))
    at = rng.integers(0, len(video), detections)
    near = rng.random(detections) < 0.6
    spread = np.where(near, 0.25, 3.0) * length[at]
    p_start = start[at] + rng.normal(size=detections) * spread
    p_length = length[at] * rng.lognormal(0, 0.4, detections)
    p_label = np.where(rng.random(detections) < 0.8, label[at], rng.integers(0, classes, detections))
    score = np.round(rng.beta(1, 3, detections) + 0.3 * near, 4)
    names_v, names_c = tuple(f"video {i}" for i in range(videos)), tuple(f"class {i}" for i in range(classes))
    truth = SegmentTable(names_v, names_c, video, label, start, start + length)
    predicted = SegmentTable(names_v, names_c, video[at], p_label, p_start, p_start + p_length, score)
    return predicted, truth


def _rows(table: SegmentTable) -> list[tuple[int, int, float, float]]:
    columns = (table.video, table.label, table.start, table.end)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def plain_loop(predictions: SegmentTable, truth: SegmentTable, thresholds: tuple[float, ...]) -> list[float]:
    """mAP at each threshold, one prediction after the other."""
    places = defaultdict(list)
    truth_rows = _rows(truth)
    for i, (video, label, _, _) in enumerate(truth_rows):
        places[video, label].append(i)
    assert predictions.score is not None
    rows = [(*row, score) for row, score in zip(_rows(predictions), predictions.score.tolist(), strict=True)]
    by_class = defaultdict(list)
    for row in sorted(rows, key=lambda row: -row[4]):
        by_class[row[1]].append(row)
    table = []
    for label in sorted({row[1] for row in truth_rows}):
        positives = sum(row[1] == label for row in truth_rows)
        claimed: list[set[int]] = [set() for _ in thresholds]
        hits: list[list[bool]] = [[] for _ in thresholds]
        for video, _, start, end, _ in by_class[label]:
            tried = []
            for i in places[video, label]:
                _, _, s, e = truth_rows[i]
                inter = max(0.0, min(end, e) - max(start, s))
                tried.append((inter / ((end - start) + (e - s) - inter), i))
            tried.sort(key=lambda x: -x[0])
            for t, threshold in enumerate(thresholds):
                hit = False
                for overlap, i in tried:
                    if overlap < threshold:
                        break
                    if i not in claimed[t]:
                        claimed[t].add(i)
                        hit = True
                        break
                hits[t].append(hit)
        column = []
        for those in hits:
            true, precision = 0, []
            for n, hit in enumerate(those, 1):
                true += hit
                precision.append(true / n)
            for n in range(len(precision) - 2, -1, -1):
                precision[n] = max(precision[n], precision[n + 1])
            column.append(sum(p for p, hit in zip(precision, those, strict=True) if hit) / positives)
        table.append(column)
    return [sum(column) / len(table) for column in zip(*table, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detections", type=int, default=200_000)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5, help="of the fast one; the best counts")
    options = parser.parse_args()
    predictions, truth = make_tables(options.detections, options.videos, options.classes)
    print(f"{len(predictions)} detections, {len(truth)} ground truths, {options.videos} videos, "
          f"{options.classes} classes, {len(ACTIVITYNET)} thresholds")  # fmt: skip
    fast = []
    for _ in range(options.repeats):
        began = time.process_time()
        found = activitynet_map(predictions, truth)
        fast.append(time.process_time() - began)
    began = time.process_time()
    expected = plain_loop(predictions, truth, ACTIVITYNET)
    slow = time.process_time() - began
    difference = float(np.abs(np.array(found["map"]) - expected).max())
    print(f"average mAP {found['average_map']:.4f}; largest difference between the two {difference:.1e}")
    print(f"vectorised {min(fast):.3f} s, plain loop {slow:.2f} s: {slow / min(fast):.1f} times faster")
    if difference > 1e-9:
        raise SystemExit("the two evaluators disagree")


if __name__ == "__main__":
    main()
