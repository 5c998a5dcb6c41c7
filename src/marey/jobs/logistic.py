"""A logistic probe beside a trained head: the plainest classifier on the same features and the same folds.

A head that is not better than it has learnt nothing of time. Features are averaged over time (and the largest taken
over places, where there are several), standardised by the training samples, and the strength of the penalty is
chosen by cross-validation within the training samples, whose groups stay whole: nothing of a judged sample is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.data.splits import grouping
from marey.jobs.bench import Bench
from marey.jobs.partition import Part
from marey.metrics.intervals import Resampling
from marey.metrics.scores import top_k_hits

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # C of scikit-learn: the inverse of the penalty


def logistic_probe(
    bench: Bench, parts: Sequence[Part], targets: NDArray[np.int64], seed: int
) -> dict[str, Any]:
    """Judge a logistic regression on the same parts as the head.

    Returns:
        the "logistic" entry of metrics.json: `top1, interval, method, n, C` (one a part), `about`.
    """
    groups = grouping(bench.table.manifest).ids
    held = bench.table.failures
    x_ND = pooled_features(bench)
    rows, scores, chosen = [], [], []
    for part in parts:
        train = np.array([row for row in part.train if int(row) not in held], dtype=np.int64)
        judged = np.array([row for row in part.judged if int(row) not in held], dtype=np.int64)
        penalty = choose_penalty(x_ND[train], targets[train], groups[train], seed)
        chosen.append(penalty)
        rows.append(judged)
        scores.append(_scores(x_ND[train], targets[train], x_ND[judged], penalty, targets))
    at = np.concatenate(rows)
    hits = top_k_hits(np.concatenate(scores), targets[at], multi_label=targets.ndim == 2)
    interval = Resampling.of(len(at), groups[at].tolist(), seed=seed).proportion(hits)
    return {
        "top1": float(hits.mean()),
        "interval": interval.pair(),
        "method": interval.method,
        "n": len(at),
        "C": chosen,
        "about": "logistic regression on features averaged over time, standardised, penalty chosen by grouped "
        "cross-validation within the training samples",
    }


def pooled_features(bench: Bench) -> NDArray[np.float64]:
    """One vector a sample `(N, D)`, as a linear head sees it; zero where a sample has no features."""
    import torch

    probe = bench.head(2, np.empty(0, dtype=np.int64))
    linear = type(probe.head)(
        bench.table.width, 2, kind="linear", inputs=probe.head.inputs, places=probe.head.places
    )
    found: dict[int, NDArray[np.float64]] = {}
    with torch.inference_mode():
        for row in range(len(bench.table.manifest)):
            if row not in bench.table.failures:
                x_1TD = torch.from_numpy(bench.table.array(row))[None]
                found[row] = linear.pooled(x_1TD, None)[0].double().numpy()
    table = np.zeros((len(bench.table.manifest), len(next(iter(found.values())))))
    for row, vector in found.items():
        table[row] = vector
    return table


def choose_penalty(
    x_ND: NDArray[np.float64], y: NDArray[np.int64], groups: NDArray[np.int64], seed: int
) -> float:
    """The C with the least log loss in cross-validation by groups; 0.01 where there are too few to divide."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    count = min(4, len(np.unique(groups)))
    if count < 2:
        return 1e-2
    if y.ndim == 1:
        splits = list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(x_ND, y, groups))
    else:
        splits = list(GroupKFold(count).split(x_ND, y, groups))
    splits = [(a, b) for a, b in splits if len(a) and len(b) and (y.ndim == 2 or len(np.unique(y[a])) > 1)]
    if not splits:
        return 1e-2
    losses = [
        np.mean([_loss(_scores(x_ND[a], y[a], x_ND[b], penalty, y), y[b]) for a, b in splits])
        for penalty in PENALTIES
    ]
    return PENALTIES[int(np.argmin(losses))]


def _scores(
    train_ND: NDArray[np.float64],
    y: NDArray[np.int64],
    judged_ND: NDArray[np.float64],
    penalty: float,
    every: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Probabilities `(N, K)`; `every` are the targets of all samples, which say how many classes there are."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fitted(labels: NDArray[np.int64]) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=2000)).fit(
            train_ND, labels
        )

    if every.ndim == 2:
        columns = []
        for k in range(every.shape[1]):
            same = np.unique(y[:, k])
            both = len(same) > 1
            columns.append(
                fitted(y[:, k]).predict_proba(judged_ND)[:, 1]
                if both
                else np.full(len(judged_ND), float(same[0]))
            )
        return np.stack(columns, axis=1)
    found = np.zeros((len(judged_ND), int(every.max()) + 1))
    classes = np.unique(y)
    found[:, classes] = fitted(y).predict_proba(judged_ND) if len(classes) > 1 else 1.0
    return found


def _loss(p: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    p = np.clip(p, 1e-7, 1 - 1e-7)
    if y.ndim == 2:
        return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())
    return float(-np.log(p[np.arange(len(y)), y]).mean())
