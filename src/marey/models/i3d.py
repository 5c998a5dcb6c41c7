"""I3D: the Inception-v1 image network with every filter inflated into time.

    clip ─ 7³ stem ─ pools and inception blocks ─ average over 2 frames and all space ─ 1³ logits ─ mean over time

Carreira and Zisserman, "Quo Vadis, Action Recognition?" (https://arxiv.org/abs/1705.07750). Padding is
TensorFlow's SAME, which is asymmetric wherever size, kernel and stride ask for it; get that wrong and public
weights lose accuracy without a sound. Modules carry the names of the public PyTorch checkpoints, so these
load as they are; 2D Inception-v1 weights (torchvision's `googlenet`) inflate: each filter is repeated over
time and divided by its length, so that a still clip gives what the image gave.

One network reads RGB (3 channels, scaled to −1…1) and another optical flow (2 channels, ±20 px scaled to
−1…1); the two-stream I3D of the paper adds their logits (`two_stream.py`).

Shape suffixes: B clips, C channels, T frames, T' positions after striding, H × W pixels, D features, K classes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from marey.errors import ConfigError
from marey.models.base import CHANNELS, VideoModel, input_spec
from marey.models.depth import Stages
from marey.models.masked import (
    Mask,
    MaskedModule,
    apply_masked,
    larger,
    lengths,
    masked_batch_norm,
    masked_mean,
    pad_time_same,
    prefix_mask,
    same_padding,
    smaller,
    zero_padding,
)
from marey.models.registry import register_model

PAPER = "https://arxiv.org/abs/1705.07750"
Triple = tuple[int, int, int]


def pad_same(x: Tensor, mask: Mask, kernel: Triple, stride: Triple) -> tuple[Tensor, Mask]:
    """SAME padding in time (by each clip's own length), height and width, with the mask that comes after."""
    height, width = x.shape[3:]
    x = F.pad(x, (*same_padding(width, kernel[2], stride[2]), *same_padding(height, kernel[1], stride[1])))
    if kernel[0] == stride[0] == 1:
        return x, mask
    return pad_time_same(x, mask, kernel[0], stride[0])


class Unit(MaskedModule):
    """Convolution, batch norm, ReLU: `Unit3D` of the public checkpoints."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: Triple = (1, 1, 1)) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel, kernel, kernel), stride
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=0.001)

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        x, mask = pad_same(x, mask, self.kernel, self.stride)
        return F.relu(masked_batch_norm(self.bn, self.conv3d(x), mask), inplace=True), mask


class MaxPool(MaskedModule):
    """Max pool with SAME padding; everything pooled here is ≥ 0, so that padding with zeros is neutral."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        x, mask = pad_same(x, mask, self.kernel, self.stride)
        return F.max_pool3d(x, self.kernel, self.stride), mask


class Inception(MaskedModule):
    """Four branches side by side: 1³; 1³ then 3³; 1³ then 3³; 3³ pool then 1³."""

    def __init__(self, inputs: int, b0: int, b1a: int, b1b: int, b2a: int, b2b: int, b3b: int) -> None:
        super().__init__()
        self.b0 = Unit(inputs, b0)
        self.b1a, self.b1b = Unit(inputs, b1a), Unit(b1a, b1b, 3)
        self.b2a, self.b2b = Unit(inputs, b2a), Unit(b2a, b2b, 3)
        self.b3a, self.b3b = MaxPool((3, 3, 3), (1, 1, 1)), Unit(inputs, b3b)
        self.outputs = b0 + b1b + b2b + b3b

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        branches = (
            self.b0(x, mask),
            self.b1b(*self.b1a(x, mask)),
            self.b2b(*self.b2a(x, mask)),
            self.b3b(*self.b3a(x, mask)),
        )
        return torch.cat([y for y, _ in branches], dim=1), mask


# Inception blocks between the pools: channels of the branches b0, b1a, b1b, b2a, b2b, b3b.
MIXED = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}
STAGES = (
    "Conv3d_1a_7x7", "MaxPool3d_2a_3x3", "Conv3d_2b_1x1", "Conv3d_2c_3x3", "MaxPool3d_3a_3x3", "Mixed_3b",
    "Mixed_3c", "MaxPool3d_4a_3x3", "Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f",
    "MaxPool3d_5a_2x2", "Mixed_5b", "Mixed_5c",
)  # fmt: skip


class Logits(nn.Module):
    """The 1 × 1 × 1 convolution of the public checkpoints, as the linear layer that it is."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, num_classes, 1)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return F.linear(x_BTD, self.conv3d.weight.flatten(1), self.conv3d.bias)


class I3D(VideoModel):
    """Inflated Inception-v1 over one modality.

    Args:
        num_classes: K.
        modality: "rgb", "flow" or "diff".
        width: all channels times this (1 is the paper's).
        blocks: the inception blocks that are kept (all of them in the paper).
        time_strides: strides over time of the stem, the pool before the 4th and that before the 5th stage.
        frames, size: of the default input.
        dropout: share of features dropped before the logits, in training.
    """

    head_prefixes = ("logits",)

    def __init__(
        self,
        *,
        num_classes: int,
        modality: str = "rgb",
        width: float = 1.0,
        blocks: tuple[str, ...] | list[str] = tuple(MIXED),
        time_strides: tuple[int, ...] | list[int] = (2, 2, 2),
        frames: int = 64,
        size: int | tuple[int, int] | list[int] = 224,
        dropout: float = 0.5,
    ) -> None:
        spec = input_spec(frames=frames, size=size, modalities=(modality,), mean=(0.5,) * 3, std=(0.5,) * 3)
        super().__init__(num_classes=num_classes, spec=spec)
        if unknown := [name for name in blocks if name not in MIXED]:
            raise ConfigError(f"{unknown[0]!r} is no inception block; there are {', '.join(MIXED)}.")
        self.modality = modality
        self.stages = [n for n in STAGES if not n.startswith("Mixed") or n.removeprefix("Mixed_") in blocks]

        def wide(channels: int) -> int:
            # Multiples of 8 keep narrow versions quick on a CPU.
            return channels if width == 1 else max(8 * round(channels * width / 8), 8)

        s1, s4, s5 = time_strides
        self.Conv3d_1a_7x7 = Unit(CHANNELS[modality], wide(64), 7, (s1, 2, 2))
        self.MaxPool3d_2a_3x3 = MaxPool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(wide(64), wide(64))
        self.Conv3d_2c_3x3 = Unit(wide(64), wide(192), 3)
        self.MaxPool3d_3a_3x3 = MaxPool((1, 3, 3), (1, 2, 2))
        self.MaxPool3d_4a_3x3 = MaxPool((3, 3, 3), (s4, 2, 2))
        self.MaxPool3d_5a_2x2 = MaxPool((2, 2, 2), (s5, 2, 2))
        channels = wide(192)
        for name in blocks:
            branches = MIXED[name]
            block = Inception(channels, *(wide(c) for c in branches))
            setattr(self, f"Mixed_{name}", block)
            channels = block.outputs
        self.dropout = nn.Dropout(dropout)
        self.logits = Logits(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.normal_(self.logits.conv3d.weight, std=0.01)
        nn.init.zeros_(self.logits.conv3d.bias)  # type: ignore[arg-type]

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        x, mask = rearrange(inputs[self.modality], "b t c h w -> b c t h w"), mask_BT
        for name in self.stages:
            x, mask = apply_masked(getattr(self, name), x, mask)
        return mean_of_two(reduce(x, "b c t h w -> b t c", "mean"), mask)

    def temporal_logits(self, x_BTD: Tensor) -> Tensor:
        """Features `(B, T', D)` to logits over time `(B, T', K)`, before averaging."""
        return self.logits(self.dropout(x_BTD))

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        return masked_mean(self.temporal_logits(x_BTD), mask_BT)

    def stage_prefixes(self) -> Stages:
        return [(name,) for name in self.stages if not name.startswith("MaxPool")]

    def convert_state_dict(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        if "inception3a.branch1.conv.weight" not in state:
            return state
        return inflate_googlenet(state, CHANNELS[self.modality])


def mean_of_two(x_BTD: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:
    """The mean of each pair of neighbours in time: T' − 1 positions; a clip with one position keeps it."""
    positions = x_BTD.shape[1]
    kept = larger(positions - 1, 1)
    x_BTD = F.pad(
        zero_padding(x_BTD, mask_BT), (0, 0, 0, 1)
    )  # so that one position has a neighbour, of zeros
    sum_BTD = (x_BTD[:, 1:] + x_BTD[:, :-1])[:, :kept]
    if mask_BT is None:
        return sum_BTD / smaller(positions, 2), None
    length_B = lengths(mask_BT)
    count = length_B.clamp(max=2).to(x_BTD.dtype)[:, None, None]
    return sum_BTD / count, prefix_mask((length_B - 1).clamp(min=1), kept)


# torchvision's GoogLeNet names to I3D's; both have 3 × 3 filters where the paper's Inception has 5 × 5.
GOOGLENET_STEM = {"conv1": "Conv3d_1a_7x7", "conv2": "Conv3d_2b_1x1", "conv3": "Conv3d_2c_3x3"}
GOOGLENET_BRANCHES = {
    "branch1": "b0", "branch2.0": "b1a", "branch2.1": "b1b", "branch3.0": "b2a", "branch3.1": "b2b",
    "branch4.1": "b3b",
}  # fmt: skip
NEXT_LETTER = {"a": "b", "b": "c", "c": "d", "d": "e", "e": "f"}


def inflate_googlenet(state: dict[str, Tensor], channels: int) -> dict[str, Tensor]:
    """torchvision's 2D `googlenet` as I3D: filters repeated over time and divided by its length.

    For an input other than RGB the first filters are averaged over colour, repeated, and scaled so that the
    sum over channels stays.
    """
    inflated = {}
    for key, value in state.items():
        name, _, rest = key.partition(".")
        if name in GOOGLENET_STEM:
            prefix = GOOGLENET_STEM[name]
        elif name.startswith("inception") and not name.startswith("inceptionaux"):
            branch = next(b for b in GOOGLENET_BRANCHES if rest.startswith(f"{b}."))
            prefix = f"Mixed_{name[9]}{NEXT_LETTER[name[10]]}.{GOOGLENET_BRANCHES[branch]}"
            rest = rest.removeprefix(f"{branch}.")
        else:
            continue  # the image classifier and its two helpers
        if value.ndim == 4:
            rest = "conv3d.weight"
            if name == "conv1" and channels != value.shape[1]:
                value = value.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1) * value.shape[1] / channels
            frames = value.shape[-1]  # cubic filters
            value = value[:, :, None].repeat(1, 1, frames, 1, 1) / frames
        inflated[f"{prefix}.{rest}"] = value
    return inflated


@register_model(
    about="inflated Inception over RGB; many public weights and features", paper=PAPER, input="rgb 64 × 224²"
)
def i3d(**keywords: Any) -> I3D:
    return I3D(**keywords)


@register_model(about="the same over optical flow: sees motion alone", paper=PAPER, input="flow 64 × 224²")
def i3d_flow(**keywords: Any) -> I3D:
    return I3D(**{"modality": "flow", **keywords})


TINY = {
    "width": 0.25, "blocks": ("3b", "3c", "4b", "4f", "5c"), "time_strides": (1, 1, 2), "frames": 8, "size": 56,
    "dropout": 0.0,
}  # fmt: skip


@register_model(
    about="I3D at a quarter of the width and half the blocks: from scratch on a laptop",
    paper=PAPER,
    input="rgb 8 × 56²",
)
def i3d_tiny(**keywords: Any) -> I3D:
    return I3D(**{**TINY, **keywords})
