"""SlowFast: a slow pathway for what things are, a narrow fast one for how they move, joined at every stage.

    every 4th frame ─ stem ─┬─ stage 1 ─┬─ stage 2 ─┬─ stage 3 ─┬─ stage 4 ─ mean ─┐
                            ↑           ↑           ↑           ↑                  ├─ dropout ─ linear
    all frames ────── stem ─┴─ stage 1 ─┴─ stage 2 ─┴─ stage 3 ─┴─ stage 4 ─ mean ─┘

Feichtenhofer et al., "SlowFast Networks for Video Recognition" (https://arxiv.org/abs/1812.03982). Modules
are named as in PyTorchVideo, whose checkpoints (`SLOWFAST_8x8_R50.pyth`) load as they are. The slow pathway
takes ceil(L / 4) of a clip's L real frames, evenly from the first to the last.

Shape suffixes: B clips, C channels, T frames, S frames of the slow pathway, H × W pixels, D features.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages
from marey.models.masked import Mask, MaskedModule, apply_masked, larger, lengths, masked_mean, prefix_mask
from marey.models.r2plus1d import initialise
from marey.models.registry import register_model

PAPER = "https://arxiv.org/abs/1812.03982"
SPEEDS = 4  # the fast pathway has so many times the slow one's frames


class Stem(MaskedModule):
    """Convolution, batch norm, ReLU, max pool over space."""

    def __init__(self, outputs: int, time: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, outputs, (time, 7, 7), (1, 2, 2), (time // 2, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(outputs)
        self.activation = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        for layer in (self.conv, self.norm, self.activation, self.pool):
            x, mask = apply_masked(layer, x, mask)
        return x, mask


class Bottleneck(nn.Module):
    """The three convolutions of a block: over time, over space, over channels."""

    def __init__(self, inputs: int, inner: int, outputs: int, time: int, stride: int) -> None:
        super().__init__()
        self.conv_a = nn.Conv3d(inputs, inner, (time, 1, 1), padding=(time // 2, 0, 0), bias=False)
        self.norm_a = nn.BatchNorm3d(inner)
        self.conv_b = nn.Conv3d(inner, inner, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
        self.norm_b = nn.BatchNorm3d(inner)
        self.conv_c = nn.Conv3d(inner, outputs, 1, bias=False)
        self.norm_c = nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU(inplace=True)

    def layers(self) -> tuple[nn.Module, ...]:
        return (
            self.conv_a, self.norm_a, self.relu, self.conv_b, self.norm_b, self.relu, self.conv_c, self.norm_c
        )  # fmt: skip


class Block(MaskedModule):
    """A bottleneck and its shortcut."""

    def __init__(self, inputs: int, inner: int, outputs: int, time: int, stride: int) -> None:
        super().__init__()
        if inputs != outputs or stride != 1:
            self.branch1_conv = nn.Conv3d(inputs, outputs, 1, (1, stride, stride), bias=False)
            self.branch1_norm = nn.BatchNorm3d(outputs)
        self.branch2 = Bottleneck(inputs, inner, outputs, time, stride)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        shortcut, y = x, x
        if hasattr(self, "branch1_conv"):
            shortcut, _ = apply_masked(self.branch1_conv, x, mask)
            shortcut, _ = apply_masked(self.branch1_norm, shortcut, mask)
        for layer in self.branch2.layers():
            y, mask = apply_masked(layer, y, mask)
        return self.activation(shortcut + y), mask


class ResStage(MaskedModule):
    """Blocks in a row, the first with the stride."""

    def __init__(self, inputs: int, inner: int, outputs: int, time: int, stride: int, depth: int) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(
            Block(inputs if i == 0 else outputs, inner, outputs, time, stride if i == 0 else 1)
            for i in range(depth)
        )

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        for block in self.res_blocks:
            x, mask = block(x, mask)
        return x, mask


class FastToSlow(nn.Module):
    """The fast pathway's features at the slow one's frames, put beside its own."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv_fast_to_slow = nn.Conv3d(
            channels, 2 * channels, (kernel, 1, 1), (SPEEDS, 1, 1), (kernel // 2, 0, 0), bias=False
        )
        self.norm = nn.BatchNorm3d(2 * channels)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, slow: Tensor, fast: Tensor, fast_mask: Mask) -> Tensor:
        x, mask = fast, fast_mask
        for layer in (self.conv_fast_to_slow, self.norm, self.activation):
            x, mask = apply_masked(layer, x, mask)
        return torch.cat([slow, x], dim=1)


class TwoPaths(nn.Module):
    """One stage of both pathways and, but for the last, the joint after it."""

    def __init__(self, slow: nn.Module, fast: nn.Module, joint: nn.Module | None) -> None:
        super().__init__()
        self.multipathway_blocks = nn.ModuleList([slow, fast])
        self.multipathway_fusion = joint if joint is not None else nn.Identity()

    def forward(self, slow: Tensor, slow_mask: Mask, fast: Tensor, fast_mask: Mask) -> tuple[Tensor, Tensor]:
        slow, _ = self.multipathway_blocks[0](slow, slow_mask)
        fast, _ = self.multipathway_blocks[1](fast, fast_mask)
        if isinstance(self.multipathway_fusion, FastToSlow):
            slow = self.multipathway_fusion(slow, fast, fast_mask)
        return slow, fast


class Head(nn.Module):
    """The linear layer, by its public name."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, num_classes)


def slow_frames(x_BCTHW: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:
    """ceil(L / 4) frames of each clip, evenly from its first to its last real one, and their mask."""
    frames = x_BCTHW.shape[2]
    kept = (frames + SPEEDS - 1) // SPEEDS
    place_S = torch.arange(kept, device=x_BCTHW.device)
    if mask_BT is None:
        return x_BCTHW[:, :, place_S * (frames - 1) // larger(kept - 1, 1)], None
    length_B1 = lengths(mask_BT)[:, None]
    kept_B1 = torch.div(length_B1 + SPEEDS - 1, SPEEDS, rounding_mode="floor")
    index_BS = torch.div(place_S * (length_B1 - 1), (kept_B1 - 1).clamp(min=1), rounding_mode="floor")
    index_BS = index_BS.clamp(max=frames - 1)
    index = index_BS[:, None, :, None, None].expand(-1, x_BCTHW.shape[1], -1, *x_BCTHW.shape[3:])
    return x_BCTHW.gather(2, index), prefix_mask(kept_B1[:, 0], kept)


class SlowFast(VideoModel):
    """Two pathways of bottleneck ResNets.

    Args:
        num_classes: K.
        layers: blocks in each stage.
        joint: frames that a joint between the pathways sees.
        frames, size: of the default input.
        dropout: share of features dropped before the linear layer, in training.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        layers: tuple[int, ...] | list[int] = (3, 4, 6, 3),
        joint: int = 7,
        frames: int = 32,
        size: int | tuple[int, int] | list[int] = 224,
        dropout: float = 0.5,
    ) -> None:
        spec = input_spec(frames=frames, size=size, mean=(0.45,) * 3, std=(0.225,) * 3)
        super().__init__(num_classes=num_classes, spec=spec)
        blocks: list[nn.Module] = [TwoPaths(Stem(64, 1), Stem(8, 5), FastToSlow(8, joint))]
        inputs = 64
        for i, depth in enumerate(layers):
            outputs, stride = 256 * 2**i, 1 if i == 0 else 2
            slow_time = 1 if i < 2 else 3
            slow = ResStage(inputs + inputs // 4, outputs // 4, outputs, slow_time, stride, depth)
            fast = ResStage(inputs // 8, outputs // 32, outputs // 8, 3, stride, depth)
            last = i + 1 == len(layers)
            blocks.append(TwoPaths(slow, fast, None if last else FastToSlow(outputs // 8, joint)))
            inputs = outputs
        # The pool has no weights, but its place in the row of names.
        blocks += [nn.Identity(), Head(inputs + inputs // 8, num_classes)]
        self.blocks = nn.ModuleList(blocks)
        self.head_prefixes = (f"blocks.{len(blocks) - 1}",)
        self.dropout = nn.Dropout(dropout)
        initialise(self)

    def _paths(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask, Tensor]:
        """Features of both pathways `(B, S, D)` and `(B, T, D)`, and the slow one's mask."""
        fast = rearrange(inputs["rgb"], "b t c h w -> b c t h w")
        slow, slow_mask = slow_frames(fast, mask_BT)
        for stage in self.blocks[:-2]:
            slow, fast = stage(slow, slow_mask, fast, mask_BT)
        return (
            reduce(slow, "b c t h w -> b t c", "mean"),
            slow_mask,
            reduce(fast, "b c t h w -> b t c", "mean"),
        )

    def stage_prefixes(self) -> Stages:
        """A block of both pathways together; the joint after a stage learns with its last block."""
        found: Stages = [("blocks.0",)]
        for i in range(1, len(self.blocks) - 2):
            paths = [f"blocks.{i}.multipathway_blocks.{p}.res_blocks" for p in (0, 1)]
            depth = len(self.get_submodule(paths[0]))  # type: ignore[arg-type]
            found += [tuple(f"{path}.{b}" for path in paths) for b in range(depth)]
            found[-1] += (f"blocks.{i}.multipathway_fusion",)
        return found

    def _logits(self, inputs: dict[str, Tensor], mask_BT: Mask) -> Tensor:
        slow_BSD, slow_mask, fast_BTD = self._paths(inputs, mask_BT)
        x_BD = torch.cat([masked_mean(slow_BSD, slow_mask), masked_mean(fast_BTD, mask_BT)], dim=1)
        return self.blocks[-1].proj(self.dropout(x_BD))  # type: ignore[operator]

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        """On the slow pathway's frames, each beside the mean of the fast one's four (fewer at the end)."""
        slow_BSD, slow_mask, fast_BTD = self._paths(inputs, mask_BT)
        short = slow_BSD.shape[1] * SPEEDS - fast_BTD.shape[1]
        real_BT = mask_BT
        if real_BT is None:
            real_BT = torch.ones(fast_BTD.shape[:2], dtype=torch.bool, device=fast_BTD.device)
        weight_BT = nn.functional.pad(real_BT, (0, short)).to(fast_BTD.dtype)
        x = nn.functional.pad(fast_BTD, (0, 0, 0, short)).nan_to_num() * weight_BT[..., None]
        count_BS = reduce(weight_BT, "b (s r) -> b s", "sum", r=SPEEDS).clamp(min=1)
        fast_BSD = reduce(x, "b (s r) d -> b s d", "sum", r=SPEEDS) / count_BS[..., None]
        return torch.cat([slow_BSD, fast_BSD], dim=2), slow_mask


@register_model(
    about="slow and fast pathways: strong on everyday actions",
    paper=PAPER,
    input="rgb 32 × 224²",
    weights="https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/SLOWFAST_8x8_R50.pyth",
)
def slowfast_r50(**keywords: Any) -> SlowFast:
    return SlowFast(**keywords)
