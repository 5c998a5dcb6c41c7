"""Small data sets that several rooms are tested on: real encoded videos with known motion."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from marey.video.synthetic import make_motion


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """What the package keeps between runs, it keeps for these tests alone."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MAREY_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small networks: more threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def motion(tmp_path_factory) -> Path:
    """Manifest of 60 videos of 32², two thirds to learn from: left, right and clockwise."""
    folder = tmp_path_factory.mktemp("motion")
    return make_motion(
        folder / "set", clips=60, seed=1, size=32, val=1 / 3, classes=("left", "right", "clockwise")
    )
