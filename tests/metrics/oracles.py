"""Slow, plain evaluators: one loop a rule, written from the rules and not from the library."""

from __future__ import annotations

from collections import defaultdict

Row = tuple  # (video, label, start, end[, score])


def tiou(a: Row, b: Row) -> float:
    inter = max(0.0, min(a[3], b[3]) - max(a[2], b[2]))
    union = (a[3] - a[2]) + (b[3] - b[2]) - inter
    return inter / union if union > 0 else 0.0


def by_score(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda r: -r[4])  # sorted is stable


def activitynet_hits(
    predictions: list[Row], truth: list[Row], label: str, threshold: float
) -> list[tuple[Row, bool]]:
    """The predictions of a class by falling score, and whether each is true."""
    claimed: set[int] = set()
    out = []
    for p in by_score([p for p in predictions if p[1] == label]):
        tried = [(i, tiou(p, g)) for i, g in enumerate(truth) if g[0] == p[0] and g[1] == label]
        hit = False
        for i, overlap in sorted(tried, key=lambda x: -x[1]):
            if overlap < threshold:
                break
            if i not in claimed:
                claimed.add(i)
                hit = True
                break
        out.append((p, hit))
    return out


def interpolated_ap(hits: list[bool], positives: int) -> float:
    precision, recall, true = [0.0], [0.0], 0
    for n, hit in enumerate(hits, 1):
        true += hit
        precision.append(true / n)
        recall.append(true / positives)
    precision.append(0.0)
    recall.append(1.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def activitynet(predictions: list[Row], truth: list[Row], threshold: float) -> dict[str, float]:
    out = {}
    for label in {g[1] for g in truth}:
        hits = [hit for _, hit in activitynet_hits(predictions, truth, label, threshold)]
        out[label] = interpolated_ap(hits, sum(g[1] == label for g in truth))
    return out


def thumos14(predictions: list[Row], truth: list[Row], threshold: float) -> dict[str, float]:
    out = {}
    for label in {g[1] for g in truth} - {"Ambiguous"}:
        ranked = by_score([p for p in predictions if p[1] == label])
        taken: set[int] = set()
        for g in (g for g in truth if g[1] == label):
            free = [(i, tiou(p, g)) for i, p in enumerate(ranked) if p[0] == g[0] and i not in taken]
            if free:
                i, overlap = max(free, key=lambda x: x[1])  # max gives the first of equals
                if overlap > threshold:
                    taken.add(i)
        true = judged = 0
        total = 0.0
        for i, p in enumerate(ranked):
            unclear = any(g[1] == "Ambiguous" and g[0] == p[0] and tiou(p, g) > 0 for g in truth)
            if i not in taken and unclear:
                continue
            judged += 1
            if i in taken:
                true += 1
                total += true / judged
        out[label] = total / sum(g[1] == label for g in truth)
    return out


def average_recall(
    proposals: list[Row], truth: list[Row], thresholds: list[float], most: float
) -> tuple[list[float], list[float]]:
    videos = list(dict.fromkeys(g[0] for g in truth))
    ratio = most * len(videos) / len(proposals) if proposals else 0.0
    kept = {}
    for v in videos:
        own = by_score([p for p in proposals if p[0] == v])
        kept[v] = own[: min(int(len(own) * ratio), len(own))]
    retrieved = sum(map(len, kept.values()))
    recalls, numbers = [], []
    for percent in range(1, 101):
        share = percent / 100.0 * (most * len(videos) / retrieved if retrieved else 0.0)
        found = []
        for threshold in thresholds:
            n = 0
            for g in truth:
                own = kept[g[0]]
                n += any(tiou(p, g) >= threshold for p in own[: min(int(len(own) * share), len(own))])
            found.append(n / len(truth))
        recalls.append(sum(found) / len(found))
        numbers.append(share * retrieved / len(videos))
    return recalls, numbers


def detad(
    predictions: list[Row], truth: list[Row], threshold: float, background: float, groups: int
) -> list[list[int]]:
    table = [[0] * 6 for _ in range(groups)]
    for label in {g[1] for g in truth}:
        positives = sum(g[1] == label for g in truth)
        for place, (p, hit) in enumerate(activitynet_hits(predictions, truth, label, threshold)):
            best, agrees = 0.0, False
            for g in truth:
                if g[0] == p[0] and tiou(p, g) > best:
                    best, agrees = tiou(p, g), g[1] == label
            if hit:
                kind = 0
            elif best >= threshold:
                kind = 1 if agrees else 2
            elif best >= background:
                kind = 3 if agrees else 4
            else:
                kind = 5
            if place // positives < groups:
                table[place // positives][kind] += 1
    return table


def runs(labels: list, background: set) -> list[tuple[int, int, object]]:
    out: list[tuple[int, int, object]] = []
    for i, label in enumerate(labels):
        if i and label == labels[i - 1]:
            out[-1] = (out[-1][0], i + 1, label)
        else:
            out.append((i, i + 1, label))
    return [run for run in out if run[2] not in background]


def levenshtein(a: list, b: list) -> int:
    table = [[max(i, j) if not i * j else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            change = table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, change)
    return table[-1][-1]


def f_counts(predicted: list, true: list, background: set, overlap: float) -> tuple[int, int, int]:
    p, y = runs(predicted, background), runs(true, background)
    hit = [False] * len(y)
    tp = fp = 0
    for start, stop, label in p:
        best, at = -1.0, -1
        for j, (s, e, other) in enumerate(y):
            iou = (min(stop, e) - max(start, s)) / (max(stop, e) - min(start, s)) * (label == other)
            if iou > best:
                best, at = iou, j
        if at >= 0 and best >= overlap and not hit[at]:
            hit[at] = True
            tp += 1
        else:
            fp += 1
    return tp, fp, len(y) - sum(hit)


def f1_of(tp: int, fp: int, fn: int) -> float:
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def segmentation(predictions: dict, truth: dict, background: set, overlaps: list[float], rule: str) -> dict:
    accuracies, edits = [], []
    right = frames = 0
    counts = defaultdict(list)
    for video, y in truth.items():
        p = predictions[video]
        if not y:
            continue
        same = sum(a == b for a, b in zip(p, y, strict=True))
        right, frames = right + same, frames + len(y)
        accuracies.append(same / len(y))
        a, b = ([run[2] for run in runs(x, background)] for x in (p, y))
        longest = max(len(a), len(b))
        edits.append(1 - levenshtein(a, b) / longest if longest else 1.0)
        for k in overlaps:
            counts[k].append(f_counts(p, y, background, k))
    pooled = {k: f1_of(*(sum(c) for c in zip(*those, strict=True))) for k, those in counts.items()}
    mean = {k: sum(f1_of(*c) for c in those) / len(those) for k, those in counts.items()}
    return {
        "frame_accuracy": right / frames if rule == "ms-tcn" else sum(accuracies) / len(accuracies),
        "edit": sum(edits) / len(edits),
        "f1": pooled if rule == "ms-tcn" else mean,
    }
