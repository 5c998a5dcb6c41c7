"""Stages: every parameter in exactly one, from the stem to the head; stages that are held neither learn nor drift."""

from __future__ import annotations

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from marey.models import create_model, set_frozen_batch_norm
from marey.models.depth import from_the_end, hold_stages, stages
from tests.models.small import NAMES, random_inputs, small_model

FIRST = {  # what sees the clip, and what stands right before the head
    "r2plus1d_18": ("stem.0.weight", "layer4.1.conv2.0.3.weight"),
    "i3d": ("Conv3d_1a_7x7.conv3d.weight", "Mixed_5c.b3b.conv3d.weight"),
    "timesformer_base": ("patch_embed.proj.weight", "blocks.1.mlp.fc2.weight"),
    "video_swin_t": ("patch_embed.proj.weight", "layers.2.1.mlp.3.weight"),
    "videomae_b": ("patch_embed.proj.weight", "blocks.1.mlp.fc2.weight"),
    "x3d_m": ("blocks.0.conv.conv_t.weight", "blocks.5.pool.post_conv.weight"),
    "cnn_gru": ("backbone.conv_stem.weight", "backbone.conv_head.weight"),
    "tsm": ("backbone.conv1.weight", "backbone.layer4.1.conv1.net.weight"),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_one_depth(name: str) -> None:
    """By what the clip's way through the network says: a module that runs later is never in an earlier stage."""
    model = small_model(name)
    found = stages(model)
    assert len(found) >= 2
    assert all(found)
    together = [n for names in found for n in names]
    heads = [n for n, _ in model.named_parameters() if model._is_head(n)]
    assert heads
    assert sorted(together + heads) == sorted(n for n, _ in model.named_parameters())
    if name in FIRST:
        first, last = FIRST[name]
        assert first in found[0]
        assert last in found[-1]
    depth = {n: i for i, names in enumerate(found) for n in names}
    ran: dict[str, list[int]] = {}  # by branch, which run one after the other
    for n, module in model.named_modules():
        own = [f"{n}.{p}" for p, _ in module.named_parameters(recurse=False)]
        if not n or not own or own[0] not in depth:
            continue
        branch = n.partition(".")[0] if name.startswith("two_stream") else ""
        module.register_forward_pre_hook(
            lambda *_, b=branch, d=depth[own[0]]: ran.setdefault(b, []).append(d)
        )
    with torch.no_grad():
        model(**random_inputs(model, 1, model.spec.frames if model.spec.fixed_frames else 5))
    for order in ran.values():
        assert order == sorted(order)
        assert order[-1] == len(found) - 1


@pytest.mark.parametrize("name", ["cnn_gru", "r2plus1d_18", "two_stream", "timesformer_tiny"])
def test_stages_that_are_held_do_not_move(name: str) -> None:
    model = small_model(name)
    count = len(stages(model)) - 1
    hold_stages(model, count)
    held = {n for names in stages(model)[:count] for n in names}
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    logits = model(**random_inputs(model, 2, 6))
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    for n, p in model.named_parameters():
        assert (p.grad is None) == (n in held), n
    norms = {n: m for n, m in model.named_modules() if isinstance(m, _BatchNorm)}
    assert {m.training for n, m in norms.items() if f"{n}.weight" in held} <= {False}
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert not any(k.startswith(tuple(f"{n.rpartition('.')[0]}." for n in held)) for k in moved)
    hold_stages(model, 0)
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in norms.values())


def test_frozen_batch_norm_stays_frozen_whatever_is_held() -> None:
    model = create_model("r2plus1d_tiny", num_classes=2, size=16)
    set_frozen_batch_norm(model)
    hold_stages(model, 2)
    hold_stages(model, 0)
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            assert not module.training, name
            assert not module.weight.requires_grad
    assert model.get_parameter("blocks.0.space.0.weight").requires_grad


def test_branches_meet_at_the_head() -> None:
    assert from_the_end([[["a"], ["b"], ["c"]], [["x"], ["y"]]]) == [("a",), ("b", "x"), ("c", "y")]
    assert from_the_end([[["x"]], [["a"], ["b"]]]) == [("a",), ("x", "b")]
