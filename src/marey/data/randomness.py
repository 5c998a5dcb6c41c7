"""Randomness that depends on the sample alone: a pure function of (seed, epoch, sample), whichever process
makes it and whatever was made before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_ORDER, _SAMPLE = 0x0D, 0x5A  # so that the order of an epoch and its samples never share a stream


def sample_generator(seed: int, epoch: int, sample: int) -> np.random.Generator:
    """The generator of one sample in one epoch."""
    return np.random.default_rng(np.random.SeedSequence([seed, _SAMPLE, epoch, sample]))


def epoch_order(rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The rows in the order of one epoch."""
    return np.random.default_rng(np.random.SeedSequence([seed, _ORDER, epoch])).permutation(rows)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's global CPU generator starts from `seed`; after it it is as before.

    torchvision's transforms draw from it, and from no other. torch.manual_seed would seed every GPU too, and fork_rng
    asks for them; neither is wanted in a worker.
    """
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed % 2**63)
    try:
        yield
    finally:
        torch.default_generator.set_state(before)
