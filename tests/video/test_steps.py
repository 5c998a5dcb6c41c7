"""Long generated videos: known segments, the same every time, and nothing to be told from one frame."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from marey.errors import ConfigError
from marey.video.reader import open_video
from marey.video.steps import BACKGROUND, COMPOUND, STEPS, make_steps, render_steps


def test_segments_are_where_something_moves():
    """One object: its frames change within segments (and where it trembles), and are still in between."""
    video = render_steps(np.random.default_rng(3), seconds=20, size=48, objects=1)
    assert len(video.segments) >= 3
    change = np.abs(np.diff(video.frames.astype(float), axis=0)).mean(axis=(1, 2, 3))
    middle = (video.times[1:] + video.times[:-1]) / 2
    inside = np.zeros(len(middle), dtype=bool)
    for s in video.segments:
        assert 0 < s.start < s.end < 20
        assert s.label in STEPS
        inside |= (middle > s.start) & (middle < s.end)
    assert np.median(change[inside]) > 1.3 * np.median(change[~inside])


def test_no_two_segments_of_a_class_meet_and_those_of_two_objects_overlap():
    overlaps = 0
    for seed in range(6):
        segments = render_steps(np.random.default_rng(seed), seconds=25, size=32).segments
        assert list(segments) == sorted(segments, key=lambda s: (s.start, s.end, s.label))
        for i, a in enumerate(segments):
            for b in segments[i + 1 :]:
                both = min(a.end, b.end) > max(a.start, b.start)
                assert not (both and a.label == b.label)
                overlaps += both
    assert overlaps > 5


def test_what_goes_there_and_back_ends_as_it_began():
    """A video of nothing but `sway`: frames as far from the middle of a segment before and after look the same."""
    video = render_steps(np.random.default_rng(2), seconds=30, size=48, objects=1, classes=("sway",))
    assert len(video.segments) >= 3
    assert {s.label for s in video.segments} == {"sway"}
    back, away = [], []
    for s in video.segments:
        inside = np.flatnonzero((video.times > s.start) & (video.times < s.end))
        first, middle, last = (video.frames[inside[i]].astype(float) for i in (0, len(inside) // 2, -1))
        back.append(np.abs(first - last).mean())
        away.append(np.abs(first - middle).mean())
    assert np.median(back) < 0.6 * np.median(away)
    labels = {
        s.label
        for seed in range(8)
        for s in render_steps(np.random.default_rng(seed), seconds=40, size=16, classes=COMPOUND).segments
    }
    assert labels == set(COMPOUND)


def test_a_set_on_disk(tmp_path):
    path = make_steps(tmp_path / "set", videos=20, seconds=6, size=32, seed=5)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {r["path"] for r in rows} == {f"videos/{i:05d}.mp4" for i in range(20)}
    assert len({r["path"] for r in rows if r["split"] == "val"}) == 5
    nothing = [r for r in rows if r["label"] == BACKGROUND]
    assert [(r["path"], r["start"], r["end"]) for r in nothing][-1] == ("videos/00019.mp4", "0.000", "6.000")
    with open_video(path.parent / rows[0]["path"]) as reader:
        assert len(reader.times) == 60
    before = (path.parent / "videos/00003.mp4").read_bytes()
    assert make_steps(tmp_path / "set", videos=20, seconds=6, size=32, seed=5) == path
    make_steps(tmp_path / "again", videos=20, seconds=6, size=32, seed=5)
    assert (tmp_path / "again/videos/00003.mp4").read_bytes() == before
    with pytest.raises(ConfigError, match="other settings"):
        make_steps(tmp_path / "set", videos=21, seconds=6, size=32, seed=5)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/x").touch()
    with pytest.raises(ConfigError, match="something else"):
        make_steps(tmp_path / "mine", videos=3)
