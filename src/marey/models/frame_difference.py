"""Frame difference: a light network on each frame beside its change since the frame before.

    frame_t ────────────── 2D stem ─┐
                                    ├─ joined ─ 2D blocks, 3 × 1 × 1 over time ─ means ─ linear ─ logits
    frame_t − frame_{t−1} ─ 2D stem ─┘

Differences of consecutive frames stand in for optical flow at no cost, as in temporal segment networks
(Wang et al., https://arxiv.org/abs/1608.00859) and temporal difference networks
(https://arxiv.org/abs/2012.10071). They are taken inside the model, from normalised frames; the first
frame has none before it and gets zeros. Depthwise convolutions keep it light enough for an edge box.

Frame by frame (`step`), each block lends its last outputs a future of zeros, as a clip that ends here does, and
computes them again when the future has come. So block k works on its k last positions, and on one more that is
final from then on; the step is the clip, to the last bit of a float, and costs a fraction of it.

Shape suffixes: B clips, C channels, T frames, P positions that are not final yet, H × W pixels, D features,
N frames of all clips in a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages, numbered
from marey.models.masked import Mask, MaskedModule, MaskedSequential, masked_mean, zero_padding
from marey.models.registry import register_model
from marey.models.stepping import State, initial_state, running_mean

PAPER = "https://arxiv.org/abs/2012.10071"


def stem(width: int) -> MaskedSequential:
    return MaskedSequential(
        nn.Conv3d(3, width, (1, 5, 5), stride=(1, 2, 2), padding=(0, 2, 2), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def halved(side: int, stride: int) -> int:
    """Pixels that a convolution with that stride leaves of a side, with the padding that they all have here."""
    return (side - 1) // stride + 1


class Block(MaskedModule):
    """Depthwise over space, depthwise over time, pointwise over channels; halves H and W where asked."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.layers = MaskedSequential(
            nn.Conv3d(inputs, inputs, (1, 3, 3), (1, stride, stride), (0, 1, 1), groups=inputs, bias=False),
            nn.BatchNorm3d(inputs),
            nn.Conv3d(inputs, inputs, (3, 1, 1), padding=(1, 0, 0), groups=inputs, bias=False),
            nn.BatchNorm3d(inputs),
            nn.ReLU(inplace=True),
            nn.Conv3d(inputs, outputs, 1, bias=False),
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
        )
        self.inputs, self.stride = inputs, stride
        self.keeps_shape = stride == 1 and inputs == outputs

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        y, mask = self.layers(x, mask)
        return (y + x if self.keeps_shape else y), mask

    def step(self, x_BPCHW: Tensor, state: State, name: str, frames_B: Tensor) -> tuple[Tensor, State]:
        """From the last P positions, the oldest of which is final now, to the last P + 1.

        Args:
            x_BPCHW: the positions `frames_B − P` to `frames_B − 1`; those below 0 hold anything.
            state: `{name}.near`: what the convolution over time is given of the two positions before these, and
                `{name}.kept`: the input of the one before these, where the block adds its input.
            frames_B: frames so far, with this one.
        """
        batch, positions = x_BPCHW.shape[:2]
        over_space, norm, over_time, time_norm, *rest = self.layers
        near_NCHW = on_frames([over_space, norm], x_BPCHW.flatten(0, 1))
        near_BPCHW = rearrange(near_NCHW, "(b p) c h w -> b p c h w", b=batch)
        if positions > 1:  # before the first frame there are zeros, as in front of a clip
            near_BPCHW = near_BPCHW * real_positions(frames_B, positions)[:, :, None, None, None]
        none = torch.zeros_like(near_BPCHW[:, :1])
        near_BPCHW = torch.cat([state[f"{name}.near"], near_BPCHW, none], dim=1)
        taps_3C11, shift_C11 = taps(over_time, time_norm)
        y_BPCHW = near_BPCHW[:, :-2] * taps_3C11[0] + shift_C11
        y_BPCHW = y_BPCHW + near_BPCHW[:, 1:-1] * taps_3C11[1] + near_BPCHW[:, 2:] * taps_3C11[2]
        y_NCHW = on_frames(rest, y_BPCHW.flatten(0, 1))
        y_BPCHW = rearrange(y_NCHW, "(b p) c h w -> b p c h w", b=batch)
        after = {f"{name}.near": near_BPCHW[:, 1:3]}
        if self.keeps_shape:
            y_BPCHW = y_BPCHW + torch.cat([state[f"{name}.kept"], x_BPCHW], dim=1)
            after[f"{name}.kept"] = x_BPCHW[:, :1]
        return y_BPCHW, after


def on_frames(layers: Iterable[nn.Module], x_NCHW: Tensor) -> Tensor:
    """Layers that mix no frames, in two dimensions, which runtimes are much faster in than in three."""
    for layer in layers:
        if isinstance(layer, nn.Conv3d):
            padding = cast(tuple[int, ...], layer.padding)
            weight = layer.weight.squeeze(2)
            x_NCHW = F.conv2d(
                x_NCHW, weight, stride=layer.stride[1:], padding=padding[1:], groups=layer.groups
            )
        elif isinstance(layer, _BatchNorm):
            x_NCHW = F.batch_norm(
                x_NCHW, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps
            )
        else:
            x_NCHW = layer(x_NCHW)
    return x_NCHW


def taps(over_time: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """A depthwise 3 × 1 × 1 convolution and its batch norm as three factors `(3, C, 1, 1)` and a shift `(C, 1, 1)`."""
    assert isinstance(over_time, nn.Conv3d)
    assert isinstance(norm, _BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale_C = norm.weight * (norm.running_var + norm.eps).rsqrt()
    factors_3C = over_time.weight[:, 0, :, 0, 0].t() * scale_C
    return factors_3C[:, :, None, None], (norm.bias - norm.running_mean * scale_C)[:, None, None]


def real_positions(frames_B: Tensor, positions: int) -> Tensor:
    """Which of the last `positions` of a clip of `frames_B` are not before its start: 1 or 0, `(B, positions)`."""
    back_P = torch.arange(positions - 1, -1, -1, device=frames_B.device, dtype=frames_B.dtype)
    return (frames_B[:, None] - 1 >= back_P).to(frames_B.dtype)


class FrameDifference(VideoModel):
    """Frames and their differences.

    Args:
        num_classes: K.
        width: channels of each stem; the blocks go to 2, 4 and 8 times as many.
        frames, size: of the default input.
        dropout: share of features dropped before the linear layer, in training.
    """

    head_prefixes = ("fc",)

    def __init__(
        self,
        *,
        num_classes: int,
        width: int = 24,
        frames: int = 16,
        size: int | tuple[int, int] | list[int] = 112,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(num_classes=num_classes, spec=input_spec(frames=frames, size=size))
        self.appearance = stem(width)
        self.motion = stem(width)
        self.blocks = MaskedSequential(
            Block(2 * width, 2 * width, stride=2),
            Block(2 * width, 4 * width, stride=2),
            Block(4 * width, 4 * width, stride=1),
            Block(4 * width, 8 * width, stride=2),
            Block(8 * width, 8 * width, stride=1),
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(8 * width, num_classes)

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        rgb_BCTHW = zero_padding(rearrange(inputs["rgb"], "b t c h w -> b c t h w"), mask_BT, dim=2)
        diff_BCTHW = torch.zeros_like(rgb_BCTHW)
        diff_BCTHW[:, :, 1:] = rgb_BCTHW[:, :, 1:] - rgb_BCTHW[:, :, :-1]
        a, _ = self.appearance(rgb_BCTHW, mask_BT)
        m, _ = self.motion(diff_BCTHW, mask_BT)
        x, mask = self.blocks(torch.cat([a, m], dim=1), mask_BT)
        return reduce(x, "b c t h w -> b t c", "mean"), mask

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        return self.fc(self.dropout(masked_mean(x_BTD, mask_BT)))

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        height, width = (halved(side, 2) for side in self.spec.size)
        shapes: dict[str, tuple[int, ...]] = {"before": (3, *self.spec.size)}
        for name, block in self.blocks.named_children():
            assert isinstance(block, Block)
            if block.keeps_shape:
                shapes[f"blocks.{name}.kept"] = (1, block.inputs, height, width)
            height, width = halved(height, block.stride), halved(width, block.stride)
            shapes[f"blocks.{name}.near"] = (2, block.inputs, height, width)
        return {**shapes, "mean": (self.fc.in_features,), "frames": ()}

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One frame further; see `marey.models.stepping`. Of a model in eval mode."""
        state = initial_state(self, frame) if state is None else state
        frames_B = state["frames"] + 1
        rgb_BCHW = self.normalise("rgb", frame[:, None])[:, 0]
        later_B111 = (frames_B > 1).to(rgb_BCHW.dtype)[:, None, None, None]
        diff_BCHW = (rgb_BCHW - state["before"]) * later_B111
        x_BPCHW = torch.cat([on_frames(self.appearance, rgb_BCHW), on_frames(self.motion, diff_BCHW)], dim=1)[
            :, None
        ]
        after = {"before": rgb_BCHW, "frames": frames_B}
        for name, block in self.blocks.named_children():
            assert isinstance(block, Block)
            x_BPCHW, further = block.step(x_BPCHW, state, f"blocks.{name}", frames_B)
            after |= further
        x_BPD = reduce(x_BPCHW, "b p c h w -> b p c", "mean")
        ahead = x_BPD.shape[1] - 1
        x_BPD = x_BPD * real_positions(frames_B, ahead + 1)[:, :, None]
        final_B = (frames_B - ahead).clamp(min=0)
        mean_BD = running_mean(state["mean"], x_BPD[:, 0], final_B.clamp(min=1))
        clip_BD = (mean_BD * final_B[:, None] + x_BPD[:, 1:].sum(dim=1)) / frames_B[:, None]
        return self.fc(self.dropout(clip_BD)), {**after, "mean": mean_BD}

    def stage_prefixes(self) -> Stages:
        return [("appearance", "motion"), *numbered("blocks", len(self.blocks))]


@register_model(
    about="frames and their differences in a light net: motion without optical flow, for the edge",
    paper=PAPER,
    input="rgb 16 × 112²",
)
def frame_difference(**keywords: Any) -> FrameDifference:
    return FrameDifference(**keywords)
