"""The room's public names, and that looking at data does not wait for torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import marey.data
from marey.data.randomness import epoch_order, sample_generator, seeded

LIGHT = """
import sys, marey.data
assert "pyarrow" not in sys.modules and "av" not in sys.modules
from marey.data import AugmentConfig, Manifest, folds, load_clip, split, summarise, flip_map_from_names, clip_inputs
assert "torch" not in sys.modules
"""


def test_every_public_name_is_there():
    for name in marey.data.__all__:
        assert getattr(marey.data, name).__name__ == name
    assert set(marey.data.__all__) == set(marey.data._WHERE)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        marey.data.Nothing  # noqa: B018


def test_torch_waits_until_batches_are_made():
    subprocess.run([sys.executable, "-c", LIGHT], check=True)


def test_samples_epochs_and_seeds_have_streams_of_their_own():
    draws = {
        tuple(sample_generator(seed, epoch, row).random(3))
        for seed in (0, 1)
        for epoch in (0, 1)
        for row in range(20)
    }
    assert len(draws) == 80
    rows = np.arange(50)
    orders = {tuple(epoch_order(rows, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4
    assert all(sorted(order) == rows.tolist() for order in orders)


def test_the_global_generator_is_seeded_and_given_back():
    def draw():
        return float(torch.rand(()))

    torch.manual_seed(0)
    undisturbed = [draw(), draw()]
    torch.manual_seed(0)
    first = draw()
    with seeded(2**62 + 7):
        inside = draw()
    with pytest.raises(StopIteration), seeded(2**62 + 7):
        next(iter([draw()][1:]))  # an error gives it back too
    with seeded(2**62 + 7):
        assert draw() == inside
    with seeded(8):
        assert draw() != inside
    assert [first, draw()] == undisturbed
