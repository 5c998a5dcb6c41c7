"""Samplers: times sorted and inside the segment, exact masks, determinism, and worked values."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.errors import ConfigError, SegmentError, UnknownNameError
from marey.video.sampling import (
    SAMPLERS,
    Adaptive,
    Dense,
    Keyframes,
    Rate,
    Segments,
    Snippets,
    Uniform,
    Windows,
    parse_sampler,
    sampler_from_dict,
)

ALL = [
    Uniform(16),
    Uniform(1),
    Segments(8),
    Segments(5, jitter=False),
    Snippets(3, 4),
    Snippets(2, 3, stride=2),
    Rate(8.0, 32),
    Rate(30.0, None),
    Dense(16, 0.08),
    Dense(4, 1.0),
    Adaptive(0.25, 4, 20),
    Windows(1.0, 0.5, Uniform(6)),
    Windows(0.5, 0.5, Segments(3)),
    Windows(2.0, 1.0, Snippets(2, 2)),
    Keyframes(4),
    Keyframes(6, "motion"),
]


@st.composite
def videos(draw):
    """A video's frame times (constant or variable rate, any origin), a segment of it, cues, and a seed."""
    gaps = draw(st.lists(st.floats(0.004, 2.0), min_size=1, max_size=60))
    origin = draw(st.floats(0, 50))
    edges = origin + np.concatenate([[0.0], np.cumsum(gaps)])
    times, stop = edges[:-1], edges[-1]
    a, b = sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    start, end = origin + a * (stop - origin), origin + b * (stop - origin)
    if not end - start > 1e-3:
        start, end = origin, stop
    return times, start, end, draw(st.integers(0, 2**32 - 1))


def cues_for(sampler, times, seed):
    if sampler.cue == "keyframes":
        return times[:: 1 + seed % 7]
    if sampler.cue == "motion":
        return np.random.default_rng(seed).exponential(size=len(times)) * (seed % 3)
    return None


@pytest.mark.parametrize("sampler", ALL, ids=str)
@given(video=videos(), train=st.booleans())
@settings(max_examples=60, deadline=None)
def test_times_are_sorted_inside_and_exactly_masked(sampler, video, train):
    times, start, end, seed = video
    cues = cues_for(sampler, times, seed)
    rng = np.random.default_rng(seed) if train else None
    picked, mask = sampler.times(times, start, end, rng, cues=cues)
    assert picked.dtype == np.float64
    assert mask.dtype == np.bool_
    assert picked.shape == mask.shape == (len(picked),)
    assert np.all(picked >= start)
    assert np.all(picked < end)
    assert np.all(np.diff(picked) >= 0)
    real = int(mask.sum())
    assert real >= 1
    assert mask[:real].all(), "padding comes last"
    assert np.all(picked[real:] == picked[real - 1]), "padding repeats the last real time"
    if sampler.length is not None:
        assert len(picked) <= sampler.length
    again, mask_again = sampler.times(
        times, start, end, np.random.default_rng(seed) if train else None, cues=cues
    )
    assert np.array_equal(picked, again)
    assert np.array_equal(mask, mask_again)


@pytest.mark.parametrize("sampler", ALL, ids=str)
@given(video=videos(), count=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_views_hold_the_same_promises_and_one_view_is_the_clip(sampler, video, count):
    times, start, end, seed = video
    cues = cues_for(sampler, times, seed)
    views = sampler.views(times, start, end, count, cues=cues)
    assert len(views) == count
    for picked, mask in views:
        assert np.all((picked >= start) & (picked < end))
        assert np.all(np.diff(picked) >= 0)
        assert mask[0]
    (one, _), (clip, _) = (
        sampler.views(times, start, end, 1, cues=cues)[0],
        sampler.times(times, start, end, cues=cues),
    )
    assert np.array_equal(one, clip)


@given(video=videos(), n=st.integers(1, 40))
@settings(max_examples=80, deadline=None)
def test_a_short_video_loses_no_frame(video, n):
    """Fewer frames than asked for: every one of them is there, once, and the rest is padding."""
    times, start, end, _ = video
    on_screen = times[(np.append(times[1:], np.inf) > start) & (times < end)]
    for sampler in (
        Uniform(n),
        Segments(n),
        Adaptive(1.0, n, n),
        Snippets(1, n - 1) if n > 1 else Uniform(n),
    ):
        picked, mask = sampler.times(times, start, end)
        if len(on_screen) <= n:
            assert int(mask.sum()) == len(on_screen)
            assert np.array_equal(picked[mask], np.maximum(on_screen, start))
        else:
            assert mask.all()


@given(
    video=videos(),
    n=st.integers(1, 4),
    fields=st.integers(1, 6),
    stride=st.integers(1, 3),
    train=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_snippets_are_runs_of_neighbours(video, n, fields, stride, train):
    """Inside a run every frame is the `stride`-th after the one before, and runs share no frame."""
    times, start, end, seed = video
    sampler = Snippets(n, fields, stride)
    picked, mask = sampler.times(times, start, end, np.random.default_rng(seed) if train else None)
    frames = np.searchsorted(times, picked[mask], side="right") - 1
    assert len(set(frames)) == len(frames)
    run, _ = sampler.snippet
    for first in range(0, len(frames), run):
        assert np.all(np.diff(frames[first : first + run]) == stride)
    on_screen = int(((np.append(times[1:], np.inf) > start) & (times < end)).sum())
    if on_screen >= (sampler.length + 1) * stride:
        assert mask.all()
        parts = (frames[::run] - frames[0]) // stride
        assert np.all(np.diff(parts) >= run)


@given(
    start=st.floats(0, 100), length=st.floats(0.01, 50), window=st.floats(0.05, 10), share=st.floats(0.05, 1)
)
@settings(max_examples=100, deadline=None)
def test_windows_cover_everything(start, length, window, share):
    end = start + length
    spans = Windows(window, window * share).windows(start, end)
    assert spans[0][0] == start
    assert spans[-1][1] == pytest.approx(end)
    for (s, e), (s2, _) in itertools.pairwise(spans):
        assert s < s2 <= e + 1e-9, "no gap between neighbours"
    for s, e in spans:
        assert e - s == pytest.approx(min(window, length))


def test_worked_values_on_ten_frames_a_second():
    times = np.arange(20) / 10
    assert np.allclose(Uniform(4).times(times, 0, 2)[0], [0.25, 0.75, 1.25, 1.75])
    assert np.allclose(Rate(2, None).times(times, 0, 2)[0], [0.25, 0.75, 1.25, 1.75])
    assert np.allclose(Dense(4, 0.1).times(times, 0, 2)[0], [0.85, 0.95, 1.05, 1.15])
    assert np.allclose(Snippets(2, 2).times(times, 0, 2)[0], [0.4, 0.5, 0.6, 1.4, 1.5, 1.6])
    assert np.allclose(Snippets(2, 1, stride=3).times(times, 0, 2)[0], [0.4, 0.7, 1.3, 1.6])
    assert np.allclose(Adaptive(0.2, 2, 8).times(times, 0, 2)[0], [0.2, 0.7, 1.2, 1.7])
    picked, mask = Dense(8, 0.5).times(times, 0, 2)
    assert mask.tolist() == [True] * 4 + [False] * 4
    assert np.allclose(picked[:4], [0.25, 0.75, 1.25, 1.75])
    assert Windows(1.0, 0.5).windows(0, 2.2) == [(0, 1.0), (0.5, 1.5), (1.0, 2.0), (pytest.approx(1.2), 2.2)]
    assert np.allclose(Keyframes(2).times(times, 0, 2, cues=np.array([0.0, 0.5, 1.0, 1.5]))[0], [0.5, 1.5])


def test_motion_keyframes_go_where_the_motion_is():
    times = np.arange(100) / 10
    energy = np.zeros(100)
    energy[60:80] = 1.0
    picked, mask = Keyframes(10, "motion").times(times, 0, 10, cues=energy)
    assert mask.all()
    assert len(set(picked)) == 10
    assert np.all((picked >= 5.9) & (picked < 8.0))


def test_rate_does_not_follow_the_frame_rate():
    """The same instants whatever the video's own rate, constant or not."""
    steady, uneven = (
        np.arange(60) / 30,
        np.sort(np.concatenate([np.arange(0, 1, 0.02), np.arange(1, 2, 0.1)])),
    )
    assert np.array_equal(Rate(8, 64).times(steady, 0, 2)[0], Rate(8, 64).times(uneven, 0, 2)[0])


def test_training_jitter_differs_between_seeds():
    times = np.arange(200) / 25
    for sampler in ALL:
        cues = cues_for(sampler, times, 1)
        if sampler in (Segments(5, jitter=False), Rate(30.0, None)) or sampler.cue:
            continue
        draws = {
            sampler.times(times, 0, 8, np.random.default_rng(s), cues=cues)[0].tobytes() for s in range(8)
        }
        assert len(draws) > 1, sampler


@pytest.mark.parametrize("sampler", ALL, ids=str)
def test_serialises_through_json(sampler):
    assert sampler_from_dict(json.loads(json.dumps(sampler.to_dict()))) == sampler


def test_written_as_on_a_command_line():
    assert parse_sampler("uniform:16") == Uniform(16)
    assert parse_sampler("uniform") == Uniform()
    assert parse_sampler("rate:fps=4,max=none") == Rate(4, None)
    assert parse_sampler("dense:8,0.04") == Dense(8, 0.04)
    assert parse_sampler("windows:2.0,1.0,segments:4,false") == Windows(2.0, 1.0, Segments(4, False))
    assert parse_sampler("snippets:3,10,stride=2") == Snippets(3, 10, 2)
    assert parse_sampler("keyframes:4,by=motion") == Keyframes(4, "motion")


def test_errors_name_what_was_got():
    with pytest.raises(UnknownNameError, match="Did you mean 'uniform'"):
        parse_sampler("unifrom:8")
    with pytest.raises(ConfigError, match="has no setting 'm'"):
        parse_sampler("uniform:m=3")
    with pytest.raises(ConfigError, match="at least 1"):
        Uniform(0)
    with pytest.raises(ConfigError, match="gaps"):
        Windows(1.0, 2.0)
    with pytest.raises(SegmentError, match="reversed"):
        Uniform(4).times(np.arange(10.0), 5, 5)
    with pytest.raises(SegmentError, match="no frame is shown"):
        Uniform(4).times(np.arange(10.0) + 5, 1, 2)
    with pytest.raises(ConfigError, match="'snippets': fields must be a whole number of at least 1; got 0"):
        Snippets(3, 0)
    assert set(SAMPLERS) == {
        "uniform", "rate", "dense", "segments", "snippets", "adaptive", "windows", "keyframes",
    }  # fmt: skip
