"""Every registered model at a size that a test can afford, with weights that show a leak if there is one."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from marey.models import VideoModel, create_model, list_models

Module = TypeVar("Module", bound=nn.Module)

NAMES = [entry.name for entry in list_models()]
K = 5

_RESNET = {"size": 32}
SMALL: dict[str, dict[str, Any]] = {
    "frame_average": {"size": 32},
    "cnn_gru": {"size": 32, "hidden": 32},
    "r2plus1d_18": _RESNET,
    "r2plus1d_34": _RESNET,
    "r3d_18": _RESNET,
    "mc3_18": _RESNET,
    "r2plus1d_tiny": {"size": 24},
    "frame_difference": {"size": 32},
    "i3d": {"size": 32, "width": 0.125},
    "i3d_flow": {"size": 32, "width": 0.125},
    "i3d_tiny": {"size": 32},
    "timesformer_base": {"size": 32, "depth": 2, "width": 96},
    "timesformer_hr": {"size": 32, "depth": 2, "width": 96},
    "timesformer_large": {"size": 32, "depth": 2, "width": 96},
    "timesformer_tiny": {"size": 32},
    "video_swin_t": {"size": 32, "width": 24, "depths": (2, 2), "heads": (2, 4), "window": (4, 7, 7)},
    "video_swin_s": {"size": 56, "width": 16, "depths": (2, 2), "heads": (2, 4), "window": (2, 7, 7)},
    "video_swin_b": {"size": 36, "width": 16, "depths": (2, 2), "heads": (2, 4), "window": (4, 4, 4)},
    "video_swin_tiny": {"size": 28},
}


def randomise(module: Module, seed: int = 0) -> Module:
    """Random batch-norm statistics, scales and shifts, so that no layer is the identity."""
    generator = torch.Generator().manual_seed(seed)
    for norm in module.modules():
        if isinstance(norm, _BatchNorm) and norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.normal_(0, 0.3, generator=generator)
            norm.running_var.uniform_(0.5, 1.5, generator=generator)
            with torch.no_grad():
                norm.weight.uniform_(0.5, 1.5, generator=generator)
                norm.bias.normal_(0, 0.3, generator=generator)
    return module


def small_model(name: str, seed: int = 0, **kwargs: Any) -> VideoModel:
    """The model in eval mode, small, with a head that is not near zero."""
    torch.manual_seed(seed)
    model = randomise(create_model(name, num_classes=K, **{**SMALL.get(name, {}), **kwargs}), seed)
    for key, parameter in model.named_parameters():
        if model._is_head(key) and parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def assert_parity(ours: torch.Tensor, reference: torch.Tensor, tolerance: float = 1e-4) -> None:
    """The largest difference, relative to the largest value, of a network that is not dead."""
    assert ours.shape == reference.shape
    assert reference.abs().max() > 1e-2
    assert (ours - reference).abs().max() / reference.abs().max() <= tolerance


def random_inputs(model: VideoModel, batch: int, frames: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    channels = {"rgb": 3, "flow": 2, "diff": 3}
    return {
        m: torch.randint(
            0, 256, (batch, frames, channels[m], *model.spec.size), generator=generator, dtype=torch.uint8
        )
        for m in model.spec.modalities
    }
