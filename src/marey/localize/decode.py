"""What the points of a pyramid say, read as segments on the grid.

Shape suffixes: P points, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marey.errors import ConfigError
from marey.localize.nms import FloatArray, IntArray, suppress

_SHARE = 512


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """From scores at points to a list of segments."""

    candidates: int = 2000
    """Point-and-class pairs that are looked at for every 512 positions of the grid, best first."""
    least: float = 0.001
    """Score below which nothing is said."""
    shortest: float = 0.05
    """Segments shorter than this, in grid steps, are none."""
    suppression: str = "soft"
    """soft lowers the scores of what overlaps a better one, hard strikes it out, none keeps all."""
    sigma: float = 0.5
    """Width of the soft suppression; larger suppresses less."""
    overlap: float = 0.5
    """tIoU above which the hard suppression strikes out."""
    most: int = 200
    """Segments kept for every 512 positions of the grid, so that a longer video may have more."""

    def __post_init__(self) -> None:
        if self.suppression not in ("soft", "hard", "none"):
            raise ConfigError(f"suppression is soft, hard or none; got {self.suppression!r}.")
        if self.candidates < 1 or self.most < 1:
            raise ConfigError(f"candidates and most must be at least 1; got {self.candidates}, {self.most}.")
        if not 0 <= self.least < 1 or self.shortest < 0 or self.sigma <= 0 or not 0 < self.overlap <= 1:
            raise ConfigError(
                "least lies in [0, 1), shortest is 0 or more, sigma above 0, overlap in (0, 1]; got "
                f"{self.least}, {self.shortest}, {self.sigma}, {self.overlap}."
            )


def shares(positions: int) -> int:
    """How many times 512 positions a grid has, begun ones included."""
    return max(1, -(-positions // _SHARE))


def candidates(
    scores_PK: NDArray[np.float32],
    offsets_P2: NDArray[np.float32],
    position_P: FloatArray,
    stride_P: FloatArray,
    *,
    extent: tuple[float, float],
    config: DecodeConfig,
    positions: int,
) -> tuple[FloatArray, IntArray, FloatArray]:
    """What the points of one stretch say, before any suppression.

    Args:
        scores_PK: probabilities of the real points.
        offsets_P2: distances to start and end in strides.
        position_P, stride_P: where the points stand, in grid steps.
        extent: first and last moment that a segment may reach, in grid steps; what reaches further is cut.
        positions: of the grid, in this stretch.

    Returns:
        segments `(M, 2)` in grid steps, classes `(M,)`, scores `(M,)`; at most `config.candidates` for every
        512 positions.
    """
    flat = scores_PK.ravel()
    kept = np.flatnonzero(flat >= config.least)
    limit = config.candidates * shares(positions)
    if len(kept) > limit:
        best = np.argpartition(-flat[kept], limit - 1)[:limit]
        kept = np.sort(kept[best])
    point, label = np.divmod(kept, scores_PK.shape[1])
    reach = offsets_P2[point].astype(np.float64) * stride_P[point, None]
    segments = np.stack([position_P[point] - reach[:, 0], position_P[point] + reach[:, 1]], axis=1)
    segments = segments.clip(*extent)
    long = segments[:, 1] - segments[:, 0] > config.shortest
    return segments[long], label[long], flat[kept][long].astype(np.float64)


def settle(
    segments: FloatArray, labels: IntArray, scores: FloatArray, *, config: DecodeConfig, positions: int
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Suppress what means the same segment: segments `(M, 2)`, classes and scores, best first.

    Args:
        positions: of the whole grid; `config.most` segments are kept for every 512.
    """
    most = config.most * shares(positions)
    if config.suppression == "none":
        order = np.argsort(-scores, kind="stable")[:most]
        return segments[order], labels[order], scores[order]
    index, value = suppress(
        segments, scores, labels, method=config.suppression, sigma=config.sigma, threshold=config.overlap,
        least=config.least, most=most,
    )  # fmt: skip
    return segments[index], labels[index], value
