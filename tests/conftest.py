"""Small data sets that several rooms are tested on: real encoded videos with known motion."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# On some virtual machines a signal that meets a thread with tile registers (AMX) in use ends the process. One process
# runs all tests, so what computes in tiles and what handles SIGCHLD (torch's loader) are kept apart here.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

import pytest
import torch
import torch.utils.data._utils.signal_handling as loader_signals

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


@pytest.fixture(autouse=True)
def _no_handler_is_left() -> Iterator[None]:
    """torch's loader handles SIGCHLD from its first worker on; the next loader sets its handler anew."""
    yield
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        loader_signals._SIGCHLD_handler_set = False


@pytest.fixture(scope="session")
def motion(tmp_path_factory) -> Path:
    """Manifest of 60 videos of 32², two thirds to learn from: left, right and clockwise."""
    folder = tmp_path_factory.mktemp("motion")
    return make_motion(
        folder / "set", clips=60, seed=1, size=32, val=1 / 3, classes=("left", "right", "clockwise")
    )
