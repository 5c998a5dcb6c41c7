"""Probe: any network's features over time, and a small head on them.

    frames ─ windows ─ network ─ mean over each window ─ head over time ─ logits

The head is what `marey train --features` trains, on features that `marey extract` has stored: the network is run
once, and not at all in training. The saved model is both together, so that it predicts from raw video. What the
sampler gives are the instants of the stored grid. Without a network (features from elsewhere) it is the head alone,
which takes `features` and nothing else.

Probes of a network's features by a small classifier: Alain and Bengio, https://arxiv.org/abs/1610.01644.

Shape suffixes: B clips, T frames, W windows, C channels, D features, K classes.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from marey.errors import ConfigError, UsageError
from marey.models.base import VideoModel, example_inputs
from marey.models.depth import Stages, stages
from marey.models.heads import Head
from marey.models.masked import Mask, check_mask
from marey.models.registry import create_model, register_model
from marey.models.windows import check_windows, windowed_features
from marey.spec import InputSpec

PAPER = "https://arxiv.org/abs/1610.01644"


class Probe(VideoModel):
    """A network and a head.

    Args:
        num_classes: K.
        network: name of the network in the registry, or None: the head alone.
        network_kwargs: keywords that the network is made with.
        window, stride: frames that a position sees, and from one position to the next; 1 for an image network.
        fps: instants a second that the sampler gives.
        longest: instants at most; of a longer video the middle is judged.
        features: D; None counts it from the network.
        head, inputs, places, hidden, dropout: see `marey.models.heads.Head`.
        frames: of the default input.
        size: in pixels, handed to the network.
    """

    head_prefixes = ("head",)

    def __init__(
        self,
        *,
        num_classes: int,
        network: str | None = "frame_average",
        network_kwargs: dict[str, Any] | None = None,
        window: int = 1,
        stride: int = 1,
        fps: float = 8.0,
        longest: int | None = None,
        features: int | None = None,
        head: str = "gru",
        inputs: str = "features",
        places: int = 1,
        hidden: int = 128,
        dropout: float = 0.3,
        frames: int = 16,
        size: int | None = None,
    ) -> None:
        if network is None and features is None:
            raise ConfigError("a head alone needs to be told how many features it gets: features=D.")
        made: VideoModel | None = None
        if network is not None:
            given = {"num_classes": 1, **(network_kwargs or {}), **({"size": size} if size else {})}
            made = create_model(network, **given)
            check_windows(made, window, stride)
        spec = InputSpec() if made is None else made.spec
        frames = min(max(frames, window), longest or frames)
        spec = dataclasses.replace(
            spec,
            sampler={"name": "rate", "fps": fps, "max": longest},
            frames=longest or frames,
            min_frames=1,
            frames_multiple=1,
            fixed_frames=False,
        )
        super().__init__(num_classes=num_classes, spec=spec)
        self.window, self.stride = window, stride
        self.network = made
        if made is not None:
            _drop_classifier(made)
            features = features or _width(made, window)
        assert features is not None
        self.head = Head(
            features, num_classes, kind=head, inputs=inputs, places=places, hidden=hidden, dropout=dropout
        )

    def forward(
        self,
        *,
        rgb: Tensor | None = None,
        flow: Tensor | None = None,
        diff: Tensor | None = None,
        features: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Logits `(B, K)` of frames, or of `features` `(B, W, D)` that the network gave before, with the mask
        `(B, W)` of their positions."""
        if features is not None:
            checked = None if mask is None else check_mask(mask, *features.shape[:2])
            return self.head(features, checked)
        if self.network is None:
            raise UsageError(
                "this is a head on features whose network is not known, so it cannot judge a raw video.",
                "give it features, or extract them with marey extract, which keeps the network, and train again",
            )
        return super().forward(rgb=rgb, flow=flow, diff=diff, mask=mask)

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        assert self.network is not None
        if mask_BT is not None and "rgb" not in inputs:  # the mask of fields; windows are of frames
            mask_BT = torch.cat([torch.ones_like(mask_BT[:, :1]), mask_BT], dim=1)
        return windowed_features(self.network, inputs, mask_BT, window=self.window, stride=self.stride)

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        return self.head(x_BTD, mask_BT)

    def stage_prefixes(self) -> Stages:
        """The network's own; what its head keeps (the GRU of `cnn_gru`, say) comes last."""
        if self.network is None:
            return []
        rest = [name for name, _ in self.network.named_parameters() if self.network._is_head(name)]
        return [tuple(f"network.{name}" for name in names) for names in [*stages(self.network), rest]]


def _drop_classifier(network: VideoModel) -> None:
    """Take out the network's own last layer, which nothing here uses."""
    for prefix in network.head_prefixes:
        parent, _, name = prefix.rpartition(".")
        place: nn.Module | None = network
        for part in filter(None, parent.split(".")):
            place = getattr(place, part, None)  # a two-stream network of one branch has no other
        if isinstance(getattr(place, name, None), nn.Linear):
            setattr(place, name, nn.Identity())


def _width(network: VideoModel, window: int) -> int:
    """D, without computing anything: the network's shadow runs on torch's "meta" device."""
    shadow = copy.deepcopy(network).to("meta").eval()
    with torch.no_grad():
        found = shadow.features(**example_inputs(network.spec, frames=window, device="meta"))
    return int(found.shape[2])


@register_model(
    about="any network's features over time and a small head on them, which trains in seconds",
    paper=PAPER,
    input="rgb 16 × 112²",
)
def probe(**keywords: Any) -> Probe:
    return Probe(**keywords)
