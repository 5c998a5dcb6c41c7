"""Every registered model at a size that a test can afford, with weights that show a leak if there is one."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from marey.models import VideoModel, create_model, list_models

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
}


def small_model(name: str, seed: int = 0, **kwargs: Any) -> VideoModel:
    """The model in eval mode, small, with random batch-norm statistics and a head that is not near zero."""
    torch.manual_seed(seed)
    model = create_model(name, num_classes=K, **{**SMALL.get(name, {}), **kwargs})
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    for name_, parameter in model.named_parameters():
        if model._is_head(name_) and parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def random_inputs(model: VideoModel, batch: int, frames: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    channels = {"rgb": 3, "flow": 2, "diff": 3}
    return {
        m: torch.randint(
            0, 256, (batch, frames, channels[m], *model.spec.size), generator=generator, dtype=torch.uint8
        )
        for m in model.spec.modalities
    }
