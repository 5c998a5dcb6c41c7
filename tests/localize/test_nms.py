"""Suppression against a loop that takes one prediction after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.errors import UsageError
from marey.localize.decode import DecodeConfig, candidates, settle
from marey.localize.nms import suppress


@st.composite
def predictions(draw):
    row = st.tuples(
        st.integers(0, 12),
        st.integers(0, 8),
        st.sampled_from([0.0005, 0.2, 0.5, 0.5, 0.9]),
        st.integers(0, 2),
    )
    rows = draw(st.lists(row, max_size=20))
    segments = np.array([(s, s + d) for s, d, *_ in rows], dtype=np.float64).reshape(-1, 2)
    return segments, np.array([x for *_, x, _ in rows]), np.array([k for *_, k in rows], dtype=np.int64)


def plain(segments, scores, labels, *, method, sigma, threshold, least, most):
    kept = []
    for label in sorted(set(labels.tolist())):
        left = {i: scores[i] for i in range(len(scores)) if labels[i] == label and scores[i] >= least}
        chosen = 0
        while left and chosen < most:
            best = max(left, key=lambda i: (left[i], -i))
            value = left.pop(best)
            if value < least:
                break
            kept.append((value, best))
            chosen += 1
            for i in list(left):
                (a, b), (c, d) = segments[best], segments[i]
                both = max(0.0, min(b, d) - max(a, c))
                union = (b - a) + (d - c) - both
                tiou = both / union if union > 0 else 0.0
                if method == "soft":
                    left[i] *= math.exp(-(tiou**2) / sigma)
                elif tiou > threshold:
                    del left[i]
    return sorted(kept, key=lambda pair: (-pair[0], pair[1]))[:most]


@settings(max_examples=200, deadline=None)
@given(predictions(), st.sampled_from(["soft", "hard"]), st.sampled_from([3, 200]))
def test_equals_the_plain_loop(given_, method, most):
    keywords = {"method": method, "sigma": 0.5, "threshold": 0.4, "least": 0.001, "most": most}
    index, scores = suppress(*given_, **keywords)
    expected = plain(*given_, **keywords)
    assert scores.tolist() == pytest.approx([value for value, _ in expected])
    assert index.tolist() == [i for _, i in expected]
    assert len(set(index.tolist())) == len(index)


def test_impossible_numbers_are_refused():
    none = np.empty((0, 2)), np.empty(0), np.empty(0, dtype=np.int64)
    assert len(suppress(*none)[0]) == 0
    for wrong in ({"method": "firm"}, {"sigma": 0.0}, {"threshold": 2.0}, {"most": 0}):
        with pytest.raises(UsageError):
            suppress(*none, **wrong)


def test_a_longer_video_may_have_more_segments():
    """One sure segment at each of 1,500 positions: 200 are kept for every 512 of them, not 200 in all."""
    position = np.arange(1500.0)
    segments, labels, scores = candidates(
        np.full((1500, 1), 0.9, np.float32), np.full((1500, 2), 0.2, np.float32), position, np.ones(1500),
        extent=(-0.5, 1499.5), config=DecodeConfig(candidates=400), positions=1500,
    )  # fmt: skip
    assert len(segments) == 1200
    kept, _, _ = settle(segments, labels, scores, config=DecodeConfig(), positions=1500)
    assert len(kept) == 600
