"""The path from a file to a clip: which frames, what size, which crop, what padding, which errors."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.data.augment import TimeJitter
from marey.data.clips import corner, load_clip, load_views, resized, segment_of
from marey.data.instants import Span, lost, motion_energy, warped
from marey.data.manifest import Sample
from marey.errors import ConfigError, SegmentError, TruncatedVideoError, VideoNotFoundError
from marey.spec import InputSpec
from marey.video.reader import open_video
from marey.video.sampling import Dense, Keyframes, Rate, Segments, Uniform
from tests.data.conftest import frame_numbers, ramp

SPEC = InputSpec(sampler={"name": "uniform", "n": 5}, frames=5, size=(32, 32), resize=40)


@pytest.fixture
def video(make_video):
    """25 frames in one second, 48×64."""
    return make_video("ramp.mp4", ramp(25))


def test_the_frames_of_the_chosen_times(video):
    clip = load_clip(video, SPEC)
    assert clip.frames.shape == (5, 32, 32, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.mask.all()
    assert frame_numbers(clip.frames) == [2, 7, 12, 17, 22]
    assert np.allclose(clip.times, np.array([2, 7, 12, 17, 22]) / 25)
    again = load_clip(video, SPEC, sampler=Uniform(2))
    assert frame_numbers(again.frames) == [6, 18]


def test_a_segment_is_kept_to(video):
    inside = load_clip(video, SPEC, start=0.4, end=0.8)
    assert frame_numbers(inside.frames) == [11, 13, 15, 17, 19]
    sample = Sample(id=3, path=video, labels=("x",), start=0.4, end=0.8, where="m.csv line 5")
    assert np.array_equal(load_clip(sample, SPEC).frames, inside.frames)
    assert frame_numbers(load_clip(sample, SPEC, start=0.0).frames) == [2, 6, 10, 14, 18]


def test_a_short_segment_is_padded_and_masked(video):
    spec = dataclasses.replace(SPEC, frames_multiple=4)
    clip = load_clip(video, spec, start=0.4, end=0.52)
    assert clip.mask.tolist() == [True] * 3 + [False] * 5
    assert frame_numbers(clip.frames[:3]) == [10, 11, 12]
    assert not clip.frames[3:].any()
    assert np.allclose(clip.times, [0.4, 0.44, 0.48, *[0.48] * 5])


def test_a_network_of_fixed_length(video):
    spec = dataclasses.replace(SPEC, frames=8, fixed_frames=True)
    assert len(load_clip(video, spec)) == 8
    with pytest.raises(ConfigError, match="gives 10 frames, but this model takes exactly 8"):
        load_clip(video, spec, sampler=Uniform(10))


def test_crops_are_cut_from_one_picture(make_video):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (6, 48, 64, 3), dtype=np.uint8)
    for name, frames, side in (("wide.mp4", pixels, 1), ("tall.mp4", pixels.transpose(0, 2, 1, 3), 0)):
        path = make_video(name, frames)
        whole = load_clip(path, SPEC, crop=None).frames
        assert min(whole.shape[1:3]) == 40
        assert whole.shape[1 + side] == 53
        for crop, along in (("left", 0), ("center", 10), ("right", 21)):
            top, left = (4, along) if side else (along, 4)
            cut = load_clip(path, SPEC, crop=crop).frames
            assert np.array_equal(cut, whole[:, top : top + 32, left : left + 32])
    with pytest.raises(ConfigError, match="crop must be"):
        load_clip(path, SPEC, crop="middle")


def test_views_are_the_clips_one_by_one(video):
    views = load_views(video, SPEC, clips=3, crops=("left", "center", "right"))
    assert len(views) == 9
    for k in range(3):
        for c, crop in enumerate(("left", "center", "right")):
            one = load_clip(video, SPEC, view=(k, 3), crop=crop)
            assert np.array_equal(one.frames, views[3 * k + c].frames)
            assert np.array_equal(one.times, views[3 * k + c].times)
    assert len({tuple(v.times) for v in views}) == 3
    with pytest.raises(ConfigError, match="view 3 of 3"):
        load_clip(video, SPEC, view=(3, 3))


def test_segments_at_the_edge_of_the_video(video):
    with open_video(video) as reader:
        assert segment_of(reader, None, None) == Span(0.0, 1.0)
        assert segment_of(reader, None, 0.5) == Span(0.0, 0.5)
        edge = segment_of(reader, 0.5, 1.039)
        assert (edge.start, edge.end) == (0.5, 1.0)
        assert edge.clamped == pytest.approx(0.039)
        with pytest.raises(
            SegmentError, match=r"m.csv line 2: the segment 0.500–1.050 s lies outside the video"
        ) as e:
            segment_of(reader, 0.5, 1.05, where="m.csv line 2")
        assert "0.000 s to 1.000 s" in str(e.value)
        assert "ramp.mp4" in str(e.value)
        with pytest.raises(SegmentError, match="begins where the video ends"):
            segment_of(reader, 1.0, 1.03)
        with pytest.raises(SegmentError, match="reversed"):
            segment_of(reader, 0.8, 0.2)


def test_a_clock_that_does_not_begin_at_zero(make_video):
    path = make_video("late.mkv", ramp(10), times=8.0 + np.arange(10) / 10)
    with open_video(path) as reader:
        first = reader.info.start
        assert first == pytest.approx(8.0)
        assert segment_of(reader, 0.0, 8.5) == Span(first, 8.5), "0 is the beginning"
        with pytest.raises(SegmentError, match=r"clock of this video begins at 8.000 s"):
            segment_of(reader, 0.0, 0.5)
        with pytest.raises(SegmentError, match="lies outside"):
            segment_of(reader, 7.5, 8.5)


def test_errors_of_files_pass_through(make_video, tmp_path):
    with pytest.raises(VideoNotFoundError):
        load_clip(tmp_path / "none.mp4", SPEC)
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), dtype=np.uint8)
    whole = Path(make_video("whole.mkv", noise)).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TruncatedVideoError, match=r"cut\.mkv"):
        load_clip(tmp_path / "cut.mkv", SPEC)
    prefix = load_clip(tmp_path / "cut.mkv", SPEC, truncated="use-prefix")
    assert prefix.mask.all()
    assert prefix.times[-1] < 1.2


sizes = st.tuples(st.integers(8, 400), st.integers(8, 400))


@given(video=sizes, size=sizes, extra=st.integers(0, 100))
@settings(max_examples=300, deadline=None)
def test_the_crop_always_fits_and_the_picture_keeps_its_shape(video, size, extra):
    spec = InputSpec(size=size, resize=min(size) + extra)
    height, width = resized(*video, spec)
    assert height >= size[0]
    assert width >= size[1]
    scale = max(height / video[0], width / video[1])
    assert abs(height - video[0] * scale) <= 1 + scale * 1e-9 or height == size[0]
    assert abs(width - video[1] * scale) <= 1 + 0.6 * max(video[1] / video[0], 1) or width == size[1]
    if size[0] == size[1]:
        assert min(height, width) == spec.resize
    for crop in ("left", "center", "right"):
        top, left = corner(height, width, size, crop)
        assert 0 <= top <= height - size[0]
        assert 0 <= left <= width - size[1]


@given(
    u=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20),
    slope=st.floats(0.01, 1.99),
    start=st.floats(0, 100),
    length=st.floats(0.1, 100),
)
@settings(max_examples=100, deadline=None)
def test_warping_keeps_order_ends_and_speed(u, slope, start, length):
    span = Span(start, start + length)
    times = np.sort(start + np.array(u) * length)
    times = np.clip(times, span.start, np.nextafter(span.end, 0))
    out = warped(times, span, slope)
    assert np.all((out >= span.start) & (out < span.end))
    assert np.all(np.diff(out) >= 0)
    limit = max(slope, 2 - slope)
    assert np.all(np.diff(out) <= limit * np.diff(times) + 1e-6)
    assert warped(np.array([span.start]), span, slope)[0] == span.start
    assert warped(np.array([np.nextafter(span.end, 0)]), span, slope)[0] == pytest.approx(span.end)


def test_training_draws_from_the_generator_alone(video):
    one = load_clip(video, SPEC, rng=np.random.default_rng(1), sampler=Segments(5))
    same = load_clip(video, SPEC, rng=np.random.default_rng(1), sampler=Segments(5))
    other = load_clip(video, SPEC, rng=np.random.default_rng(2), sampler=Segments(5))
    assert np.array_equal(one.times, same.times)
    assert not np.array_equal(one.times, other.times)


def test_speed_jitter(make_video):
    path = make_video("long.mp4", ramp(28), fps=14.0)  # 2 s
    factors = []
    for seed in range(20):
        clip = load_clip(
            path, SPEC, sampler=Dense(6, 0.1), rng=np.random.default_rng(seed), jitter=TimeJitter(speed=0.4)
        )
        factors.append((clip.times[-1] - clip.times[0]) / 0.5)
        assert clip.mask.all()
    assert 0.5 < min(factors) < 0.8
    assert 1.2 < max(factors) < 1.55
    for seed in range(20):  # spread over the segment: all of it stays in, the middle shifts
        clip = load_clip(
            path, SPEC, start=0.5, end=1.5, rng=np.random.default_rng(seed), jitter=TimeJitter(speed=0.4)
        )
        assert clip.times[0] < 0.5 + 0.4
        assert clip.times[-1] >= 1.5 - 0.4
        assert np.all((clip.times >= 0.4) & (clip.times < 1.5))


def test_a_slower_camera(make_video):
    """Every other frame, or more of them: evenly, from the first, whatever the sampler."""
    path = make_video("long.mp4", ramp(28), fps=14.0)  # 2 s
    counts = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        clip = load_clip(path, SPEC, sampler=Uniform(28), rng=rng, jitter=TimeJitter(rate=0.5))
        shown = frame_numbers(clip.frames[clip.mask])
        assert shown[0] == 0
        assert set(np.diff(shown)) <= {1, 2}
        assert not clip.frames[~clip.mask].any(), "a slower camera has fewer frames: the rest is padding"
        counts.append(len(shown))
    assert 14 <= min(counts) < 18
    assert 24 < max(counts) <= 28
    held = load_clip(
        path,
        SPEC,
        start=0.5,
        end=1.5,
        sampler=Dense(10, 1 / 14),
        rng=np.random.default_rng(3),
        jitter=TimeJitter(rate=0.9),
    )
    assert held.mask.all(), "at a fixed step the slower camera's frame is seen again"
    assert len(set(frame_numbers(held.frames))) < 8
    for sampler in (Keyframes(6, "motion"), Keyframes(3), Rate(5, 9), Segments(4)):
        clip = load_clip(
            path, SPEC, sampler=sampler, rng=np.random.default_rng(0), jitter=TimeJitter(rate=0.7, speed=0.3)
        )
        assert np.all(np.diff(clip.times) >= 0)


@given(
    real=st.integers(1, 20), padding=st.integers(0, 5), drop=st.floats(0, 0.95), hold=st.floats(0, 0.95),
    seed=st.integers(0, 999),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_lost_frames(real, padding, drop, hold, seed):
    times = np.concatenate([np.arange(real) / 10, np.full(padding, (real - 1) / 10)])
    mask = np.arange(real + padding) < real
    jitter = TimeJitter(drop=drop, hold=hold)
    out, seen = lost(times, mask, jitter, np.random.default_rng(seed))
    assert len(out) == len(seen) == real + padding
    count = int(seen.sum())
    assert seen[:count].all(), "real frames come first"
    assert out[0] == times[0]
    assert out[count - 1] == times[real - 1]
    assert np.all(out[count:] == out[count - 1])
    assert set(out) <= set(times)
    assert np.all(np.diff(out) >= 0)
    assert np.all(np.diff(out[:count]) > 0) or hold, "dropping alone shows no frame twice"
    if not drop:
        assert count == real
    again, _ = lost(times, mask, TimeJitter(hold=hold), np.random.default_rng(seed))
    assert set(out) <= set(again), "one setting changes no other's draws"


def test_lost_frames_of_a_video(make_video):
    path = make_video("long.mp4", ramp(28), fps=14.0)
    plain = load_clip(path, SPEC, sampler=Uniform(12), rng=np.random.default_rng(4))
    dropped = load_clip(
        path, SPEC, sampler=Uniform(12), rng=np.random.default_rng(4), jitter=TimeJitter(drop=0.4)
    )
    held = load_clip(
        path, SPEC, sampler=Uniform(12), rng=np.random.default_rng(4), jitter=TimeJitter(hold=0.4)
    )
    assert held.mask.all()
    assert 2 <= dropped.mask.sum() < 12
    assert not dropped.frames[~dropped.mask].any()
    whole = frame_numbers(plain.frames)
    assert set(frame_numbers(dropped.frames[dropped.mask])) < set(whole)
    shown = frame_numbers(held.frames)
    assert len(set(shown)) < 12
    assert all(s <= w for s, w in zip(shown, whole, strict=True)), "a late frame is an earlier one"


def test_context_is_drawn_around_the_segment_which_stays_in(make_video):
    path = make_video("long.mp4", ramp(28), fps=14.0)

    class Spy(Uniform):
        def times(self, frame_times, start, end, rng=None, *, cues=None):
            seen.append((start, end))
            return super().times(frame_times, start, end, rng, cues=cues)

    seen = []
    for seed in range(30):
        load_clip(
            path,
            SPEC,
            start=0.4,
            end=0.8,
            sampler=Spy(4),
            rng=np.random.default_rng(seed),
            jitter=TimeJitter(context=2),
        )
    starts, ends = np.array(seen).T
    assert np.all((starts >= 0) & (starts <= 0.4))
    assert np.all((ends >= 0.8) & (ends <= 1.6 + 1e-9))
    assert starts.min() == 0, "the video's own beginning is the limit"
    assert np.ptp(ends) > 0.4
    seen = []
    load_clip(path, SPEC, start=0.4, end=0.8, sampler=Spy(4), jitter=TimeJitter(context=2))
    assert seen == [(0.4, 0.8)], "nothing is drawn at test time"
    with pytest.raises(ConfigError):
        TimeJitter(speed=1.0)


def test_motion_chooses_the_moving_frames(make_video):
    frames = np.full((30, 48, 64, 3), 90, dtype=np.uint8)
    for t in range(12, 20):
        frames[t:, 8:40, 4 * (t - 11) : 4 * (t - 11) + 8] = 250
    path = make_video("burst.mp4", frames)
    with open_video(path) as reader:
        energy = motion_energy(reader, Span(0.0, reader.info.end))
        pieces = motion_energy(reader, Span(0.0, reader.info.end), chunk=7)
        part = motion_energy(reader, Span(15 / 25, 22 / 25))
    assert energy.shape == (30,)
    assert energy[12:20].min() > 5 * np.delete(energy, np.s_[12:20]).max()
    assert np.array_equal(energy, pieces)
    assert part[15] == 0
    assert np.array_equal(part[16:22], energy[16:22])
    assert not part[22:].any()
    clip = load_clip(path, SPEC, sampler=Keyframes(4, by="motion"))
    assert np.all((clip.times >= 0.48 - 1e-6) & (clip.times < 0.8))


def test_keyframes_of_the_codec(make_video):
    path = make_video(
        "gop.mp4",
        ramp(24),
        fps=12.0,
        options={"g": "6", "sc_threshold": "0", "crf": "18", "x264-params": "mbtree=0"},
    )
    assert frame_numbers(load_clip(path, SPEC, sampler=Keyframes(4)).frames) == [0, 6, 12, 18]
