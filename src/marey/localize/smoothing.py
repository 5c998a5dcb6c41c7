"""Scores over time to segments without a localizer: smoothing, then two thresholds. NumPy, no state.

A segment begins where a score reaches `on` and lasts until it falls below `off`: with one threshold, a score that
trembles around it would give many short segments. Multi-label and overlapping segments come by themselves, since
every class goes its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marey.errors import ConfigError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class HysteresisConfig:
    """How scores over time become segments."""

    on: float = 0.5
    """Score at which a segment begins."""
    off: float = 0.3
    """Score below which it ends; not above `on`."""
    smooth: float = 0.0
    """Standard deviation in seconds of the Gaussian that scores are smoothed with."""
    shortest: float = 0.0
    """Segments shorter than this, in seconds, are dropped."""
    gap: float = 0.0
    """Segments of a class that are nearer than this, in seconds, are joined."""

    def __post_init__(self) -> None:
        if not 0 <= self.off <= self.on <= 1:
            raise ConfigError(f"0 ≤ off ≤ on ≤ 1 must hold; got off {self.off}, on {self.on}.")
        if min(self.smooth, self.shortest, self.gap) < 0:
            raise ConfigError(
                f"smooth, shortest and gap are 0 or more; got {self.smooth}, {self.shortest}, {self.gap}."
            )


def smoothed(scores_TK: FloatArray, times_T: FloatArray, deviation: float) -> FloatArray:
    """Scores after a Gaussian over *time*: positions need not be evenly apart, and edges take what there is.

    Args:
        scores_TK: `(T, K)`.
        times_T: rising, in seconds.
        deviation: in seconds; 0 leaves the scores as they are.
    """
    if deviation <= 0 or len(times_T) < 2:
        return np.asarray(scores_TK, dtype=np.float64)
    reach = 4 * deviation
    first = np.searchsorted(times_T, times_T - reach, "left")
    last = np.searchsorted(times_T, times_T + reach, "right")
    result = np.empty(scores_TK.shape, dtype=np.float64)
    for t, (low, high) in enumerate(zip(first, last, strict=True)):
        weight = np.exp(-0.5 * ((times_T[low:high] - times_T[t]) / deviation) ** 2)
        result[t] = weight @ scores_TK[low:high] / weight.sum()
    return result


def hysteresis(
    scores_TK: FloatArray,
    edges_T1: FloatArray,
    config: HysteresisConfig | Sequence[HysteresisConfig] | None = None,
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Segments where scores are high.

    Args:
        scores_TK: `(T, K)`, 0…1.
        edges_T1: `(T + 1,)`, position t stands for the stretch from edge t to edge t+1, in seconds.
        config: the same for all classes, or one a class.

    Returns:
        segments `(M, 2)` in seconds, classes `(M,)`, scores `(M,)`: the mean over the segment; by start, then class.
    """
    frames, classes = scores_TK.shape
    assert len(edges_T1) == frames + 1
    each = [config or HysteresisConfig()] * classes if not isinstance(config, Sequence) else list(config)
    assert len(each) == classes
    centres = (edges_T1[:-1] + edges_T1[1:]) / 2
    found: list[tuple[float, int, float, float]] = []
    for k, rule in enumerate(each):
        score = smoothed(scores_TK[:, k : k + 1], centres, rule.smooth)[:, 0]
        for first, stop in _joined(_stretches(score, rule), edges_T1, rule.gap):
            start, end = float(edges_T1[first]), float(edges_T1[stop])
            if end - start >= rule.shortest and end > start:
                weight = np.diff(edges_T1[first : stop + 1])
                found.append((start, k, end, float(np.average(score[first:stop], weights=weight))))
    found.sort()
    segments = np.array([(s, e) for s, _, e, _ in found], dtype=np.float64).reshape(-1, 2)
    return (
        segments,
        np.array([k for _, k, _, _ in found], dtype=np.int64),
        np.array([x for *_, x in found], dtype=np.float64),
    )


def _stretches(score: FloatArray, rule: HysteresisConfig) -> list[tuple[int, int]]:
    """Runs of scores not below `off` that somewhere reach `on`, each from there on: `(first, stop)`."""
    above = np.concatenate([[False], score >= rule.off, [False]])
    change = np.flatnonzero(above[1:] != above[:-1])
    runs = []
    for first, stop in zip(change[::2], change[1::2], strict=True):
        high = np.flatnonzero(score[first:stop] >= rule.on)
        if len(high):
            runs.append((int(first + high[0]), int(stop)))
    return runs


def _joined(runs: list[tuple[int, int]], edges: FloatArray, gap: float) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, stop in runs:
        if joined and gap > 0 and edges[first] - edges[joined[-1][1]] < gap:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((first, stop))
    return joined
