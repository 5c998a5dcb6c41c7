"""Every model exports as one graph, with the mask as an input whose values it obeys."""

from __future__ import annotations

import pytest
import torch

from tests.models.small import NAMES, assert_parity, random_inputs, small_model

QUICK = ("r2plus1d_tiny", "cnn_gru", "tsm")


def check(name: str) -> None:
    model = small_model(name)
    clip = random_inputs(model, 2, 8)
    mask = torch.arange(8)[None] < torch.tensor([8, 5])[:, None]
    exported = torch.export.export(model, (), {**clip, "mask": mask}).module()
    for lengths in ((8, 5), (3, 8), (8, 8)):
        mask = torch.arange(8)[None] < torch.tensor(lengths)[:, None]
        assert_parity(exported(**clip, mask=mask), model(**clip, mask=mask))


@pytest.mark.parametrize("name", QUICK)
@torch.no_grad()
def test_exported_graph_obeys_the_mask(name: str) -> None:
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in QUICK])
@torch.no_grad()
def test_every_exported_graph_obeys_the_mask(name: str) -> None:
    check(name)


@torch.no_grad()
def test_tracing_leaves_no_ghost_behind() -> None:
    """Constants that were computed while tracing must serve the ordinary model afterwards."""
    model = small_model("video_swin_tiny")
    clip = random_inputs(model, 1, 8)
    torch.export.export(model, (), {**clip, "mask": torch.ones(1, 8, dtype=torch.bool)})
    logits = small_model("video_swin_tiny")(**clip)
    assert type(logits) is torch.Tensor
    assert torch.isfinite(logits).all()
