"""A localizer with anchors: at every position segments of several lengths, each scored by a tower that sees as far.

    features ─ 2 convolutions ─┬─ tower of scale s₁ ─ K scores, shift of centre and log-length
                               ├─ tower of scale s₂ ─ …

Chao et al., "Rethinking the Faster R-CNN Architecture for Temporal Action Localization" (TAL-Net,
https://arxiv.org/abs/1804.07667), in one stage. A tower of anchors of length s is a max pool over s/6 and two
convolutions of kernel 3 with dilations s/6 and 2·s/6, so that together they span s; with context all three are
doubled and they span 2·s: what comes before and after is seen, too. s/6 is rounded up, so that none sees less than its
anchor. The network is cheaper than a pyramid with
attention and has no levels to choose; its lengths must be those of the data.

Shape suffixes: B windows, T positions, C channels, S scales, P = S·T anchors, K classes, N segments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from marey.errors import UsageError
from marey.localize.layers import ChannelNorm, Conv
from marey.localize.losses import tiou
from marey.localize.targets import Points
from marey.models.masked import Mask, check_mask, zero_padding

_LONGEST = 3.0  # |log-length| that an anchor can be stretched by
POSITIVE, NEGATIVE = 0.5, 0.4  # tIoU; `assign_anchors` says why


class Tower(nn.Module):
    """What scores the anchors of one length: `(B, C, T)` in and out."""

    def __init__(self, channels: int, scale: float, *, context: bool, dropout: float) -> None:
        super().__init__()
        first = math.ceil(scale / 6) * (2 if context else 1)
        self.pool = 2 * (first // 2) + 1  # odd, so that the middle stays the middle; no gap between the taps
        self.convs = nn.ModuleList(
            Conv(channels, channels, 3, dilation=dilation, bias=False) for dilation in (first, 2 * first)
        )
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in self.convs)
        self.dropout = dropout
        self.field = self.pool + 2 * first + 4 * first
        """Positions that one output sees, all from the first to the last of them; more than its anchor is long."""

    def forward(self, x_BCT: Tensor, mask_BT: Mask) -> Tensor:
        if self.pool > 1:
            if mask_BT is not None:  # padding must not win where all that is real is negative
                x_BCT = x_BCT.masked_fill(~mask_BT[:, None], torch.finfo(x_BCT.dtype).min)
            x_BCT = zero_padding(F.max_pool1d(x_BCT, self.pool, 1, self.pool // 2), mask_BT, dim=2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x_BCT = F.dropout(F.relu(norm(conv(x_BCT, mask_BT)[0])), self.dropout, self.training)
        return x_BCT


class AnchorLocalizer(nn.Module):
    """Features on a grid to class scores and ends of every anchor.

    Args:
        num_classes: K.
        features: numbers a position of the grid has.
        scales: lengths of the anchors in grid steps, S of them.
        channels: C, inside.
        context: whether a tower sees twice its anchor's length.
        dropout: in the towers, in training.
        prior: share of anchors that the class scores say at the start.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        features: int,
        scales: Sequence[float],
        channels: int = 256,
        context: bool = True,
        dropout: float = 0.0,
        prior: float = 0.01,
    ) -> None:
        super().__init__()
        if not scales or min(scales) <= 0 or not all(math.isfinite(s) for s in scales):
            raise UsageError(f"anchors need lengths above 0 in grid steps, got {tuple(scales)}.")
        self.num_classes, self.features = num_classes, features
        self.scales = tuple(float(s) for s in scales)
        self.embed = nn.ModuleList(
            [Conv(features, channels, 3, bias=False), Conv(channels, channels, 3, bias=False)]
        )
        self.embed_norms = nn.ModuleList(ChannelNorm(channels) for _ in range(2))
        self.towers = nn.ModuleList(Tower(channels, s, context=context, dropout=dropout) for s in self.scales)
        self.classify = nn.ModuleList(Conv(channels, num_classes) for _ in self.scales)
        self.regress = nn.ModuleList(Conv(channels, 2) for _ in self.scales)
        for last in self.classify:
            assert isinstance(last, Conv)
            assert last.conv.bias is not None
            nn.init.constant_(last.conv.bias, -math.log((1 - prior) / prior))
        for last in self.regress:  # an anchor is itself at the start
            assert isinstance(last, Conv)
            assert last.conv.bias is not None
            nn.init.zeros_(last.conv.bias)
            nn.init.normal_(last.conv.weight, std=0.01)

    def forward(self, features_BTD: Tensor, mask_BT: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Args:
            features_BTD: `(B, T, D)`.
            mask_BT: bool `(B, T)`, real positions first; None: all real.

        Returns:
            logits `(B, P, K)`; distances from the anchor's centre to start and end `(B, P, 2)` in lengths of the
            anchor (below 0 where the segment lies beside the centre); and which are real, bool `(B, P)`.
            `points(T)` says where they are: all positions of the first scale first.
        """
        if features_BTD.ndim != 3 or features_BTD.shape[2] != self.features:
            raise UsageError(
                f"features must have the shape (B, T, {self.features}), got {tuple(features_BTD.shape)}."
            )
        batch, positions = features_BTD.shape[:2]
        mask = None if mask_BT is None else check_mask(mask_BT, batch, positions)
        x_BCT = features_BTD.transpose(1, 2)
        for conv, norm in zip(self.embed, self.embed_norms, strict=True):
            x_BCT, _ = conv(x_BCT, mask)
            x_BCT = zero_padding(F.relu(norm(x_BCT)), mask, dim=2)
        logits, offsets = [], []
        for tower, classify, regress in zip(self.towers, self.classify, self.regress, strict=True):
            y_BCT = tower(x_BCT, mask)
            logits.append(classify(y_BCT, mask)[0])
            shift_BT, stretch_BT = regress(y_BCT, mask)[0].unbind(dim=1)
            half_BT = torch.exp(stretch_BT.clamp(-_LONGEST, _LONGEST)) / 2
            offsets.append(torch.stack([half_BT - shift_BT, half_BT + shift_BT], dim=1))
        real_BT = mask
        if real_BT is None:
            real_BT = torch.ones(batch, positions, dtype=torch.bool, device=x_BCT.device)
        return (
            torch.cat(logits, dim=2).transpose(1, 2),
            torch.cat(offsets, dim=2).transpose(1, 2),
            real_BT.repeat(1, len(self.scales)),
        )

    def points(self, positions: int) -> Points:
        """The anchors over a grid of so many positions: centre, and length as stride."""
        device = next(self.parameters()).device
        scale_S = torch.tensor(self.scales, device=device)
        stride = scale_S.repeat_interleave(positions)
        return Points(
            position=torch.arange(positions, device=device, dtype=torch.float32).repeat(len(self.scales)),
            stride=stride,
            low=torch.zeros_like(stride),
            high=torch.full_like(stride, math.inf),
            level=torch.arange(len(self.scales), device=device).repeat_interleave(positions),
        )


def assign_anchors(
    points: Points, segments_N2: Tensor, labels_N: Tensor, num_classes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What each anchor is to say.

    An anchor is of a class if it overlaps a segment of it by a tIoU of 0.5 or is the one that overlaps that segment
    most; below 0.4 it is not of the class; between 0.4 and 0.5 the class is not asked there. Its ends are those of the
    segment that it overlaps most.

    These are the thresholds of RetinaNet (Lin et al., https://arxiv.org/abs/1708.02002), a detector in one stage and
    with a focal loss, as this is. TAL-Net has two stages, and its proposals (0.7 and 0.3) are looked at again. Where
    lengths are at most 1.5 times apart, a segment of three steps or more is overlapped by 0.7 by some anchor, so that
    0.5 gives it several; an anchor between 0.4 and 0.5 is neither it nor background.

    Args:
        points: P anchors.
        segments_N2: float `(N, 2)`, starts and ends on the grid; N may be 0.
        labels_N: int64 `(N,)`.
        num_classes: K.

    Returns:
        classes: float `(P, K)` of 0 and 1. asked: bool `(P, K)`. ends: float `(P, 2)` on the grid, of anchors that
        are of a class; zeros elsewhere.
    """
    count = len(points)
    classes_PK = points.position.new_zeros(count, num_classes)
    asked_PK = torch.ones(count, num_classes, dtype=torch.bool, device=classes_PK.device)
    ends_P2 = points.position.new_zeros(count, 2)
    if not len(segments_N2):
        return classes_PK, asked_PK, ends_P2
    segments = segments_N2.to(points.position)
    overlap_PN = tiou(anchor_segments(points)[:, None], segments[None])
    best_N = overlap_PN.max(dim=0)
    is_best_PN = (overlap_PN == best_N.values) & (best_N.values > 0)
    hot_NK = F.one_hot(labels_N, num_classes).to(classes_PK)
    # of each class the most, so that an action between two others of its class is no matter of their order
    of_class_PNK = overlap_PN[:, :, None] * hot_NK[None]
    most_PK = of_class_PNK.max(dim=1).values
    best_PK = (is_best_PN.to(hot_NK) @ hot_NK) > 0
    positive_PK = (most_PK >= POSITIVE) | best_PK
    asked_PK = positive_PK | (most_PK < NEGATIVE)
    nearest_P = (overlap_PN + is_best_PN).argmax(dim=1)
    found_P = positive_PK.any(dim=1)
    return positive_PK.to(classes_PK), asked_PK, segments[nearest_P] * found_P[:, None]


def anchor_segments(points: Points) -> Tensor:
    """The anchors as segments on the grid, `(P, 2)`."""
    half = points.stride / 2
    return torch.stack([points.position - half, points.position + half], dim=1)
