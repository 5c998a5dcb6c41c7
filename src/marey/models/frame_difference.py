"""Frame difference: a light network on each frame beside its change since the frame before.

    frame_t ────────────── 2D stem ─┐
                                    ├─ joined ─ 2D blocks, 3 × 1 × 1 over time ─ means ─ linear ─ logits
    frame_t − frame_{t−1} ─ 2D stem ─┘

Differences of consecutive frames stand in for optical flow at no cost, as in temporal segment networks
(Wang et al., https://arxiv.org/abs/1608.00859) and temporal difference networks
(https://arxiv.org/abs/2012.10071). They are taken inside the model, from normalised frames; the first
frame has none before it and gets zeros. Depthwise convolutions keep it light enough for an edge box.

Shape suffixes: B clips, C channels, T frames, H × W pixels, D features.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages, numbered
from marey.models.masked import Mask, MaskedModule, MaskedSequential, masked_mean, zero_padding
from marey.models.registry import register_model

PAPER = "https://arxiv.org/abs/2012.10071"


def stem(width: int) -> MaskedSequential:
    return MaskedSequential(
        nn.Conv3d(3, width, (1, 5, 5), stride=(1, 2, 2), padding=(0, 2, 2), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


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
        self.keeps_shape = stride == 1 and inputs == outputs

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        y, mask = self.layers(x, mask)
        return (y + x if self.keeps_shape else y), mask


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

    def stage_prefixes(self) -> Stages:
        return [("appearance", "motion"), *numbered("blocks", len(self.blocks))]


@register_model(
    about="frames and their differences in a light net: motion without optical flow, for the edge",
    paper=PAPER,
    input="rgb 16 × 112²",
)
def frame_difference(**keywords: Any) -> FrameDifference:
    return FrameDifference(**keywords)
