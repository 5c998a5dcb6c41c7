"""Scores over time to segments: by hand, and what must hold of every track."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marey.errors import ConfigError
from marey.localize.smoothing import HysteresisConfig, hysteresis, smoothed


def test_by_hand():
    scores = np.array([[0.1, 0.0], [0.6, 0.0], [0.4, 0.9], [0.2, 0.9], [0.4, 0.0], [0.7, 0.0]])
    segments, labels, values = hysteresis(scores, np.arange(7) * 0.5)
    assert segments.tolist() == [[0.5, 1.5], [1.0, 2.0], [2.5, 3.0]]
    assert labels.tolist() == [0, 1, 0]
    assert values.tolist() == pytest.approx([0.5, 0.9, 0.7])
    joined, labels, _ = hysteresis(scores, np.arange(7) * 0.5, HysteresisConfig(gap=1.2, shortest=1.1))
    assert joined.tolist() == [[0.5, 3.0]]
    assert labels.tolist() == [0]


def test_a_run_that_never_reaches_on_is_none():
    segments, *_ = hysteresis(np.full((4, 1), 0.4), np.arange(5.0))
    assert segments.shape == (0, 2)


def test_smoothing_follows_the_clock_and_keeps_a_constant():
    times = np.array([0.0, 0.1, 0.2, 1.0, 1.1])
    assert smoothed(np.ones((5, 2)), times, 0.2) == pytest.approx(1.0)
    spike = smoothed(np.array([[1.0], [0], [0], [0], [0]]), times, 0.1)[:, 0]
    assert spike[0] > spike[1] > spike[2] > 0
    assert spike[3] == pytest.approx(0.0, abs=1e-6)  # 0.8 s away, whatever the number of positions between


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=40),
    st.floats(0.1, 0.9), st.floats(0, 1), st.sampled_from([0.0, 0.7]), st.sampled_from([0.0, 1.5]),
)  # fmt: skip
def test_what_holds_of_every_track(track, on, share, shortest, gap):
    rule = HysteresisConfig(on=on, off=on * share, shortest=shortest, gap=gap)
    edges = np.arange(len(track) + 1) * 0.5
    scores = np.array(track)[:, None]
    segments, _, values = hysteresis(scores, edges, rule)
    for (start, end), value in zip(segments, values, strict=True):
        inside = scores[round(start / 0.5) : round(end / 0.5), 0]
        assert inside[0] >= on
        assert inside.max() >= on
        assert end - start >= shortest
        assert value == pytest.approx(inside.mean())
        after = round(end / 0.5)
        assert after == len(track) or track[after] < rule.off
    assert np.all(segments[1:, 0] > segments[:-1, 1] - 1e-9)
    if not shortest and max(track) >= on:
        assert len(segments)


def test_impossible_thresholds_are_refused():
    for wrong in ({"on": 0.3, "off": 0.5}, {"on": 1.5}, {"gap": -1.0}):
        with pytest.raises(ConfigError):
            HysteresisConfig(**wrong)
