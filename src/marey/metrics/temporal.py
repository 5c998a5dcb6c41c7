"""The temporal audit: does a model use time, or would a single frame do?

The same clips are judged in order, shuffled, reversed and frozen to one frame, and the *paired* differences
say what order and motion are worth to the model. Disturbing the input as a test of temporal modelling goes
back to Huang et al., *What Makes a Video a Video* (CVPR 2018) and Sevilla-Lara et al., *Only Time Can Tell*
(WACV 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marey.errors import UnknownNameError, UsageError
from marey.metrics.audit_sentence import sentence_and_verdict
from marey.metrics.intervals import Resampling, paired_difference
from marey.metrics.scores import chance_level, check_scores, majority_share, top_k_hits

KINDS = ("ordered", "shuffled", "reversed", "frozen")
MARGIN = 0.05  # a cost below five points counts as none, once the interval rules out more


def perturb(
    frames: NDArray[Any],
    mask: ArrayLike,
    kind: str,
    rng: np.random.Generator | None = None,
) -> NDArray[Any]:
    """The clip with its real frames disturbed; padding stays where it is. A new array, the input is untouched.

    Args:
        frames: `(T, ...)`, one entry a frame.
        mask: bool `(T,)`, True where the frame is real.
        kind: `ordered` (as it is), `shuffled` (a random order that is not the one it had, wherever two real
            frames differ), `reversed`, or `frozen` (the middle real frame, number ⌊n/2⌋ of n, in all places).
        rng: for `shuffled`.

    Raises:
        UnknownNameError: another kind.
        UsageError: `shuffled` without a generator, or a mask that does not fit.
    """
    real = np.flatnonzero(np.asarray(mask, dtype=bool))
    if len(np.asarray(mask)) != len(frames):
        raise UsageError(f"a mask of {len(np.asarray(mask))} for {len(frames)} frames.")
    if kind not in KINDS:
        raise UnknownNameError("perturbation", kind, KINDS)
    out = frames.copy()
    if not len(real):
        return out
    if kind == "reversed":
        out[real] = frames[real[::-1]]
    elif kind == "frozen":
        out[real] = frames[real[len(real) // 2]]
    elif kind == "shuffled":
        if rng is None:
            raise UsageError(
                "a shuffled clip needs a random generator.", "pass rng=numpy.random.default_rng(seed)."
            )
        out[real] = frames[real[_another_order(frames[real], rng)]]
    return out


def _another_order(frames: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int64]:
    """A uniformly drawn permutation among those that change the sequence, where any does."""
    seen: dict[bytes, int] = {}
    look = np.array([seen.setdefault(frame.tobytes(), len(seen)) for frame in frames])
    order = rng.permutation(len(frames))
    if len(seen) < 2:
        return order
    # A sequence with two different frames has at least as many orders that change it as not (n ≥ 2), so
    # this ends after two draws on average.
    while np.array_equal(look[order], look):
        order = rng.permutation(len(frames))
    return order


def audit(
    conditions: Mapping[str, ArrayLike],
    targets: ArrayLike,
    *,
    class_names: Sequence[str],
    groups: Sequence[Any] | None = None,
    baseline: ArrayLike | None = None,
    multi_label: bool = False,
    seed: int = 0,
    margin: float = MARGIN,
) -> dict[str, Any]:
    """The "audit" entry of metrics.json.

    Args:
        conditions: logits `(N, K)` of the same N samples for each of `KINDS`.
        targets: int `(N,)`, or 0/1 `(N, K)` for multi-label (then top-1 is hit@1).
        class_names: K names.
        groups: the group of each sample; decides how the intervals are made.
        baseline: logits `(N, K)` of a frame-averaging model on the same samples in order.
        multi_label: independent labels.
        seed: of the bootstrap.
        margin: the cost below which "as well" is said, once the interval rules out more.

    Returns:
        For each kind and `baseline` (None where not given): `{"top1", "interval", "method"}`, and for all but
        `ordered` `{"cost", "cost_interval", "cost_method"}`, the paired difference ordered − this one; then
        `chance, majority, n, groups, interval_method, margin, verdict, sentence`. The verdict is one of
        `order`, `frames`, `frames-order-unknown`, `single-frame`, `no-better-than-chance`, `inconclusive`.

    Raises:
        UsageError: a condition is missing, or shapes do not fit.
        DataError: no samples, or logits that are not finite.
    """
    missing = [kind for kind in KINDS if kind not in conditions]
    if missing:
        raise UsageError(f"the audit needs the condition {missing[0]!r}.", f"conditions: {', '.join(KINDS)}")
    classes = len(class_names)
    ordered, y = check_scores(conditions["ordered"], targets, classes, multi_label=multi_label)
    resampling = Resampling.of(len(ordered), groups, seed=seed)
    ordered_hits = top_k_hits(ordered, y, multi_label=multi_label)

    entry: dict[str, Any] = {}
    for name in (*KINDS, "baseline"):
        logits = baseline if name == "baseline" else conditions[name]
        if logits is None:
            entry[name] = None
            continue
        z, _ = check_scores(logits, targets, classes, multi_label=multi_label)
        hits = top_k_hits(z, y, multi_label=multi_label)
        interval = resampling.proportion(hits)
        entry[name] = {"top1": float(hits.mean()), "interval": interval.pair(), "method": interval.method}
        if name == "ordered":
            continue
        if _same_logits(ordered, z) and np.array_equal(hits, ordered_hits):
            cost, pair, method = 0.0, [0.0, 0.0], "exact: no logit changes"
        else:
            cost, difference = paired_difference(ordered_hits, hits, resampling)
            pair, method = difference.pair(), difference.method
        entry[name] |= {"cost": cost, "cost_interval": pair, "cost_method": method}
    entry |= {
        "chance": chance_level(y, classes, multi_label=multi_label),
        "majority": majority_share(y, classes, multi_label=multi_label),
        "n": len(ordered),
        "groups": None if resampling.singletons else resampling.groups,
        "interval_method": entry["ordered"]["method"],
        "margin": margin,
    }
    entry["sentence"], entry["verdict"] = sentence_and_verdict(entry)
    return entry


def _same_logits(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two sets of logits differ by rounding alone (a sum over frames taken in another order)."""
    return bool(np.abs(a - b).max() <= 1e-4 * max(float(np.ptp(a)), 1e-30))
