"""MixUp and CutMix on clips: pixels, masks and labels agree."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.data.mix import mix_batch


def batch(lengths, frames=6, size=8):
    """Clip b is of level 40·(b+1) everywhere, zero where it is padding."""
    mask = torch.arange(frames)[None] < torch.tensor(lengths)[:, None]
    levels = 40 * (1 + torch.arange(len(lengths)))
    x = (
        (levels.view(-1, 1, 1, 1, 1) * mask[..., None, None, None])
        .expand(-1, -1, 3, size, size)
        .to(torch.uint8)
    )
    return x.contiguous(), mask, torch.arange(len(lengths))


@given(
    lengths=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    seed=st.integers(0, 1000),
    how=st.sampled_from([(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)]),
    cut=st.sampled_from(["space", "time", "both"]),
)
@settings(max_examples=120, deadline=None)
def test_the_label_says_what_is_to_be_seen(lengths, seed, how, cut):
    x, mask, target = batch(lengths)
    mixed, seen, soft = mix_batch(
        {"rgb": x}, mask, target, num_classes=len(lengths), mixup=how[0], cutmix=how[1], cut=cut,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    out = mixed["rgb"]
    assert out.dtype == torch.uint8
    assert out.shape == x.shape
    assert torch.allclose(soft.sum(1), torch.ones(len(lengths)))
    assert not out[~seen].any(), "padding stays zero"
    for b in range(len(lengths)):
        others = [c for c in range(len(lengths)) if c != b and soft[b, c] > 0]
        assert len(others) <= 1
        if not others:
            continue
        c = others[0]
        assert torch.equal(seen[b], mask[b] | mask[c])
        # every pixel is a known blend of two levels, so the mean level tells the share of each
        level = out[b][seen[b]].float().mean()
        told = soft[b, b] * 40 * (b + 1) + soft[b, c] * 40 * (c + 1)
        assert level == pytest.approx(float(told), abs=1.0)
        alone = mask[b] ^ mask[c]
        assert all(
            out[b, t].unique().tolist() == [40 * ((b if mask[b, t] else c) + 1)]
            for t in alone.nonzero().flatten()
        )


def test_cutmix_is_a_tube():
    x, mask, target = batch([6, 6])
    for seed in range(10):
        out = mix_batch(
            {"rgb": x}, mask, target, num_classes=2, cutmix=1.0, generator=torch.Generator().manual_seed(seed)
        )[0]["rgb"]
        assert (out == out[:, :1]).all(), "the same rectangle in every frame"
        assert set(out.unique().tolist()) <= {40, 80}


@pytest.mark.parametrize("cut", ["time", "both"])
def test_videomix_takes_neighbouring_frames(cut):
    x, mask, target = batch([6, 5])
    cut_in_time = 0
    for seed in range(30):
        out = mix_batch(
            {"rgb": x}, mask, target, num_classes=2, cutmix=1.0, cut=cut, generator=torch.Generator().manual_seed(seed)
        )[0]["rgb"]  # fmt: skip
        taken = (out[0] == 80).any(dim=(1, 2, 3))  # clip 0 is of level 40, clip 1 of level 80
        frames = taken.nonzero().flatten().tolist()
        assert frames == list(range(frames[0], frames[-1] + 1)) if frames else True, "neighbours"
        assert not taken[5], "only where both are real"
        cut_in_time += 0 < len(frames) < 5
        for t in frames:
            whole = (out[0, t] == 80).all()
            assert whole if cut == "time" else torch.equal(out[0, t], out[0, frames[0]])
    assert cut_in_time > 15


def test_flow_goes_with_the_frames():
    x, mask, target = batch([6, 3])
    flow = torch.randn(2, 5, 2, 8, 8) * mask[:, 1:, None, None, None]
    mixed, _, soft = mix_batch(
        {"rgb": x, "flow": flow},
        mask,
        target,
        num_classes=2,
        mixup=0.5,
        generator=torch.Generator().manual_seed(3),
    )
    share = (mixed["rgb"][0, 0].float().mean() - 80) / (40 - 80)
    expected = share * flow[0, :2] + (1 - share) * flow[1, :2]
    assert torch.allclose(mixed["flow"][0, :2], expected, atol=0.05)
    assert torch.equal(mixed["flow"][0, 2:], flow[0, 2:])
    assert 0 < soft[0, 0] < 1


def test_several_labels_float_input_and_doing_nothing():
    x, mask, _ = batch([6, 6])
    target = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    generator = torch.Generator().manual_seed(0)
    _, _, soft = mix_batch({"rgb": x.float()}, mask, target, num_classes=3, mixup=1.0, generator=generator)
    assert torch.allclose(soft[:, 1], torch.ones(2))
    assert torch.allclose(soft[:, 0] + soft[:, 2], torch.ones(2))
    before = generator.get_state()
    same, _, hard = mix_batch({"rgb": x}, mask, torch.tensor([2, 0]), num_classes=3, generator=generator)
    assert same["rgb"] is x
    assert hard.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert torch.equal(before, generator.get_state())
    one = mix_batch(
        {"rgb": x[:1]}, mask[:1], torch.tensor([1]), num_classes=2, mixup=1.0, generator=generator
    )
    assert one[2].tolist() == [[0, 1]]


def test_the_generator_decides():
    x, mask, target = batch([6, 4, 2])

    def draw(seed):
        return mix_batch(
            {"rgb": x},
            mask,
            target,
            num_classes=3,
            mixup=0.5,
            cutmix=0.5,
            generator=torch.Generator().manual_seed(seed),
        )[2]

    assert torch.equal(draw(1), draw(1))
    assert len({tuple(draw(s).flatten().tolist()) for s in range(6)}) == 6
