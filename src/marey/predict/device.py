"""Which device, and in which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marey.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn


def choose_device(wanted: str) -> str:
    """The torch device: `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        ConfigError: a device that this machine does not have.
    """
    import torch

    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if present[name])
    if not present[wanted]:
        have = ", ".join(name for name, is_there in present.items() if is_there)
        raise ConfigError(f"there is no {wanted} device here.", f"present: {have}")
    return wanted


def choose_autocast(wanted: str, device: str) -> str | None:
    """ "bf16" or None. `auto` uses bf16 on GPUs that compute in it natively."""
    import torch

    if wanted == "bf16":
        return "bf16"
    if wanted == "auto" and device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return None


def use_channels_last(model: nn.Module) -> None:
    """Keep the weights of 2D and 3D convolutions in channels-last memory; values and shapes stay.

    Convolutions then compute in that layout, whatever their input's. A small factorised 3D network trained
    about 1.2× faster so on one CPU core, MobileNetV2 about 1.5×.
    """
    import torch

    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])
