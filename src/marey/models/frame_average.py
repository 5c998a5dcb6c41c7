"""Frame averaging: an image network on every frame, the mean of its logits as the clip's.

    frames ─ backbone ─ linear ─ mean over the real frames ─ logits

It cannot see order: any shuffling of the frames gives the same answer. That makes it the baseline which a
temporal model has to beat before it may claim to see motion. The mean of the frames' scores is the
"average consensus" of temporal segment networks (Wang et al., https://arxiv.org/abs/1608.00859).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from marey.models.backbone import (
    backbone_normalising,
    backbone_width,
    each_frame,
    make_backbone,
    part_features,
    rename_classifier,
)
from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages, image_stages
from marey.models.masked import Mask, masked_mean
from marey.models.registry import register_model
from marey.models.stepping import State, initial_state, running_mean

TSN = "https://arxiv.org/abs/1608.00859"


class FrameAverage(VideoModel):
    """Any timm backbone, frame by frame.

    Args:
        num_classes: K.
        backbone: timm's name of the image network.
        frames, size: of the default input.
        dropout: share of features dropped before the linear layer, in training.
        parts: g: features of the g × g parts of the picture, each by itself, in place of the whole's.
        backbone_kwargs: further keywords of timm's constructor.
    """

    head_prefixes = ("head",)
    backbone_prefixes = ("backbone",)
    sees_single_frames = True

    def __init__(
        self,
        *,
        num_classes: int,
        backbone: str = "mobilenetv3_small_100",
        frames: int = 16,
        size: int | tuple[int, int] | list[int] = 112,
        dropout: float = 0.2,
        parts: int = 1,
        backbone_kwargs: dict[str, Any] | None = None,
    ) -> None:
        network = make_backbone(backbone, size=size, keywords=backbone_kwargs)
        mean, std = backbone_normalising(network)
        super().__init__(
            num_classes=num_classes, spec=input_spec(frames=frames, size=size, mean=mean, std=std)
        )
        self.backbone = network
        self.dropout = nn.Dropout(dropout)
        self.parts = parts
        width = backbone_width(network) if parts == 1 else part_features(network, parts, size)
        self.head = nn.Linear(width, num_classes)

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        return each_frame(self.look, inputs["rgb"], mask_BT), mask_BT

    def look(self, x_NCHW: Tensor) -> Tensor:
        """Features `(N, D)` of single pictures; D holds a vector for each part, as `(D/g², g²)` flattened."""
        if self.parts == 1:
            return self.backbone(x_NCHW)
        network: Any = self.backbone
        return F.adaptive_avg_pool2d(network.forward_features(x_NCHW), self.parts).flatten(1)

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        return masked_mean(self.head(self.dropout(x_BTD)), mask_BT)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"scores": (self.num_classes,), "frames": ()}

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One frame further; see `marey.models.stepping`. The state is the mean of the scores so far."""
        state = initial_state(self, frame) if state is None else state
        scores_BK = self.head(self.dropout(self.look(self.normalise("rgb", frame[:, None])[:, 0])))
        frames_B = state["frames"] + 1
        mean_BK = running_mean(state["scores"], scores_BK, frames_B)
        return mean_BK, {"scores": mean_BK, "frames": frames_B}

    def stage_prefixes(self) -> Stages:
        return image_stages(self.backbone, "backbone")

    def convert_state_dict(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return rename_classifier(state, self.backbone, to="head")


@register_model(
    about="the baseline: averages per-frame predictions and cannot see order",
    paper=TSN,
    input="rgb 16 × 112²",
    weights="the timm backbone's own",
)
def frame_average(**keywords: Any) -> FrameAverage:
    return FrameAverage(**keywords)
