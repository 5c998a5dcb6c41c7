"""R(2+1)D: every 3D convolution split into a spatial and a temporal one, in a residual network.

    clip ─ stem ─ layer1 ─ layer2 ─ layer3 ─ layer4 ─ mean over space ─ mean over real time ─ linear ─ logits

Tran et al., "A Closer Look at Spatiotemporal Convolutions" (https://arxiv.org/abs/1711.11248). The width M
of the middle keeps the parameters of the 3 × 3 × 3 convolution it replaces. Sub-modules are named as in
torchvision's `VideoResNet`, whose state dicts load as they are. The 34-layer net is Caffe2's, in which
IG-65M's weights are public: there the second convolution of a stage's first block has the middle width of
its own inputs (`own_middle`), and batch norm an eps of 0.001. `r2plus1d_tiny` is four factorised blocks for
learning on a laptop.

Shape suffixes: B clips, C channels, T frames, H × W pixels, D features.
"""

from __future__ import annotations

from typing import Any

from einops import rearrange, reduce
from torch import Tensor, nn

from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages, numbered
from marey.models.masked import Mask, MaskedModule, MaskedSequential, apply_masked, masked_mean
from marey.models.registry import register_model

PAPER = "https://arxiv.org/abs/1711.11248"
KINETICS_MEAN, KINETICS_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


class Conv2Plus1D(MaskedSequential):
    """1 × 3 × 3 over space, batch norm, ReLU, 3 × 1 × 1 over time."""

    def __init__(self, inputs: int, outputs: int, middle: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(inputs, middle, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, outputs, (3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0), bias=False),
        )


class Conv3D(nn.Conv3d):
    """The 3 × 3 × 3 convolution whole, for comparison (R3D)."""

    def __init__(self, inputs: int, outputs: int, middle: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride=stride, padding=1, bias=False)


class Conv2D(nn.Conv3d):
    """Only its spatial part, which keeps time as it is (the later layers of MC3)."""

    def __init__(self, inputs: int, outputs: int, middle: int, stride: int = 1) -> None:
        super().__init__(
            inputs, outputs, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False
        )


Convolution = type[Conv2Plus1D] | type[Conv3D] | type[Conv2D]
KINDS: dict[str, Convolution] = {"2+1": Conv2Plus1D, "3": Conv3D, "2": Conv2D}


class Block(MaskedModule):
    """Two convolutions and a shortcut: `(B, C, T, H, W)` to `(B, C', T/s, H/s, W/s)`."""

    def __init__(
        self, inputs: int, outputs: int, kind: Convolution, stride: int = 1, own_middle: bool = False
    ) -> None:
        super().__init__()
        middle = middle_width(inputs, outputs)
        # torchvision gives the second convolution the first's middle width, Caffe2 its own.
        second = middle_width(outputs, outputs) if own_middle else middle
        self.conv1 = MaskedSequential(
            kind(inputs, outputs, middle, stride), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)
        )
        self.conv2 = MaskedSequential(kind(outputs, outputs, second), nn.BatchNorm3d(outputs))
        self.relu = nn.ReLU(inplace=True)
        self.downsample: MaskedSequential | None = None
        if stride != 1 or inputs != outputs:
            strides = (1 if kind is Conv2D else stride, stride, stride)
            self.downsample = MaskedSequential(
                nn.Conv3d(inputs, outputs, 1, stride=strides, bias=False), nn.BatchNorm3d(outputs)
            )

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        y, after = self.conv2(*self.conv1(x, mask))
        shortcut = x if self.downsample is None else self.downsample(x, mask)[0]
        return self.relu(y + shortcut), after


def middle_width(inputs: int, outputs: int) -> int:
    """M for which the two convolutions have as many weights as one of 3 × 3 × 3."""
    return inputs * outputs * 27 // (inputs * 9 + 3 * outputs)


def stem_2plus1() -> MaskedSequential:
    return MaskedSequential(
        nn.Conv3d(3, 45, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
        nn.BatchNorm3d(45),
        nn.ReLU(inplace=True),
        nn.Conv3d(45, 64, (3, 1, 1), padding=(1, 0, 0), bias=False),
        nn.BatchNorm3d(64),
        nn.ReLU(inplace=True),
    )


def stem_3d() -> MaskedSequential:
    return MaskedSequential(
        nn.Conv3d(3, 64, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
        nn.BatchNorm3d(64),
        nn.ReLU(inplace=True),
    )


class VideoResNet(VideoModel):
    """The 18- and 34-layer networks of the paper.

    Args:
        num_classes: K.
        layers: blocks in each of the four stages.
        kinds: what convolves in each of the four stages: "2+1", "3" or "2".
        own_middle: Caffe2's middle widths in place of torchvision's.
        eps: of batch norm.
        frames, size: of the default input.
        dropout: share of features dropped before the linear layer, in training.
    """

    head_prefixes = ("fc",)

    def __init__(
        self,
        *,
        num_classes: int,
        layers: tuple[int, ...] | list[int] = (2, 2, 2, 2),
        kinds: tuple[str, ...] | list[str] = ("2+1", "2+1", "2+1", "2+1"),
        own_middle: bool = False,
        eps: float = 1e-5,
        frames: int = 16,
        size: int | tuple[int, int] | list[int] = 112,
        dropout: float = 0.0,
    ) -> None:
        spec = input_spec(frames=frames, size=size, mean=KINETICS_MEAN, std=KINETICS_STD)
        super().__init__(num_classes=num_classes, spec=spec)
        self.stem = stem_2plus1() if kinds[0] == "2+1" else stem_3d()
        widths = (64, 64, 128, 256, 512)
        stages = []
        for inputs, outputs, depth, kind in zip(widths, widths[1:], layers, kinds, strict=False):
            first = Block(inputs, outputs, KINDS[kind], 1 if outputs == 64 else 2, own_middle)
            stages.append(
                MaskedSequential(first, *(Block(outputs, outputs, KINDS[kind]) for _ in range(1, depth)))
            )
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(512, num_classes)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eps = eps
        initialise(self)

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        x, mask = rearrange(inputs["rgb"], "b t c h w -> b c t h w"), mask_BT
        for stage in (self.stem, self.layer1, self.layer2, self.layer3, self.layer4):
            x, mask = stage(x, mask)
        return reduce(x, "b c t h w -> b t c", "mean"), mask

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        return self.fc(self.dropout(masked_mean(x_BTD, mask_BT)))

    def stage_prefixes(self) -> Stages:
        layers = (f"layer{i}" for i in range(1, 5))
        return [("stem",), *(s for name in layers for s in numbered(name, len(self.get_submodule(name))))]  # type: ignore[arg-type]


class FactorisedBlock(MaskedModule):
    """Half the size in space, then a look at the neighbours in time beside a shortcut: without it training
    from scratch may stay at chance for many epochs. `(B, C, T, H, W)` to `(B, C', T, H/2, W/2)`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.space = MaskedSequential(
            nn.Conv3d(inputs, outputs, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False),
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
        )
        self.time = MaskedSequential(
            nn.Conv3d(outputs, outputs, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        x, mask = self.space(x, mask)
        return x + self.time(x, mask)[0], mask


class FactorisedNet(VideoModel):
    """Four factorised blocks; time keeps its full length, so that even eight frames show their order to every
    block.

    Args:
        num_classes: K.
        widths: channels after each block.
        frames, size: of the default input.
        dropout: share of features dropped before the linear layer, in training.
    """

    head_prefixes = ("fc",)

    def __init__(
        self,
        *,
        num_classes: int,
        widths: tuple[int, ...] | list[int] = (16, 32, 64, 96),
        frames: int = 8,
        size: int | tuple[int, int] | list[int] = 56,
        dropout: float = 0.0,
    ) -> None:
        spec = input_spec(frames=frames, size=size, mean=KINETICS_MEAN, std=KINETICS_STD)
        super().__init__(num_classes=num_classes, spec=spec)
        channels = zip((3, *widths), widths, strict=False)
        self.blocks = MaskedSequential(*(FactorisedBlock(inputs, outputs) for inputs, outputs in channels))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1], num_classes)
        initialise(
            self.blocks
        )  # a head as small as the deep nets' never leaves chance at a high learning rate

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        x, mask = apply_masked(self.blocks, rearrange(inputs["rgb"], "b t c h w -> b c t h w"), mask_BT)
        return reduce(x, "b c t h w -> b t c", "mean"), mask

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        return self.fc(self.dropout(masked_mean(x_BTD, mask_BT)))

    def stage_prefixes(self) -> Stages:
        return numbered("blocks", len(self.blocks))


def initialise(model: nn.Module) -> None:
    """He initialisation by fan-out for convolutions, as torchvision's."""
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)


@register_model(
    about="factorised 3D residual net: the sound first choice for short clips",
    paper=PAPER,
    input="rgb 16 × 112²",
    weights="R2Plus1D_18_Weights.KINETICS400_V1",
)
def r2plus1d_18(**keywords: Any) -> VideoResNet:
    return VideoResNet(**keywords)


@register_model(
    about="the same with 34 layers; the layout of the public IG-65M weights",
    paper=PAPER,
    input="rgb 32 × 112²",
    weights="https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0/r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1.pth",
)
def r2plus1d_34(**keywords: Any) -> VideoResNet:
    return VideoResNet(**{"layers": (3, 4, 6, 3), "own_middle": True, "eps": 1e-3, "frames": 32, **keywords})


@register_model(
    about="every convolution 3 × 3 × 3, to compare with the factorised",
    paper=PAPER,
    input="rgb 16 × 112²",
    weights="R3D_18_Weights.KINETICS400_V1",
)
def r3d_18(**keywords: Any) -> VideoResNet:
    return VideoResNet(**{"kinds": ("3", "3", "3", "3"), **keywords})


@register_model(
    about="3D convolutions in the first stage, 2D after it",
    paper=PAPER,
    input="rgb 16 × 112²",
    weights="MC3_18_Weights.KINETICS400_V1",
)
def mc3_18(**keywords: Any) -> VideoResNet:
    return VideoResNet(**{"kinds": ("3", "2", "2", "2"), **keywords})


@register_model(
    about="four factorised blocks: learns motion from scratch on a laptop in a minute",
    paper=PAPER,
    input="rgb 8 × 56²",
)
def r2plus1d_tiny(**keywords: Any) -> FactorisedNet:
    return FactorisedNet(**keywords)
