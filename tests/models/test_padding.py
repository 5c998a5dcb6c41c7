"""The promise over the whole registry: padding a clip changes no logit, whatever stands in the padding."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.errors import UsageError
from marey.models import create_model
from tests.models.small import NAMES, first_frames, random_inputs, small_model


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-4) -> bool:
    return bool(((a - b).abs().max() / b.abs().max().clamp(min=1.0)) <= tolerance)


GARBAGE = (None, 0.0, -1e4, 1e30, -3e38, float("inf"), float("nan"))  # None: what other frames would hold
model_of = functools.cache(small_model)


def padding_is_invisible(name: str, real: int, more: int, garbage: float | None, seed: int) -> None:
    """A clip of `real` frames alone against the same with `more` frames of garbage behind it."""
    model = model_of(name)
    if model.spec.fixed_frames:
        real, more = min(real, model.spec.frames), max(0, model.spec.frames - real)
    total = real + more
    padded = random_inputs(model, 1, total, seed=seed)
    alone = first_frames(padded, real)
    if garbage is not None:  # only floating point can hold what is worse than any picture
        padded = {m: model.normalise(m, x) for m, x in padded.items()}
        alone = first_frames(padded, real)
        for m, x in padded.items():
            x[:, alone[m].shape[1] :] = garbage
    with torch.no_grad():
        expected = model(**alone)
        found = model(**padded, mask=(torch.arange(total) < real)[None])
    assert torch.isfinite(expected).all()
    assert close(found, expected)


lengths_and_garbage = given(
    real=st.integers(1, 12), more=st.integers(1, 8), garbage=st.sampled_from(GARBAGE), seed=st.integers(0, 99)
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4, deadline=None, derandomize=True)
@lengths_and_garbage
def test_padding_changes_no_logit(name: str, real: int, more: int, garbage: float | None, seed: int) -> None:
    padding_is_invisible(name, real, more, garbage, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, derandomize=True)
@lengths_and_garbage
def test_padding_changes_no_logit_at_any_length(
    name: str, real: int, more: int, garbage: float | None, seed: int
) -> None:
    padding_is_invisible(name, real, more, garbage, seed)


@pytest.mark.parametrize("name", ["r2plus1d_tiny", "timesformer_tiny", "two_stream_tiny"])
@torch.no_grad()
def test_a_network_that_needs_a_multiple_is_given_it_and_the_answer_stays(name: str) -> None:
    model = small_model(name)
    clip = random_inputs(model, 2, 5)
    expected = model(**clip)
    spec = model.spec
    for changes, frames in (
        ({"frames_multiple": 4}, 8),
        ({"min_frames": 7}, 7),
        ({"frames": 9, "fixed_frames": True}, 9),
    ):
        model.spec = dataclasses.replace(spec, **changes)
        inputs, mask = model._prepare({m: clip.get(m) for m in ("rgb", "flow", "diff")}, None)
        assert {m: x.shape[1] for m, x in inputs.items()} == {
            m: frames - 1 if m == "flow" else frames for m in clip
        }
        assert mask is not None
        assert mask.sum(dim=1).tolist() == [5, 5]
        assert close(model(**clip), expected)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_clips_of_different_lengths_in_one_batch(name: str) -> None:
    """Odd and even lengths together, garbage in the padding; features keep to their mask."""
    model = small_model(name, seed=1)
    total = model.spec.frames if model.spec.fixed_frames else 13
    lengths = [total, 3, 6, 1]
    batch = random_inputs(model, len(lengths), total, seed=7)
    mask = torch.arange(total)[None] < torch.tensor(lengths)[:, None]
    together = model(**batch, mask=mask)
    features, kept = model.features_and_mask(**batch, mask=mask)
    assert features.shape[:2] == kept.shape
    assert not features[~kept].any()
    for i, length in enumerate(lengths):
        alone = first_frames({m: x[i : i + 1] for m, x in batch.items()}, length)
        assert close(together[i : i + 1], model(**alone)), length
        own, own_kept = model.features_and_mask(**alone)
        assert int(own_kept.sum()) == int(kept[i].sum())
        assert close(features[i : i + 1, kept[i]], own[:, own_kept[0]]), length


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_the_real_frames_matter_and_floats_pass_through(name: str) -> None:
    model = small_model(name)
    frames = model.spec.frames if model.spec.fixed_frames else 8
    clip = random_inputs(model, 1, frames)
    logits = model(**clip)
    assert logits.shape == (1, model.num_classes)
    for modality, x in clip.items():
        changed = {**clip, modality: torch.cat([255 - x[:, :1], x[:, 1:]], dim=1)}
        assert not torch.equal(model(**changed), logits), modality
    assert close(model(**{m: model.normalise(m, x) for m, x in clip.items()}), logits)
    assert close(model(**clip, mask=torch.ones(1, frames, dtype=torch.bool)), logits, 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter_and_none_comes_from_padding(name: str) -> None:
    model = small_model(name).train()
    frames = model.spec.frames if model.spec.fixed_frames else 9
    inputs = {m: model.normalise(m, x).requires_grad_() for m, x in random_inputs(model, 2, frames).items()}
    mask = torch.arange(frames)[None] < torch.tensor([frames, 4])[:, None]
    torch.nn.functional.cross_entropy(model(**inputs, mask=mask), torch.tensor([0, 1])).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not without
    for m, x in inputs.items():
        assert x.grad is not None
        real = 4 if m == "rgb" or "rgb" not in inputs else 3
        assert x.grad[1, :real].any()
        assert not x.grad[1, real:].any()


def test_masks_that_are_none() -> None:
    model = create_model("r2plus1d_tiny", num_classes=2, size=16)
    clip = torch.zeros(2, 4, 3, 16, 16, dtype=torch.uint8)
    for mask, words in (
        (torch.ones(2, 4), "torch.bool"),
        (torch.ones(2, 5, dtype=torch.bool), r"\(2, 4\)"),
        (torch.tensor([[True] * 4, [False] * 4]), "at least one"),
        (torch.tensor([[True] * 4, [True, False, True, False]]), "real frame after padding"),
    ):
        with pytest.raises(UsageError, match=words):
            model(rgb=clip, mask=mask)
    with pytest.raises(UsageError, match="takes rgb, got flow"):
        model(flow=clip[:, :, :2])
    with pytest.raises(UsageError, match=r"\(B, T, 3, H, W\)"):
        model(rgb=clip[0])
    with pytest.raises(UsageError, match="uint8 or floating"):
        model(rgb=clip.long())
