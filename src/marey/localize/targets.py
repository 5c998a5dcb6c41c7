"""Which point of the pyramid is to find which segment, as ActionFormer has it. Everything in steps of the grid.

Level λ of the pyramid has stride 2^λ (in steps of the feature grid); its points stand at i · stride. A point has
a segment to find if it lies near the segment's centre (within `radius` strides, and inside the segment) and the
distance to the farther end lies in the level's regression range. Where several segments ask for one point, the
shortest gets it; equally short ones share it, each with its label.

Zhang et al., "ActionFormer: Localizing Moments of Actions with Transformers" (https://arxiv.org/abs/2202.07925).

Shape suffixes: P points of all levels, N segments, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Points:
    """All points of a pyramid, finest level first.

    Attributes:
        position: float `(P,)`, on the grid.
        stride: float `(P,)`, of the point's level.
        low, high: float `(P,)`, the level's regression range.
        level: int64 `(P,)`.
    """

    position: Tensor
    stride: Tensor
    low: Tensor
    high: Tensor
    level: Tensor

    def __len__(self) -> int:
        return len(self.position)


def level_lengths(positions: int, levels: int) -> list[int]:
    """Points of each level over a grid of so many positions: halved and rounded up from level to level."""
    return [-(-positions // 2**level) for level in range(levels)]


def make_points(
    positions: int, ranges: Sequence[Range], *, device: torch.device | str | None = None
) -> Points:
    """The points over a grid of so many positions; one level for each range.

    Args:
        positions: T.
        ranges: of each level, finest first: the distances to the farther end, in grid steps, that its points
            are responsible for: low ≤ distance < high.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in ("position", "stride", "low", "high", "level")}
    for level, (length, (low, high)) in enumerate(
        zip(level_lengths(positions, len(ranges)), ranges, strict=True)
    ):
        where = torch.arange(length, device=device, dtype=torch.float32) * 2**level
        parts["position"].append(where)
        for name, value in (("stride", float(2**level)), ("low", low), ("high", high)):
            parts[name].append(torch.full_like(where, value))
        parts["level"].append(torch.full_like(where, level, dtype=torch.int64))
    return Points(**{name: torch.cat(tensors) for name, tensors in parts.items()})


def assign(
    points: Points, segments_N2: Tensor, labels_N: Tensor, num_classes: int, *, radius: float = 1.5
) -> tuple[Tensor, Tensor]:
    """What each point is to say.

    Args:
        points: P of them.
        segments_N2: float `(N, 2)`, starts and ends on the grid; N may be 0.
        labels_N: int64 `(N,)`.
        num_classes: K.
        radius: of the stretch around a segment's centre whose points are asked, in strides; 0 asks all inside.

    Returns:
        classes: float `(P, K)` of 0 and 1; a row of zeros is background.
        offsets: float `(P, 2)`, distances to start and end in strides of the point's level; zeros for background.
    """
    classes_PK = points.position.new_zeros(len(points), num_classes)
    offsets_P2 = points.position.new_zeros(len(points), 2)
    if not len(segments_N2):
        return classes_PK, offsets_P2
    start_N, end_N = segments_N2.to(points.position).unbind(dim=1)
    left_PN = points.position[:, None] - start_N
    right_PN = end_N - points.position[:, None]
    inside_PN = (left_PN > 0) & (right_PN > 0)
    if radius > 0:
        centre_N = (start_N + end_N) / 2
        inside_PN &= (points.position[:, None] - centre_N).abs() < radius * points.stride[:, None]
    far_PN = torch.maximum(left_PN, right_PN)
    inside_PN &= (far_PN >= points.low[:, None]) & (far_PN < points.high[:, None])
    length_PN = torch.where(inside_PN, (end_N - start_N)[None], math.inf)
    shortest_P, winner_P = length_PN.min(dim=1)
    found_P = torch.isfinite(shortest_P)
    # Of the same length (an action with two names, written as two segments): all their labels hold.
    share_PN = inside_PN & (length_PN <= shortest_P[:, None] + 1e-3)
    hot_NK = torch.nn.functional.one_hot(labels_N, num_classes).to(classes_PK)
    classes_PK = (share_PN.to(classes_PK) @ hot_NK).clamp(max=1)
    nearest_P1 = winner_P[:, None]
    offsets_P2 = torch.cat([left_PN.gather(1, nearest_P1), right_PN.gather(1, nearest_P1)], dim=1)
    offsets_P2 = offsets_P2 / points.stride[:, None] * found_P[:, None]
    return classes_PK, offsets_P2
