"""A small attention network learns motion from scratch, and only its order tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from marey.data.augment import AugmentConfig
from marey.jobs.train import train
from marey.training.config import InputConfig, OptimConfig, SystemConfig, TrainConfig
from marey.video.synthetic import make_motion


@pytest.mark.slow
def test_a_small_attention_network_learns_motion_and_shuffling_destroys_it(tmp_path: Path) -> None:
    classes = ("left", "right", "up", "down")
    data = make_motion(tmp_path / "set", clips=320, seed=3, size=32, val=0.25, classes=classes)
    metrics = train(
        TrainConfig(
            data=str(data),
            model="timesformer_tiny",
            model_args=("width=32", "depth=2", "heads=2", "patch=4"),
            epochs=14,
            input=InputConfig(frames=6, size=28, resize=28),
            optim=OptimConfig(lr=4e-3),
            augment=AugmentConfig(scale=(0.9, 1.0), flip=True, flip_map=("auto",)),
            system=SystemConfig(device="cpu", cache_mb=64),
            out=str(tmp_path / "runs"),
        ),
        quiet=True,
    ).metrics
    assert metrics["chance"] == 0.25
    assert metrics["intervals"]["top1"][0] > 0.5, metrics["top1"]
    assert metrics["audit"]["shuffled"]["top1"] < 0.45
    assert metrics["audit"]["frozen"]["top1"] < 0.45
