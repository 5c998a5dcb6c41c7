"""TSM: an image network in which every residual block borrows channels from the neighbouring frames.

    in front of a block's first convolution: an eighth of the channels comes from the frame after,
    an eighth from the frame before, the rest stays

Lin et al., "TSM: Temporal Shift Module for Efficient Video Understanding" (https://arxiv.org/abs/1811.08383).
No parameters and no arithmetic are added; the shift sits inside the residual branch of any timm ResNet or
inverted-residual network (MobileNet, EfficientNet). The frames' logits are averaged. Weights of the image
network load by name, and so do the authors' ResNet checkpoints.

A frame beyond the clip's ends, or padding, lends zeros.

Shape suffixes: B clips, T frames, N frames of all clips in a row, C channels, D features.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from marey.errors import ConfigError
from marey.models.backbone import backbone_normalising, backbone_width, make_backbone, rename_classifier
from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages, image_stages
from marey.models.masked import Mask, is_tracing, lengths, masked_mean
from marey.models.registry import register_model

PAPER = "https://arxiv.org/abs/1811.08383"


class Neighbours:
    """For each frame of the row that runs through the network, the row's index of the frame after and of
    the one before; the last index of all, one past the row, stands for none."""

    after: Tensor  # (N,)
    before: Tensor  # (N,)

    def set(self, lengths_N: Tensor, positions_N: Tensor) -> None:
        """From each frame's clip length and its own position in the clip."""
        none = positions_N.shape[0]
        row_N = torch.arange(none, device=positions_N.device)
        self.after = torch.where(positions_N + 1 < lengths_N, row_N + 1, none)
        self.before = torch.where((positions_N > 0) & (positions_N < lengths_N), row_N - 1, none)


class Shifted(nn.Module):
    """A convolution whose input has borrowed channels; `net` is its name in the authors' checkpoints."""

    def __init__(self, net: nn.Module, neighbours: Neighbours, share: int) -> None:
        super().__init__()
        self.net, self.neighbours, self.share = net, neighbours, share

    def forward(self, x_NCHW: Tensor) -> Tensor:
        fold = x_NCHW.shape[1] // self.share
        after, before, stay = x_NCHW.split([fold, fold, x_NCHW.shape[1] - 2 * fold], dim=1)
        nothing = torch.zeros_like(after[:1])
        return self.net(
            torch.cat(
                [
                    torch.cat([after, nothing])[self.neighbours.after],
                    torch.cat([before, nothing])[self.neighbours.before],
                    stay,
                ],
                dim=1,
            )
        )


class TSM(VideoModel):
    """Any timm network of residual blocks, with shifts.

    Args:
        num_classes: K.
        backbone: timm's name: a ResNet, or a network of inverted residuals.
        share: one part in so many of the channels goes each way.
        frames, size: of the default input.
        dropout: share of features dropped before the linear layer, in training.
        backbone_kwargs: further keywords of timm's constructor.
    """

    head_prefixes = ("head",)
    backbone_prefixes = ("backbone",)

    def __init__(
        self,
        *,
        num_classes: int,
        backbone: str = "resnet50",
        share: int = 8,
        frames: int = 8,
        size: int | tuple[int, int] | list[int] = 224,
        dropout: float = 0.5,
        backbone_kwargs: dict[str, Any] | None = None,
    ) -> None:
        network = make_backbone(backbone, size=size, keywords=backbone_kwargs)
        mean, std = backbone_normalising(network)
        spec = input_spec(
            frames=frames, size=size, sampler={"name": "segments", "n": frames}, mean=mean, std=std
        )
        super().__init__(num_classes=num_classes, spec=spec)
        self.neighbours = Neighbours()
        if not insert_shifts(network, self.neighbours, share):
            raise ConfigError(
                f"{backbone} has no residual blocks that a shift is known for.",
                "take a ResNet or a network of inverted residuals, such as resnet50 or mobilenetv2_100",
            )
        self.backbone = network
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone_width(network), num_classes)

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        x_BTCHW = inputs["rgb"]
        batch, frames = x_BTCHW.shape[:2]
        position_BT = torch.arange(frames, device=x_BTCHW.device).expand(batch, -1)
        length_B = torch.full_like(position_BT[:, 0], frames) if mask_BT is None else lengths(mask_BT)
        length_BT = length_B[:, None].expand(-1, frames)
        if mask_BT is None or is_tracing():
            self.neighbours.set(length_BT.flatten(), position_BT.flatten())
            y_ND = self.backbone(rearrange(x_BTCHW, "b t c h w -> (b t) c h w"))
            return rearrange(y_ND, "(b t) d -> b t d", b=batch), mask_BT
        self.neighbours.set(length_BT[mask_BT], position_BT[mask_BT])
        y_ND = self.backbone(x_BTCHW[mask_BT])  # real frames only, so that batch norm counts no others
        y_BTD = torch.zeros(batch, frames, y_ND.shape[1], dtype=y_ND.dtype, device=y_ND.device)
        return y_BTD.index_put((mask_BT,), y_ND), mask_BT

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        return masked_mean(self.head(self.dropout(x_BTD)), mask_BT)

    def stage_prefixes(self) -> Stages:
        return image_stages(self.backbone, "backbone")

    def convert_state_dict(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Image networks' names, and the authors' (`base_model.…`, `new_fc`)."""
        state = {
            k.replace("base_model.", "backbone.").replace("new_fc.", "head."): v for k, v in state.items()
        }
        own = self.state_dict()
        shifted = {key.replace(".net.", "."): key for key in own}
        if not any(key.startswith("backbone.") for key in state):
            plain = {key.replace(".net.", "."): None for key in self.backbone.state_dict()}
            state = rename_classifier(state, self.backbone, to="head", own=set(plain))
        return {shifted.get(key, key): value for key, value in state.items()}


def insert_shifts(network: nn.Module, neighbours: Neighbours, share: int) -> int:
    """Put a shift in front of the first convolution of every residual branch; how many were put."""
    import timm.models._efficientnet_blocks as inverted
    import timm.models.resnet as resnet

    count = 0
    for block in list(network.modules()):
        if isinstance(block, resnet.BasicBlock | resnet.Bottleneck):
            name = "conv1"
        elif isinstance(block, inverted.InvertedResidual) and block.has_skip:
            name = "conv_pw"
        else:
            continue
        setattr(block, name, Shifted(getattr(block, name), neighbours, share))
        count += 1
    return count


@register_model(
    about="an image network that borrows channels from neighbouring frames: motion at no cost",
    paper=PAPER,
    input="rgb 8 × 224²",
    weights="the timm backbone's own",
)
def tsm(**keywords: Any) -> TSM:
    return TSM(**keywords)


@register_model(
    about="the same on MobileNetV2, for the edge",
    paper=PAPER,
    input="rgb 8 × 224²",
    weights="the timm backbone's own",
)
def tsm_mobilenet(**keywords: Any) -> TSM:
    return TSM(**{"backbone": "mobilenetv2_100", **keywords})
