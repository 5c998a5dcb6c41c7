"""X3D: a tiny image network grown step by step along time, space, width and depth.

    clip ─ 3² then 5-frame stem ─ four stages of (1³, depthwise 3³, squeeze-excite, 1³) ─ 1³ ─ mean ─ MLP

Feichtenhofer, "X3D: Expanding Architectures for Efficient Video Recognition"
(https://arxiv.org/abs/2004.04730). XS, S and M share one network and differ in the clip they are given.
Modules are named as in PyTorchVideo, whose checkpoints (`X3D_M.pyth`) load as they are. Squeeze-and-excite
averages over space and the real frames.

Shape suffixes: B clips, C channels, T frames, H × W pixels, D features.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages, numbered
from marey.models.masked import Mask, MaskedModule, apply_masked, masked_mean
from marey.models.r2plus1d import initialise
from marey.models.registry import register_model

PAPER = "https://arxiv.org/abs/2004.04730"


class StemConvs(nn.Module):
    """Over space, then depthwise over time; the public names have it the other way round."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv_t = nn.Conv3d(3, outputs, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.conv_xy = nn.Conv3d(outputs, outputs, (5, 1, 1), padding=(2, 0, 0), groups=outputs, bias=False)


class Stem(MaskedModule):
    """Both convolutions, batch norm, ReLU."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv = StemConvs(outputs)
        self.norm = nn.BatchNorm3d(outputs)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        for layer in (self.conv.conv_t, self.conv.conv_xy, self.norm, self.activation):
            x, mask = apply_masked(layer, x, mask)
        return x, mask


class SqueezeExcite(MaskedModule):
    """Channels weighed by what the whole clip's mean says of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # A sixteenth, in steps of 8, at least 8, and no less than nine tenths of it: the authors' rounding.
        narrow = max(8, (channels // 16 + 4) // 8 * 8)
        narrow += 8 if narrow < 0.9 * channels / 16 else 0
        self.block = nn.Sequential(
            nn.Conv3d(channels, narrow, 1),
            nn.ReLU(inplace=True),
            nn.Conv3d(narrow, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        mean = masked_mean(x.mean(dim=(3, 4)), mask, dim=2)
        return x * self.block(mean[:, :, None, None, None]), mask


class Bottleneck(nn.Module):
    """1³, depthwise 3³ with squeeze-and-excite or without, 1³."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.conv_a = nn.Conv3d(inputs, inner, 1, bias=False)
        self.norm_a = nn.BatchNorm3d(inner)
        self.conv_b = nn.Conv3d(inner, inner, 3, (1, stride, stride), 1, groups=inner, bias=False)
        self.norm_b = nn.Sequential(nn.BatchNorm3d(inner), SqueezeExcite(inner) if squeeze else nn.Identity())
        self.conv_c = nn.Conv3d(inner, outputs, 1, bias=False)
        self.norm_c = nn.BatchNorm3d(outputs)
        self.relu, self.swish = nn.ReLU(inplace=True), nn.SiLU(inplace=True)

    def layers(self) -> tuple[nn.Module, ...]:
        return (
            self.conv_a, self.norm_a, self.relu, self.conv_b, self.norm_b, self.swish, self.conv_c, self.norm_c
        )  # fmt: skip


class Block(MaskedModule):
    """A bottleneck and its shortcut, which has batch norm only where the width changes."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        if inputs != outputs or stride != 1:
            self.branch1_conv = nn.Conv3d(inputs, outputs, 1, (1, stride, stride), bias=False)
        if inputs != outputs:
            self.branch1_norm = nn.BatchNorm3d(outputs)
        self.branch2 = Bottleneck(inputs, inner, outputs, stride, squeeze)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        shortcut, y = x, x
        for name in ("branch1_conv", "branch1_norm"):
            if hasattr(self, name):
                shortcut, _ = apply_masked(getattr(self, name), shortcut, mask)
        for layer in self.branch2.layers():
            y, mask = apply_masked(layer, y, mask)
        return self.activation(shortcut + y), mask


class ResStage(MaskedModule):
    """Blocks in a row, the first with the stride, every other one with squeeze-and-excite."""

    def __init__(self, inputs: int, outputs: int, depth: int) -> None:
        super().__init__()
        inner = int(2.25 * outputs)
        self.res_blocks = nn.ModuleList(
            Block(inputs if i == 0 else outputs, inner, outputs, 2 if i == 0 else 1, i % 2 == 0)
            for i in range(depth)
        )

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        for block in self.res_blocks:
            x, mask = block(x, mask)
        return x, mask


class Pool(nn.Module):
    """The convolutions before and after the mean, by their public names."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.pre_conv = nn.Conv3d(inputs, inner, 1, bias=False)
        self.pre_norm = nn.BatchNorm3d(inner)
        self.post_conv = nn.Conv3d(inner, outputs, 1, bias=False)


class Head(nn.Module):
    """What follows the last stage."""

    def __init__(self, inputs: int, inner: int, outputs: int, num_classes: int) -> None:
        super().__init__()
        self.pool = Pool(inputs, inner, outputs)
        self.proj = nn.Linear(outputs, num_classes)


class X3D(VideoModel):
    """The expanded network.

    Args:
        num_classes: K.
        layers: blocks in each stage.
        frames, size: of the default input.
        dropout: share of features dropped before the linear layer, in training.
    """

    head_prefixes = ("blocks.5.proj",)

    def __init__(
        self,
        *,
        num_classes: int,
        layers: tuple[int, ...] | list[int] = (3, 5, 11, 7),
        frames: int = 16,
        size: int | tuple[int, int] | list[int] = 224,
        dropout: float = 0.5,
    ) -> None:
        spec = input_spec(frames=frames, size=size, mean=(0.45,) * 3, std=(0.225,) * 3)
        super().__init__(num_classes=num_classes, spec=spec)
        widths = (24, 24, 48, 96, 192)
        stages = [ResStage(i, o, depth) for i, o, depth in zip(widths, widths[1:], layers, strict=False)]
        self.blocks = nn.ModuleList([Stem(24), *stages, Head(192, 432, 2048, num_classes)])
        self.dropout = nn.Dropout(dropout)
        initialise(self)

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        x, mask = rearrange(inputs["rgb"], "b t c h w -> b c t h w"), mask_BT
        for block in self.blocks[:-1]:
            x, mask = block(x, mask)
        pool = self.blocks[-1].pool
        for layer in (pool.pre_conv, pool.pre_norm):  # type: ignore[union-attr]
            x, mask = apply_masked(layer, x, mask)  # type: ignore[arg-type]
        return reduce(F.relu(x), "b c t h w -> b t c", "mean"), mask

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        head: Head = self.blocks[-1]  # type: ignore[assignment]
        x_BD = F.linear(masked_mean(x_BTD, mask_BT), head.pool.post_conv.weight.flatten(1))
        return head.proj(self.dropout(F.relu(x_BD)))

    def stage_prefixes(self) -> Stages:
        last = len(self.blocks) - 1
        inner = (numbered(f"blocks.{i}.res_blocks", len(self.blocks[i].res_blocks)) for i in range(1, last))  # type: ignore[arg-type]
        return [("blocks.0",), *(stage for stages in inner for stage in stages), (f"blocks.{last}",)]


@register_model(
    about="grown from a tiny network; few frames, small pictures",
    paper=PAPER,
    input="rgb 4 × 160²",
    weights="https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/X3D_XS.pyth",
)
def x3d_xs(**keywords: Any) -> X3D:
    return X3D(**{"frames": 4, "size": 160, **keywords})


@register_model(
    about="the same network on a longer clip",
    paper=PAPER,
    input="rgb 13 × 160²",
    weights="https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/X3D_S.pyth",
)
def x3d_s(**keywords: Any) -> X3D:
    return X3D(**{"frames": 13, "size": 160, **keywords})


@register_model(
    about="the same network on larger pictures: accurate for its cost",
    paper=PAPER,
    input="rgb 16 × 224²",
    weights="https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/X3D_M.pyth",
)
def x3d_m(**keywords: Any) -> X3D:
    return X3D(**keywords)
