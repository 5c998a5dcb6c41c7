"""What a model costs: parameters, and multiply-accumulates of one clip."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from marey.models.base import VideoModel, example_inputs


@dataclass(frozen=True)
class Profile:
    """Cost of one clip of the default input.

    Attributes:
        parameters: how many numbers are learned.
        gmacs: 10⁹ multiply-accumulates (half of the floating-point operations) of convolutions, linear
            layers, matrix products and attention; the papers' "GFLOPs" mostly mean this.
        input: what it was counted for: "rgb 16 × 112²".
    """

    parameters: int
    gmacs: float
    input: str


def profile(model: VideoModel, *, frames: int | None = None) -> Profile:
    """Count without computing anything: the model's shadow runs on torch's "meta" device.

    Args:
        model: any model; it is left as it is.
        frames: the clip's length; None takes the spec's.
    """
    spec = model.spec
    frames = frames or spec.frames
    shadow = copy.deepcopy(model).to("meta").eval()
    height, width = spec.size
    inputs = example_inputs(spec, frames=frames, device="meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        shadow(**inputs)
    macs = counter.get_total_flops() / 2
    size = f"{height}²" if height == width else f"{height}×{width}"
    return Profile(
        parameters=sum(p.numel() for p in model.parameters()),
        gmacs=macs / 1e9,
        input=f"{'+'.join(spec.modalities)} {frames} × {size}",
    )
