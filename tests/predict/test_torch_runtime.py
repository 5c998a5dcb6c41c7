"""The ways in which torch runs a run's weights: laid out, left alone and compiled, they give the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import marey
from marey.predict.load import TORCH, load
from marey.predict.runtime import TorchRuntime
from tests.export.small import CLASSES, saved_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return saved_model(tmp_path_factory.mktemp("run"), "r2plus1d_tiny")


@pytest.fixture(scope="module")
def videos(motion):
    manifest = marey.Manifest.read(motion)
    return [manifest.sample(i) for i in range(3)]


def _laid_out(runtime: TorchRuntime) -> bool:
    """Whether the large filters over space lie channels last."""
    filters = [w for w in runtime.model.parameters() if w.ndim == 5 and min(w.shape[1], *w.shape[3:]) > 1]
    assert filters
    return all(w.is_contiguous(memory_format=torch.channels_last_3d) for w in filters)


def test_layout_changes_memory_and_no_answer(weights, videos):
    last, plain = (load(weights, device="cpu", runtime=name) for name in ("torch", "torch-contiguous"))
    assert _laid_out(last.runtime)
    assert not _laid_out(plain.runtime)
    wanted = plain.logits(videos).logits
    assert wanted.shape == (3, len(CLASSES))
    assert np.abs(last.logits(videos).logits - wanted).max() < 1e-4 * np.abs(wanted).max()


@pytest.mark.slow
def test_compiled_says_the_same(weights, videos):
    """Clips alone and beside others: batches of another size are compiled anew, or for any size."""
    compiled = load(weights, device="cpu", runtime="torch-compiled")
    assert isinstance(compiled.runtime._forward, torch._dynamo.eval_frame.OptimizedModule)
    wanted = load(weights, device="cpu").logits(videos).logits
    for batch in (1, 3):
        got = replace(compiled, batch=batch).logits(videos).logits
        assert np.abs(got - wanted).max() < 1e-3 * np.abs(wanted).max(), batch


def test_every_way_has_a_name(weights):
    assert set(TORCH) == {"torch", "torch-contiguous", "torch-compiled"}
    with pytest.raises(marey.MareyError, match="takes exported artifacts"):
        load(weights, runtime="torch-fast")
