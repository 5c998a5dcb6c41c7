"""Values worked by hand, bounds, and gradients that stay finite where segments do not meet or are empty."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marey.localize.losses import (
    OVERLAPS,
    centre_length_loss,
    diou,
    focal_loss,
    giou,
    offsets_to_segments,
    overlap_loss,
    tiou,
)

NUMBER = st.floats(-50, 50, width=32)
LENGTH = st.one_of(st.just(0.0), st.floats(0.0009765625, 40, width=32))


@st.composite
def segments(draw) -> torch.Tensor:
    start, length = draw(NUMBER), draw(LENGTH)
    return torch.tensor([start, start + length], dtype=torch.float64)


def test_worked_values_of_overlaps():
    predicted = offsets_to_segments(torch.tensor([2.0, 3.0]))  # (−2, 3)
    true = offsets_to_segments(torch.tensor([3.0, 1.0]))  # (−3, 1)
    assert tiou(predicted, true) == pytest.approx(0.5)  # 3 of 6
    assert overlap_loss(predicted, true, kind="diou") == pytest.approx(0.5625)  # 1 − 0.5 + (1.5 ÷ 6)²
    assert overlap_loss(predicted, true, kind="giou") == pytest.approx(0.5)  # the hull is the union
    apart = torch.tensor([[0.0, 1.0], [3.0, 4.0]])
    assert tiou(*apart) == 0
    assert giou(*apart) == pytest.approx(-0.5)  # hull 4, union 2
    assert diou(*apart) == pytest.approx(-((3 / 4) ** 2))
    assert offsets_to_segments(torch.tensor([1.0, 2.0]), torch.tensor(10.0)).tolist() == [9.0, 12.0]


def test_worked_values_of_the_focal_loss():
    value = focal_loss(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.0]))
    assert value.tolist() == pytest.approx([0.0433217, 1.2375586], abs=1e-7)
    plain = focal_loss(torch.tensor([0.3, -1.0]), torch.tensor([1.0, 0.0]), alpha=-1, gamma=0)
    cross = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor([0.3, -1.0]), torch.tensor([1.0, 0.0]), reduction="none"
    )
    assert torch.allclose(plain, cross)


def test_worked_value_of_centre_and_length():
    anchor = torch.tensor([0.0, 2.0])
    # centre 0.5 anchors off (quadratic: 0.125), length e times as long (|1|, where both pieces meet: 0.5)
    predicted = torch.tensor([2.0 - torch.e, 2.0 + torch.e])
    assert centre_length_loss(predicted, anchor, anchor) == pytest.approx(0.125 + 0.5, abs=1e-5)


@given(segments(), segments())
def test_bounds_and_symmetry(a, b):
    t, g, d = (overlap(a, b) for overlap in OVERLAPS.values())
    assert 0 <= t <= 1
    assert -1 <= g <= t + 1e-12
    assert -1 <= d <= t + 1e-12
    for overlap in OVERLAPS.values():
        assert torch.allclose(overlap(a, b), overlap(b, a))
        assert torch.allclose(overlap(a + 7, b + 7), overlap(a, b), atol=1e-6)


@given(LENGTH, LENGTH, LENGTH, LENGTH)
def test_giou_is_tiou_around_one_point(a, b, c, d):
    one, other = (offsets_to_segments(torch.tensor(x, dtype=torch.float64)) for x in ([a, b], [c, d]))
    if a + b + c + d:
        assert torch.allclose(giou(one, other), tiou(one, other))


@given(segments(), segments())
def test_gradients_are_finite_everywhere(a, b):
    for kind in OVERLAPS:
        moved = a.clone().requires_grad_()
        overlap_loss(moved, b, kind=kind).backward()
        assert moved.grad is not None
        assert torch.isfinite(moved.grad).all(), kind
    moved = a.clone().requires_grad_()
    centre_length_loss(moved, b, torch.tensor([0.0, 4.0], dtype=torch.float64)).backward()
    assert moved.grad is not None
    assert torch.isfinite(moved.grad).all()


def test_segments_that_do_not_meet_are_still_drawn_together():
    moved = torch.tensor([0.0, 1.0]).requires_grad_()
    for kind in ("giou", "diou"):
        moved.grad = None
        overlap_loss(moved, torch.tensor([5.0, 6.0]), kind=kind).backward()
        assert moved.grad is not None
        assert moved.grad[1] < 0, kind  # a later end is better


@given(st.floats(-80, 80), st.sampled_from([0.0, 1.0, 0.9]))
def test_focal_gradients_are_finite(logit, target):
    x = torch.tensor(logit, requires_grad=True)
    loss = focal_loss(x, torch.tensor(target))
    loss.backward()
    assert loss >= 0
    assert torch.isfinite(loss)
    assert x.grad is not None
    assert torch.isfinite(x.grad)
