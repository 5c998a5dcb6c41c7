"""Schedule, parameter groups, losses."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marey.models.registry import create_model
from marey.training.config import OptimConfig
from marey.training.loss import clip_loss
from marey.training.optim import build_optimizer, held_stages, schedule, set_learning_rate


@given(steps=st.integers(2, 500), warmup=st.floats(0, 0.9))
def test_the_schedule_rises_then_falls_and_stays_in_bounds(steps, warmup):
    factors = np.array([schedule(step, steps, warmup) for step in range(steps)])
    top = int(np.argmax(factors))
    assert np.all((factors > 0) & (factors <= 1))
    assert np.all(np.diff(factors[: top + 1]) >= 0)
    assert np.all(np.diff(factors[top:]) <= 0)
    assert factors[top] == pytest.approx(1, abs=1e-9)
    assert abs(top - min(round(warmup * steps), steps - 1)) <= 1


def test_schedule_by_hand():
    assert schedule(0, 10, 0.2) == pytest.approx(1 / 3)
    assert schedule(2, 10, 0.2) == 1
    assert schedule(6, 10, 0.2) == pytest.approx(0.5)
    assert schedule(9, 10, 0.2) == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))


def test_groups_hold_every_parameter_once_and_norms_are_not_decayed():
    model = create_model("cnn_gru", num_classes=3, backbone="test_resnet", size=32)
    optimizer = build_optimizer(model, OptimConfig(lr=1e-2, weight_decay=0.1), backbone_lr=1e-3)
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}
    assert len(grouped) == len({id(p) for p in grouped})
    head = {id(p) for p in model.head_parameters()}
    for group in optimizer.param_groups:
        assert group["lr"] == (1e-2 if id(group["params"][0]) in head else 1e-3)
        assert group["weight_decay"] == (0.1 if group["params"][0].ndim >= 2 else 0.0)
    assert set_learning_rate(optimizer, 0.5) == 5e-3


def test_each_stage_learns_slower_than_the_next():
    model = create_model("timesformer_tiny", num_classes=3, size=32)
    config = OptimConfig(lr=1e-2, layer_decay=0.5)
    optimizer = build_optimizer(model, config, backbone_lr=4e-3)
    rate = {id(p): group["peak_lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rate.keys() == {id(p) for p in model.parameters()}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(rate)
    by_name = {name: rate[id(p)] for name, p in model.named_parameters()}
    assert by_name["head.weight"] == 1e-2
    assert [by_name[f"blocks.{i}.mlp.fc1.weight"] for i in range(4)] == [5e-4, 1e-3, 2e-3, 4e-3]
    assert by_name["patch_embed.layers.0.space.0.weight"] == by_name["pos_embed"] == 2.5e-4
    assert by_name["norm.weight"] == 4e-3


@given(count=st.integers(1, 30), freeze=st.integers(0, 5), unfreeze=st.integers(0, 8))
def test_stages_are_freed_from_the_last_to_the_first(count, freeze, unfreeze):
    config = OptimConfig(freeze_backbone=freeze, unfreeze=unfreeze)
    held = [held_stages(epoch, count, config) for epoch in range(freeze + count + 1)]
    assert held[:freeze] == [count] * freeze
    assert all(0 <= a - b <= (unfreeze or count) for a, b in itertools.pairwise(held))
    assert held[-1] == 0
    if unfreeze:
        assert held[freeze] == max(0, count - unfreeze)


def test_losses_against_torch_by_hand():
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, 0.0]])
    target = torch.tensor([0, 2])
    by_hand = -(torch.log_softmax(logits, 1)[[0, 1], target]).mean()
    assert torch.allclose(clip_loss(logits, target, multi_label=False), by_hand)
    soft = torch.nn.functional.one_hot(target, 3).float()
    assert torch.allclose(clip_loss(logits, soft, multi_label=False), by_hand)
    probs = torch.sigmoid(logits)
    several = -(soft * probs.log() + (1 - soft) * (1 - probs).log()).mean()
    assert torch.allclose(clip_loss(logits, soft, multi_label=True), several)
