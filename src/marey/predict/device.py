"""Which device, and in which precision."""

from __future__ import annotations

from marey.errors import ConfigError


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
