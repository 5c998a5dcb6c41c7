"""CNN + GRU: an image network on every frame, a gated recurrent unit over their features.

    frames ─ backbone ─ linear, norm ─ GRU over the real frames ─ pool over time ─ dropout ─ linear ─ logits

The scheme of long-term recurrent convolutional networks (Donahue et al., https://arxiv.org/abs/1411.4389)
with a GRU (Cho et al., https://arxiv.org/abs/1406.1078) in place of the LSTM. Runs forward in time, so it
can be fed frame by frame (`step`) with nothing recomputed: the model for a live feed on a small machine.

Padding comes after the real frames, so a forward GRU never meets it before its answer is taken; the
backward one of `bidirectional` reads each clip reversed from its own last real frame.

Shape suffixes: B clips, T frames, C channels, H × W pixels, D features of the backbone, G units of the GRU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from marey.errors import ConfigError
from marey.models.backbone import backbone_normalising, backbone_width, each_frame, make_backbone
from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages, image_stages
from marey.models.masked import Mask, last_real, masked_max, masked_mean, reverse_time
from marey.models.registry import register_model
from marey.models.stepping import State, initial_state, running_mean

LRCN = "https://arxiv.org/abs/1411.4389"
POOLS = ("mean", "max", "last")


class CnnGru(VideoModel):
    """Any timm backbone and a GRU.

    Args:
        num_classes: K.
        backbone: timm's name of the image network.
        hidden: G, units of the GRU.
        layers: of the GRU, one on top of the other.
        bidirectional: a second GRU reads the clip backwards; such a model has no `step`.
        pool: the clip's vector is the `mean` or `max` of the GRU's outputs, or the `last` one.
        dropout: share of features dropped before the linear layer, in training.
        frames, size: of the default input.
        backbone_kwargs: further keywords of timm's constructor.
    """

    head_prefixes = ("embed", "gru", "gru_backward", "head")
    backbone_prefixes = ("backbone",)

    def __init__(
        self,
        *,
        num_classes: int,
        backbone: str = "mobilenetv3_small_100",
        hidden: int = 256,
        layers: int = 1,
        bidirectional: bool = False,
        pool: str = "mean",
        dropout: float = 0.3,
        frames: int = 16,
        size: int | tuple[int, int] | list[int] = 112,
        backbone_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if pool not in POOLS:
            raise ConfigError(f"pool {pool!r} is not from {', '.join(POOLS)}.")
        network = make_backbone(backbone, size=size, keywords=backbone_kwargs)
        mean, std = backbone_normalising(network)
        super().__init__(
            num_classes=num_classes, spec=input_spec(frames=frames, size=size, mean=mean, std=std)
        )
        self.pool = pool
        self.backbone = network
        # Backbones differ in scale by orders of magnitude; a GRU's gates want inputs around one.
        self.embed = nn.Sequential(nn.Linear(backbone_width(network), hidden), nn.LayerNorm(hidden))
        self.gru = nn.GRU(hidden, hidden, layers, batch_first=True)
        self.gru_backward = nn.GRU(hidden, hidden, layers, batch_first=True) if bidirectional else None
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden * (2 if bidirectional else 1), num_classes)

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        x_BTG = self.embed(each_frame(self.backbone, inputs["rgb"], mask_BT))
        y_BTG, _ = self.gru(x_BTG)
        if self.gru_backward is not None:
            back_BTG, _ = self.gru_backward(reverse_time(x_BTG, mask_BT))
            y_BTG = torch.cat([y_BTG, reverse_time(back_BTG, mask_BT)], dim=2)
        return y_BTG, mask_BT

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        if self.pool == "mean":
            x_BD = masked_mean(x_BTD, mask_BT)
        elif self.pool == "max":
            x_BD = masked_max(x_BTD, mask_BT)
        elif self.gru_backward is None:
            x_BD = last_real(x_BTD, mask_BT)
        else:  # each direction's last output: the backward one ends at the first frame
            half = x_BTD.shape[2] // 2
            x_BD = torch.cat([last_real(x_BTD[..., :half], mask_BT), x_BTD[:, 0, half:]], dim=1)
        return self.head(self.dropout(x_BD))

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        if self.gru_backward is not None:
            raise ConfigError(
                "a bidirectional GRU must see the end of a clip first and cannot go frame by frame.",
                "train with bidirectional=False for a live feed",
            )
        units = self.gru.hidden_size
        return {"hidden": (self.gru.num_layers, units), "pooled": (units,), "frames": ()}

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One frame further; see `marey.models.stepping`. The pool over time so far is part of the state."""
        state = initial_state(self, frame) if state is None else state
        x_BD = self.backbone(self.normalise("rgb", frame[:, None])[:, 0])
        hidden = state["hidden"].transpose(0, 1).contiguous()
        y_B1G, hidden = self.gru(self.embed(x_BD)[:, None], hidden)
        y_BG, frames_B = y_B1G[:, 0], state["frames"] + 1
        if self.pool == "max":
            first_B1 = (frames_B == 1)[:, None]
            y_BG = torch.where(first_B1, y_BG, torch.maximum(state["pooled"], y_BG))
        elif self.pool == "mean":
            y_BG = running_mean(state["pooled"], y_BG, frames_B)
        after = {"hidden": hidden.transpose(0, 1), "pooled": y_BG, "frames": frames_B}
        return self.head(self.dropout(y_BG)), after

    def stage_prefixes(self) -> Stages:
        return image_stages(self.backbone, "backbone")

    def convert_state_dict(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        own = set(self.backbone.state_dict())
        if len(own & set(state)) < len(own) // 2:
            return state
        return {f"backbone.{key}": value for key, value in state.items()}


@register_model(
    about="image network + GRU: small, runs frame by frame on a live feed",
    paper=LRCN,
    input="rgb 16 × 112²",
    weights="the timm backbone's own",
)
def cnn_gru(**keywords: Any) -> CnnGru:
    return CnnGru(**keywords)
