"""Windows of long videos: what they keep, and that together they see everything once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marey.localize.crops import choose_window, cut, stretches


@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 1000), st.floats(0, 50), st.floats(0.5, 30))
def test_a_window_keeps_half_of_a_segment(positions, window, seed, start, length):
    start, end = min(start, positions - 1.0), min(start + length, positions - 0.5)
    if end - start < 0.5:
        return
    segments = np.array([[start, end]])
    first = choose_window(np.random.default_rng(seed), positions, window, segments)
    assert 0 <= first <= max(positions - window, 0)
    inside = min(end, first + window - 0.5) - max(start, first - 0.5)
    # a whole position may be lost to rounding
    assert inside >= 0.5 * min(end - start, window) - 1
    kept, labels = cut(segments, np.array([3]), first, window)
    assert len(kept) == len(labels)
    if len(kept):
        assert kept[0, 0] >= -0.5
        assert kept[0, 1] <= window - 0.5
        assert kept[0, 1] - kept[0, 0] >= 0.5 * min(end - start, window) - 1e-6


def test_cutting():
    segments, labels = np.array([[2.0, 6.0], [9.0, 30.0], [0.0, 1.0]]), np.array([0, 1, 2])
    kept, names = cut(segments, labels, 4, 10)  # [3.5, 13.5)
    assert kept.tolist() == [[-0.5, 2.0]]
    assert names.tolist() == [0]
    kept, names = cut(segments, labels, 8, 10)
    assert kept.tolist() == [[1.0, 9.5]]
    assert names.tolist() == [1]


def test_without_segments_every_place_comes():
    rng = np.random.default_rng(0)
    assert {choose_window(rng, 6, 4, np.empty((0, 2))) for _ in range(60)} == {0, 1, 2}


@given(st.integers(1, 500), st.integers(1, 80))
def test_counted_parts_follow_each_other(positions, window):
    parts = stretches(positions, window)
    assert parts[0][2] == 0
    assert parts[-1][3] == positions
    for (first, stop, begin, end), after in zip(parts, [*parts[1:], None], strict=True):
        assert 0 <= first <= begin < end <= stop <= positions
        assert stop - first == min(window, positions)
        if after is not None:
            assert end == after[2]
            assert stop - end >= window // 4 - 1
