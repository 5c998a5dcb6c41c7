"""The smallest training that is real: encoded videos, a network of time, a few steps."""

from __future__ import annotations

from typing import Any

from marey.training.config import InputConfig, OptimConfig, SystemConfig, TrainConfig


def config(data: Any, out: Any, **changes: Any) -> TrainConfig:
    """Four frames of 24², widths of a few channels; `optim`, `system` and others as keywords."""
    settings: dict[str, Any] = {
        "data": str(data),
        "model": "r2plus1d_tiny",
        "model_args": ("widths=[4,8]", "dropout=0.2"),
        "epochs": 2,
        "batch": 8,
        "input": InputConfig(frames=4, size=24, resize=28),
        "optim": OptimConfig(lr=2e-3, ema=0.9),
        "system": SystemConfig(device="cpu", cache_mb=64),
        "audit": False,
        "out": str(out),
        "name": "small",
    }
    return TrainConfig(**{**settings, **changes})
