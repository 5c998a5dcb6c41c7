"""A localizer without anchors: every moment says what happens there, and how far it is to start and end.

    features ─ 2 convolutions ─ stem ─┬───────────── level 0 ─┐
                                      └ halve ─ block ─ level 1 ┤ norm ─ shared heads ─ K scores,
                                              └ halve ─ … level 5 ┘                     distances to start, end

Zhang et al., "ActionFormer: Localizing Moments of Actions with Transformers" (https://arxiv.org/abs/2202.07925):
transformer blocks with attention in local windows, a pyramid of halved lengths, heads that all levels share.
`mixer="maxpool"` has max pooling over three positions in place of the blocks, and nothing to learn there: Tang,
Kim and Sohn, "TemporalMaxer" (https://arxiv.org/abs/2303.09055), for small machines. Classes are independent
(sigmoid), so that actions may overlap and have several labels.

Shape suffixes: B windows, T positions of the grid, C channels, P points of all levels, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from marey.errors import UsageError
from marey.localize.layers import ChannelNorm, Conv, LocalAttention, ScaledDropPath, halved
from marey.localize.targets import Points, Range, make_points
from marey.models.masked import Mask, check_mask, zero_padding

MIXERS = ("attention", "maxpool")
THUMOS_RANGES: tuple[Range, ...] = (
    (0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 10_000)
)  # fmt: skip


class Block(nn.Module):
    """Attention in a window and an MLP, each a residual branch; with `stride` 2 the length is halved."""

    def __init__(
        self, channels: int, heads: int, *, window: int, stride: int, dropout: float, drop_path: float
    ) -> None:
        super().__init__()
        self.stride = stride
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.attention = LocalAttention(channels, heads, window=window, stride=stride, dropout=dropout)
        self.mlp = nn.Sequential(
            nn.Conv1d(channels, 4 * channels, 1), nn.GELU(), nn.Dropout(dropout),
            nn.Conv1d(4 * channels, channels, 1), nn.Dropout(dropout),
        )  # fmt: skip
        self.path1, self.path2 = ScaledDropPath(channels, drop_path), ScaledDropPath(channels, drop_path)

    def forward(self, x_BCT: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:
        y, after = self.attention(self.norm1(x_BCT), mask_BT)
        x_BCT = pooled(x_BCT, mask_BT, self.stride) + self.path1(y)
        x_BCT = x_BCT + self.path2(self.mlp(self.norm2(x_BCT)))
        return zero_padding(x_BCT, after, dim=2), after


class MaxPool(nn.Module):
    """The largest of three neighbours at every second position."""

    def forward(self, x_BCT: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:
        return pooled(x_BCT, mask_BT, 2), halved(mask_BT, 2)


def pooled(x_BCT: Tensor, mask_BT: Mask, stride: int) -> Tensor:
    """Max pool over three real positions; nothing at stride 1."""
    if stride == 1:
        return x_BCT
    if mask_BT is not None:  # padding must not win where all that is real is negative
        x_BCT = x_BCT.masked_fill(~mask_BT[:, None], torch.finfo(x_BCT.dtype).min)
    y = F.max_pool1d(x_BCT, 3, stride, padding=1)
    return zero_padding(y, halved(mask_BT, stride), dim=2)


class Head(nn.Module):
    """Convolutions that all levels share, and a last one to `outputs` numbers a point."""

    def __init__(self, channels: int, outputs: int, layers: int, kernel: int = 3) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Conv(channels, channels, kernel, bias=False) for _ in range(layers - 1))
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in range(layers - 1))
        self.last = Conv(channels, outputs, kernel)

    def forward(self, x_BCT: Tensor, mask_BT: Mask) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x_BCT = F.relu(norm(conv(x_BCT, mask_BT)[0]))
        return self.last(x_BCT, mask_BT)[0]


class Localizer(nn.Module):
    """Features on a grid to class scores and distances at every point of the pyramid.

    Args:
        num_classes: K.
        features: numbers a position of the grid has.
        channels: C, inside.
        mixer: "attention" (ActionFormer) or "maxpool" (TemporalMaxer).
        ranges: of each level, in grid steps (see `marey.localize.targets`); as many levels as ranges.
        stem: attention blocks before the first halving.
        window: of the attention, in positions of the level; odd.
        heads: attention heads.
        head_layers: convolutions of a head, the last included.
        dropout, drop_path: in the blocks, in training.
        prior: share of points that the class scores say at the start, so that the many empty ones do not
            drown the few others (Lin et al., https://arxiv.org/abs/1708.02002).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        features: int,
        channels: int = 512,
        mixer: str = "attention",
        ranges: Sequence[Range] = THUMOS_RANGES,
        stem: int = 2,
        window: int = 19,
        heads: int = 4,
        head_layers: int = 3,
        dropout: float = 0.0,
        drop_path: float = 0.1,
        prior: float = 0.01,
    ) -> None:
        super().__init__()
        if mixer not in MIXERS:
            raise UsageError(f"{mixer!r} is no mixer.", f"mixers: {', '.join(MIXERS)}")
        if channels % heads:
            raise UsageError(f"{channels} channels cannot be shared among {heads} heads.")
        if window % 2 == 0:
            raise UsageError(f"the window must be odd, got {window}.")
        self.num_classes, self.features, self.mixer = num_classes, features, mixer
        self.ranges: tuple[Range, ...] = tuple((float(low), float(high)) for low, high in ranges)
        self.embed = nn.ModuleList(
            [Conv(features, channels, 3, bias=False), Conv(channels, channels, 3, bias=False)]
        )
        self.embed_norms = nn.ModuleList(ChannelNorm(channels) for _ in range(2))

        def block(stride: int) -> nn.Module:
            if mixer == "maxpool":
                return MaxPool()
            return Block(
                channels, heads, window=window, stride=stride, dropout=dropout, drop_path=drop_path
            )  # fmt: skip

        self.stem = nn.ModuleList(block(1) for _ in range(stem if mixer == "attention" else 0))
        self.halvings = nn.ModuleList(block(2) for _ in self.ranges[1:])
        self.level_norms = nn.ModuleList(ChannelNorm(channels) for _ in self.ranges)
        self.class_head = Head(channels, num_classes, head_layers)
        self.offset_head = Head(channels, 2, head_layers)
        self.offset_scale = nn.Parameter(torch.ones(len(self.ranges)))
        for module in self.modules():
            if isinstance(module, nn.Conv1d) and module.bias is not None:
                nn.init.zeros_(module.bias)
        bias = self.class_head.last.conv.bias
        assert bias is not None
        nn.init.constant_(bias, -math.log((1 - prior) / prior))

    def forward(self, features_BTD: Tensor, mask_BT: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Args:
            features_BTD: `(B, T, D)`.
            mask_BT: bool `(B, T)`, real positions first; None: all real.

        Returns:
            logits `(B, P, K)`; distances to start and end `(B, P, 2)`, 0 or more, in strides of the point's level;
            and which points are real, bool `(B, P)`. `points(T)` says where they are.
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
        for block in self.stem:
            x_BCT, mask = block(x_BCT, mask)
        levels = [(x_BCT, mask)]
        for halve in self.halvings:
            levels.append(halve(*levels[-1]))
        logits, offsets, real = [], [], []
        for (x, m), norm, scale in zip(levels, self.level_norms, self.offset_scale, strict=True):
            x = norm(x)
            logits.append(self.class_head(x, m))
            # The paper's ReLU dies: a distance that is 0 at every point has no gradient and stays 0 for good
            offsets.append(F.softplus(scale * self.offset_head(x, m)))
            real.append(torch.ones(batch, x.shape[2], dtype=torch.bool, device=x.device) if m is None else m)
        return (
            torch.cat(logits, dim=2).transpose(1, 2),
            torch.cat(offsets, dim=2).transpose(1, 2),
            torch.cat(real, dim=1),
        )

    def points(self, positions: int) -> Points:
        """Where the points of a grid of so many positions stand."""
        return make_points(positions, self.ranges, device=self.offset_scale.device)
