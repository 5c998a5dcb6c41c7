"""What a localizer is taught by: overlaps of segments on a line, and the focal loss of their classes.

A segment is `(start, end)` with `start ≤ end`, a pair in the last dimension of a tensor; offsets `(l, r)` from a
point p mean the segment `(p − l, p + r)`. All losses are elementwise: what they are summed over and divided by
is the caller's. Every one has finite gradients for segments that touch nowhere and for empty ones.

- tIoU: length of the intersection ÷ length of the union; 0…1.
- GIoU (Rezatofighi et al., https://arxiv.org/abs/1902.09630), in one dimension: tIoU − (hull − union) ÷ hull, where
  the hull is the shortest segment that covers both; −1…1. The same as tIoU where the two touch.
- DIoU (Zheng et al., https://arxiv.org/abs/1911.08287), in one dimension: tIoU − (distance of the centres ÷ hull)²;
  −1…1, and below tIoU wherever the centres differ.
- Smooth L1 on centre and log-length relative to an anchor, as TAL-Net (Chao et al.,
  https://arxiv.org/abs/1804.07667) took it over from Faster R-CNN; 0…∞.
- Focal (Lin et al., https://arxiv.org/abs/1708.02002): −α_t (1 − p_t)^γ log p_t; 0…∞.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_TINY = 1e-8  # what stands for a length of 0 where it is divided by


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """tIoU, union and hull of pairs of segments `(…, 2)`; each `(…)`."""
    a_length, b_length = a[..., 1] - a[..., 0], b[..., 1] - b[..., 0]
    both = (torch.minimum(a[..., 1], b[..., 1]) - torch.maximum(a[..., 0], b[..., 0])).clamp(min=0)
    union = a_length + b_length - both
    hull = torch.maximum(a[..., 1], b[..., 1]) - torch.minimum(a[..., 0], b[..., 0])
    return both / union.clamp(min=_TINY), union, hull


def tiou(a: Tensor, b: Tensor) -> Tensor:
    """Temporal intersection over union of `(…, 2)` with `(…, 2)`: `(…)`, 0…1; 0 for two empty segments."""
    return _overlap(a, b)[0]


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised tIoU: `(…)`, −1…1; for segments that are far apart it tells how far."""
    iou, union, hull = _overlap(a, b)
    return iou - (hull - union) / hull.clamp(min=_TINY)


def diou(a: Tensor, b: Tensor) -> Tensor:
    """tIoU less the squared distance of the centres in units of the hull: `(…)`, −1…1."""
    iou, _, hull = _overlap(a, b)
    apart = (a.sum(dim=-1) - b.sum(dim=-1)) / 2
    return iou - (apart / hull.clamp(min=_TINY)).square()


OVERLAPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"tiou": tiou, "giou": giou, "diou": diou}
"""Overlaps by the name that a configuration says; the loss of each is 1 − overlap."""


def offsets_to_segments(offsets: Tensor, points: Tensor | None = None) -> Tensor:
    """Distances `(…, 2)` to start and end as segments `(…, 2)`, around `points` `(…)` (0 by default)."""
    segments = offsets * offsets.new_tensor([-1.0, 1.0])
    return segments if points is None else segments + points[..., None]


def overlap_loss(predicted: Tensor, true: Tensor, *, kind: str = "diou") -> Tensor:
    """1 − overlap of segments `(…, 2)`: `(…)`, 0…1 for `tiou`, 0…2 for `giou` and `diou`."""
    return 1 - OVERLAPS[kind](predicted, true)


def centre_length_loss(predicted: Tensor, true: Tensor, anchor: Tensor, *, beta: float = 1.0) -> Tensor:
    """Smooth L1 between segments `(…, 2)` in an anchor's terms: `(…)`.

    A segment of centre c and length d is ((c − c_a) ÷ d_a, log(d ÷ d_a)) to an anchor of centre c_a and length
    d_a; the loss is the sum of both terms.

    Args:
        beta: where the loss turns from quadratic to linear.
    """
    difference = _relative(predicted, anchor) - _relative(true, anchor)
    return F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none", beta=beta).sum(dim=-1)


def _relative(segment: Tensor, anchor: Tensor) -> Tensor:
    length = (segment[..., 1] - segment[..., 0]).clamp(min=_TINY)
    reach = (anchor[..., 1] - anchor[..., 0]).clamp(min=_TINY)
    centre = (segment.sum(dim=-1) - anchor.sum(dim=-1)) / 2 / reach
    return torch.stack([centre, torch.log(length / reach)], dim=-1)


def focal_loss(logits: Tensor, targets: Tensor, *, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Sigmoid focal loss, elementwise.

    Args:
        logits: any shape.
        targets: the same shape, 0…1 (between the two after label smoothing).
        alpha: weight of the positives, 1 − alpha that of the negatives; below 0 both weigh 1.
        gamma: how much what is classified well already counts less.
    """
    # log σ and log(1 − σ) as softplus, so that large logits keep their gradient.
    cross = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p = torch.sigmoid(logits)
    missed = p * (1 - targets) + (1 - p) * targets
    loss = cross * missed.pow(gamma)
    if alpha >= 0:
        loss = loss * (alpha * targets + (1 - alpha) * (1 - targets))
    return loss
