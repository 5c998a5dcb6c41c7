"""Whether the batches of several workers fit into the memory that processes share, asked before one of them is killed
for it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from marey.data.clips import padded_length
from marey.errors import ConfigError
from marey.files import size_words
from marey.spec import InputSpec
from marey.video.sampling import sampler_from_dict

AHEAD = 2
"""Batches that each worker makes ahead of the training."""
_WIDEST = 16 / 9  # shape of the pictures that are taken for the largest crops
_SHARED = Path("/dev/shm")


def batch_bytes(spec: InputSpec, batch: int, *, deferred: bool = False) -> int:
    """The most that a batch takes on its way from a worker.

    Args:
        deferred: crops travel as they were cut, up to the whole picture.
    """
    longest = sampler_from_dict(spec.sampler).length
    frames = padded_length(spec, spec.frames if longest is None else longest)
    pixels = spec.size[0] * spec.size[1]
    sizes = {"rgb": 3 * pixels, "flow": 8 * pixels, "diff": 12 * pixels}
    if deferred:
        sizes["rgb"] = 3 * int(spec.resize * spec.resize * _WIDEST)
    return batch * frames * sum(sizes[name] for name in spec.modalities)


def in_hand(workers: int) -> int:
    """Batches that are there at once: those that workers make, and two that the training may hold, while it goes from
    one to the next."""
    return AHEAD * workers + 2


def check_shared_memory(spec: InputSpec, batch: int, workers: int, *, deferred: bool = False) -> None:
    """Raise where the batches that wait for the training would not fit into shared memory.

    Containers are often given 64 MB of it. A worker that finds it full is killed by the system, without a word.

    Raises:
        ConfigError: says what there is, what is needed, and how to have it.
    """
    if not sys.platform.startswith("linux") or not _SHARED.is_dir():
        return
    one = batch_bytes(spec, batch, deferred=deferred)
    need, free = one * in_hand(workers), shutil.disk_usage(_SHARED).free
    if need > free:
        raise ConfigError(
            f"{workers} workers need {size_words(need)} of shared memory ({AHEAD} batches of {size_words(one)} each,"
            f" and two in hand), and {size_words(free)} are free.",
            "lower --workers or --batch, or give the container more (docker run --shm-size=2g)",
            where=str(_SHARED),
        )
