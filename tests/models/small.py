"""Every registered model at a size that a test can afford, with weights that show a leak if there is one."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from marey.models import VideoModel, create_model, list_models
from marey.models.base import example_inputs

Module = TypeVar("Module", bound=nn.Module)

NAMES = [entry.name for entry in list_models()]
K = 5

_RESNET = {"size": 32}
SMALL: dict[str, dict[str, Any]] = {
    "frame_average": {"size": 32},
    "cnn_gru": {"size": 32, "hidden": 32},
    "probe": {"size": 32, "hidden": 32, "inputs": "both"},
    "r2plus1d_18": _RESNET,
    "r2plus1d_34": {"size": 32, "layers": (1, 1, 2, 1)},
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
    "video_swin_tiny": {"size": 32},
    "two_stream": {"size": 32, "stack": 4, "stack_stride": 3, "frames": 16},
    "two_stream_i3d": {"size": 32, "width": 0.125, "blocks": ("3b", "4b", "5c"), "fusion": "weighted"},
    "two_stream_tiny": {"size": 32, "fusion": "concat"},
    "tsm": {"size": 32, "backbone": "resnet18"},
    "tsm_mobilenet": {"size": 32},
    "slowfast_r50": {"size": 32, "layers": (1, 1, 1)},
    "x3d_xs": {"size": 32, "layers": (1, 2, 1, 1)},
    "x3d_s": {"size": 32, "layers": (1, 1, 1, 1)},
    "x3d_m": {"size": 32, "layers": (1, 2, 1, 1)},
    "videomae_b": {"size": 32, "depth": 2, "width": 96},
    "videomae_s": {"size": 32, "depth": 2, "width": 48, "heads": 4},
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
    """uint8 clips; beside RGB, flow has one field fewer than there are frames."""
    generator = torch.Generator().manual_seed(seed)
    return {
        m: torch.randint(0, 256, zeros.shape, generator=generator, dtype=torch.uint8)
        for m, zeros in example_inputs(model.spec, batch=batch, frames=frames).items()
    }


def first_frames(inputs: dict[str, torch.Tensor], frames: int) -> dict[str, torch.Tensor]:
    """The clip cut to its first frames, and the flow between these."""
    fields = frames - 1 if "rgb" in inputs else frames
    return {m: x[:, : frames if m == "rgb" else fields] for m, x in inputs.items()}
