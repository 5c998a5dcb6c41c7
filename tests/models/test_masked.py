"""Masked layers: the statistics of batch norm, the algebra of masks, streaming."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from marey.errors import ConfigError
from marey.models import create_model, set_frozen_batch_norm
from marey.models.masked import (
    last_real,
    lengths,
    masked_batch_norm,
    masked_conv3d,
    masked_max,
    masked_mean,
    prefix_mask,
    reverse_time,
)
from tests.models.small import random_inputs, small_model


def test_batch_norm_counts_real_frames_only() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 6, 5, 5, generator=generator)
    mask = prefix_mask(torch.tensor([6, 2, 3]), 6)
    x = x + 100 * (~mask)[:, None, :, None, None]  # padding that would drown everything
    norm, plain = nn.BatchNorm3d(4).train(), nn.BatchNorm3d(4).train()
    y = masked_batch_norm(norm, x, mask)
    real = torch.cat([x[i, :, :length].flatten(1) for i, length in enumerate((6, 2, 3))], dim=1)
    expected = plain(real[None, :, :, None, None])
    assert torch.allclose(norm.running_mean, plain.running_mean, atol=1e-6)  # type: ignore[arg-type]
    assert torch.allclose(norm.running_var, plain.running_var, atol=1e-5)  # type: ignore[arg-type]
    assert torch.allclose(
        y.transpose(1, 2)[mask].transpose(0, 1).flatten(1), expected[0, :, :, 0, 0], atol=1e-5
    )
    assert not y.transpose(1, 2)[~mask].any()


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 2),
    real=st.integers(1, 12),
    padding=st.integers(0, 6),
)
def test_a_masked_convolution_is_the_unpadded_one(
    kernel: int, stride: int, dilation: int, real: int, padding: int
) -> None:
    torch.manual_seed(kernel)
    conv = nn.Conv3d(2, 3, (kernel, 1, 1), (stride, 1, 1), (dilation * (kernel // 2), 0, 0), (dilation, 1, 1))
    x = torch.randn(1, 2, real + padding, 1, 1)
    x[:, :, real:] = torch.nan
    y, mask = masked_conv3d(conv, x, prefix_mask(torch.tensor([real]), real + padding))
    expected = conv(x[:, :, :real])
    assert mask is not None
    assert int(lengths(mask)) == expected.shape[2]
    if kernel > 1:  # a pointwise convolution leaves the garbage where it is: it mixes no frames
        assert torch.allclose(y[:, :, : expected.shape[2]], expected, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(real=st.lists(st.integers(1, 7), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_pools_over_time(real: list[int], seed: int) -> None:
    x = torch.randn(len(real), 7, 3, generator=torch.Generator().manual_seed(seed))
    mask = prefix_mask(torch.tensor(real), 7)
    mean, top, last, back = (
        masked_mean(x, mask),
        masked_max(x, mask),
        last_real(x, mask),
        reverse_time(x, mask),
    )
    for i, n in enumerate(real):
        assert torch.allclose(mean[i], x[i, :n].mean(0), atol=1e-6)
        assert torch.equal(top[i], x[i, :n].amax(0))
        assert torch.equal(last[i], x[i, n - 1])
        assert torch.equal(back[i, :n], x[i, :n].flip(0))
    assert torch.equal(reverse_time(back, mask), x)
    assert torch.equal(reverse_time(x, None), x.flip(1))


@pytest.mark.parametrize("pool", ["mean", "max", "last"])
@torch.no_grad()
def test_the_backward_gru_starts_at_the_last_real_frame(pool: str) -> None:
    model = small_model("cnn_gru", pool=pool, bidirectional=True)
    clip = random_inputs(model, 2, 9)["rgb"]
    mask = prefix_mask(torch.tensor([9, 4]), 9)
    padded = model(rgb=clip, mask=mask)
    assert torch.allclose(padded[1:], model(rgb=clip[1:, :4]), atol=1e-5)
    assert torch.allclose(padded[:1], model(rgb=clip[:1]), atol=1e-5)
    with pytest.raises(ConfigError, match="bidirectional"):
        model.step(clip[:, 0])  # type: ignore[operator]


@torch.no_grad()
def test_frame_average_cannot_see_order_and_the_others_can() -> None:
    for name in ("frame_average", "cnn_gru", "frame_difference", "r2plus1d_tiny"):
        model = small_model(name)
        clip = random_inputs(model, 1, 8)["rgb"]
        same = torch.allclose(model(rgb=clip.flip(1)), model(rgb=clip), atol=1e-4)
        assert same is (name == "frame_average"), name


def test_frozen_batch_norm_holds_still_and_can_be_freed() -> None:
    model = create_model("r2plus1d_tiny", num_classes=2, size=16)
    set_frozen_batch_norm(model, True)
    model.train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm3d)]
    assert model.training
    assert not any(m.training for m in norms)
    assert not any(p.requires_grad for m in norms for p in m.parameters())
    trained = {id(p) for p in model.backbone_parameters()}
    assert not trained & {id(p) for m in norms for p in m.parameters()}
    set_frozen_batch_norm(model, False)
    assert all(m.training for m in norms)
    assert all(p.requires_grad for p in model.parameters())
