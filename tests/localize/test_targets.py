"""Which point is to find which segment: by hand, and against the rule written out one pair at a time."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.localize.targets import assign, level_lengths, make_points

RANGES = ((0.0, 4.0), (4.0, 8.0), (8.0, math.inf))


def test_points_stand_at_multiples_of_their_stride():
    points = make_points(5, RANGES)
    assert level_lengths(5, 3) == [5, 3, 2]
    assert points.position.tolist() == [0, 1, 2, 3, 4, 0, 2, 4, 0, 4]
    assert points.stride.tolist() == [1] * 5 + [2] * 3 + [4] * 2
    assert points.level.tolist() == [0] * 5 + [1] * 3 + [2] * 2


def test_one_segment_by_hand():
    points = make_points(16, RANGES)
    classes, offsets = assign(points, torch.tensor([[4.5, 8.5]]), torch.tensor([1]), 3)
    found = classes[:, 1].nonzero().flatten().tolist()
    # Centre 6.5. Level 0: |p − 6.5| < 1.5 and both ends nearer than 4: 6 and 7. Level 1 wants an end 4…8 away: none.
    assert [(points.level[i].item(), points.position[i].item()) for i in found] == [(0, 6), (0, 7)]
    assert offsets[found].tolist() == [[1.5, 2.5], [2.5, 1.5]]
    assert not classes[:, [0, 2]].any()
    # Centre 6.5, 5.5 to either end. Level 0 is for nearer ends; on level 1 position 4 is 8 from the end, on level 2
    # position 8 is only 7 from the start.
    classes, offsets = assign(points, torch.tensor([[1.0, 12.0]]), torch.tensor([0]), 3)
    found = classes[:, 0].nonzero().flatten().tolist()
    assert [(points.level[i].item(), points.position[i].item()) for i in found] == [(1, 6), (1, 8), (2, 4)]
    for i in found:
        assert offsets[i].tolist() == [
            (points.position[i].item() - 1) / points.stride[i].item(),
            (12 - points.position[i].item()) / points.stride[i].item(),
        ]


def test_the_shortest_wins_and_equal_ones_share():
    points = make_points(16, RANGES)
    segments = torch.tensor([[2.0, 11.0], [5.0, 8.0], [5.0, 8.0]])
    classes, offsets = assign(points, segments, torch.tensor([0, 1, 2]), 3)
    row = 6  # level 0, position 6
    assert classes[row].tolist() == [0, 1, 1]
    assert offsets[row].tolist() == [1, 2]


def test_nothing_to_find():
    classes, offsets = assign(make_points(4, RANGES), torch.empty(0, 2), torch.empty(0, dtype=torch.int64), 2)
    assert classes.shape == (7, 2)
    assert not classes.any()
    assert not offsets.any()


@st.composite
def cases(draw):
    # Quarters keep distances off the bounds where rounding would decide.
    row = st.tuples(st.integers(0, 60), st.integers(1, 60), st.integers(0, 2))
    rows = draw(st.lists(row, max_size=5))
    return [(s / 2 + 0.25, (s + d) / 2 + 0.25, k) for s, d, k in rows]


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from([0.0, 1.5]), st.integers(1, 40))
def test_assignment_equals_the_rule_pair_by_pair(rows, radius, positions):
    points = make_points(positions, RANGES)
    segments = torch.tensor([(s, e) for s, e, _ in rows]).reshape(-1, 2)
    labels = torch.tensor([k for *_, k in rows], dtype=torch.int64)
    classes, offsets = assign(points, segments, labels, 3, radius=radius)
    for i in range(len(points)):
        p, stride = points.position[i].item(), points.stride[i].item()
        able = []
        for s, e, k in rows:
            left, right = p - s, e - p
            near = radius == 0 or abs(p - (s + e) / 2) < radius * stride
            if left > 0 and right > 0 and near and points.low[i] <= max(left, right) < points.high[i]:
                able.append((e - s, k, left / stride, right / stride))
        shortest = min((a[0] for a in able), default=None)
        winners = [a for a in able if a[0] == shortest]
        expected = [float(any(a[1] == k for a in winners)) for k in range(3)]
        assert classes[i].tolist() == expected
        if winners:
            assert offsets[i].tolist() == [winners[0][2], winners[0][3]]
        else:
            assert offsets[i].tolist() == [0, 0]
