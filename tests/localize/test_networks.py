"""The localizer and the dense labeller: size as published, padding invisible, attention as far as the window."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from marey.errors import UsageError
from marey.localize.layers import banded_attention
from marey.localize.ms_tcn import MSTCN, dense_loss
from marey.localize.pyramid import Localizer

RANGES = ((0, 4), (4, 8), (8, 10_000))


def small(mixer: str = "attention", **keywords) -> Localizer:
    torch.manual_seed(0)
    model = Localizer(
        num_classes=3, features=10, channels=16, heads=2, ranges=RANGES, window=5, mixer=mixer, **keywords
    )
    for parameter in model.parameters():  # branch scales of 1e-4 would hide what goes wrong in a branch
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.mark.parametrize(
    ("mixer", "millions", "gmacs"), [("attention", 29.25, 45.28), ("maxpool", 7.12, 23.48)]
)
def test_size_of_the_published_configuration(mixer, millions, gmacs):
    """THUMOS'14 on I3D features: 29.25 M parameters and about 45 GMACs; 7.1 M with max pooling."""
    with torch.device("meta"):
        model = Localizer(num_classes=20, features=2048, mixer=mixer).eval()
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            logits, offsets, real = model(torch.zeros(1, 2304, 2048))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=0.01)
    assert logits.shape == (1, 4536, 20)  # 2304 + 1152 + 576 + 288 + 144 + 72 points
    assert offsets.shape == (1, 4536, 2)
    assert real.shape == (1, 4536)


@pytest.mark.parametrize("mixer", ["attention", "maxpool"])
@torch.no_grad()
def test_padding_changes_nothing(mixer):
    model = small(mixer)
    for real in (1, 2, 7, 12, 21):
        padded = torch.randn(2, 24, 10) * 5
        mask = torch.arange(24)[None] < torch.tensor([[real], [24]])
        logits, offsets, kept = model(padded, mask)
        alone_logits, alone_offsets, alone_kept = model(padded[:1, :real])
        assert alone_kept.all()
        assert int(kept[0].sum()) == alone_kept.shape[1] == len(model.points(real))
        assert torch.allclose(logits[0][kept[0]], alone_logits[0], atol=1e-4)
        assert torch.allclose(offsets[0][kept[0]], alone_offsets[0], atol=1e-4)
        assert (alone_offsets >= 0).all()


@torch.no_grad()
def test_banded_attention_is_full_attention_under_a_band():
    torch.manual_seed(0)
    for frames, reach in ((1, 2), (16, 2), (50, 3), (50, 9)):
        q, k, v = torch.randn(3, 2, 2, frames, 4)
        mask = torch.arange(frames)[None] < torch.tensor([[frames], [max(frames - 5, 1)]])
        band = (torch.arange(frames)[:, None] - torch.arange(frames)[None]).abs() <= reach
        allowed = band & mask[:, None, None, :]
        full = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        ours = banded_attention(q, k, v, mask, reach=reach)
        assert torch.isfinite(ours).all()
        real = mask[:, None, :, None].expand_as(full)
        assert torch.allclose(ours[real], full[real], atol=1e-5)


def test_gradients_reach_every_parameter():
    for mixer in ("attention", "maxpool"):
        model = small(mixer).train()
        mask = torch.arange(20)[None] < torch.tensor([[20], [9]])
        logits, offsets, real = model(torch.randn(2, 20, 10), mask)
        (logits[real].square().mean() + offsets[real].mean()).backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_impossible_settings_are_refused():
    for wrong in ({"mixer": "mean"}, {"heads": 3}, {"window": 4}):
        with pytest.raises(UsageError):
            Localizer(**{"num_classes": 2, "features": 4, "channels": 16, **wrong})
    with pytest.raises(UsageError, match=r"\(B, T, 10\)"):
        small()(torch.zeros(1, 5, 9))


@torch.no_grad()
def test_dense_labels_do_not_see_padding():
    torch.manual_seed(0)
    model = MSTCN(num_classes=4, features=6, channels=8, layers=4, refine_layers=3, refinements=2).eval()
    padded = torch.randn(2, 30, 6)
    mask = torch.arange(30)[None] < torch.tensor([[11], [30]])
    together = model(padded, mask)
    assert together.shape == (3, 2, 30, 4)
    assert torch.allclose(together[:, 0, :11], model(padded[:1, :11])[:, 0], atol=1e-5)
    assert not together[:, 0, 11:].any()


def test_dense_loss():
    torch.manual_seed(0)
    logits = torch.randn(2, 1, 6, 3, requires_grad=True)
    target = torch.tensor([[0, 0, 1, 1, -100, 2]])
    known = [0, 1, 2, 3, 5]
    expected = sum(
        torch.nn.functional.cross_entropy(stage[0, known], target[0, known]) for stage in logits.unbind()
    )
    assert torch.allclose(dense_loss(logits, target, smoothing=0.0), torch.as_tensor(expected))
    mask = torch.tensor([[True] * 4 + [False] * 2])
    assert torch.allclose(
        dense_loss(logits, target, mask), dense_loss(logits[:, :, :4], target[:, :4]), atol=1e-6
    )
    steady = torch.zeros(1, 1, 6, 3)
    assert dense_loss(steady, target) < dense_loss(
        torch.randn(1, 1, 6, 3, generator=torch.Generator().manual_seed(0)) * 3, target
    )
    nothing = dense_loss(logits, torch.full((1, 6), -100))
    nothing.backward()
    assert torch.isfinite(nothing)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
