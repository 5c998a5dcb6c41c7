"""Generated motion: the truth is true, no single frame gives it away, and nothing is overwritten."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from marey.errors import ConfigError, UnknownNameError
from marey.video.synthetic import MOTIONS, make_motion, render_motion, write_video


@pytest.mark.parametrize("label", [name for name in MOTIONS if name != "scrambled"])
def test_the_flow_is_true(label):
    """Following the flow from frame t into frame t+1 finds the same colours, far closer than staying put."""
    import cv2

    video = render_motion(label, np.random.default_rng(3), size=96, frames=8, fps=12)
    grid = np.stack(np.meshgrid(np.arange(96), np.arange(96))).astype(np.float32)
    followed, stayed = [], []
    for t, field in enumerate(video.flow):
        target = grid + field
        seen = cv2.remap(video.frames[t + 1].astype(np.float32), target[0], target[1], cv2.INTER_LINEAR)
        inside = video.masks[t] & np.all((target >= 0) & (target <= 95), axis=0)
        now = video.frames[t].astype(np.float32)
        followed.append(np.abs(seen - now)[inside].mean())
        stayed.append(np.abs(video.frames[t + 1].astype(np.float32) - now)[inside].mean())
    assert np.mean(followed) < 6
    assert np.mean(followed) < 0.6 * np.mean(stayed)
    assert not video.flow[~np.stack([video.masks[:-1]] * 2, axis=1)].any(), "the background is still"


def test_the_pair_told_apart_by_order_holds_the_same_motions():
    def halves(label):
        flows = [render_motion(label, np.random.default_rng(s), frames=16, fps=16) for s in range(6)]
        mean = [[v.flow[t][:, v.masks[t]].mean(axis=1) for t in (1, 13)] for v in flows]
        return np.mean(mean, axis=0)

    first, second = halves("up-then-right"), halves("right-then-up")
    assert first[0][1] < -1
    assert abs(first[0][0]) < 0.5
    assert first[1][0] > 1
    assert np.allclose(first[::-1], second, atol=1.5)


def test_single_frames_are_alike_in_every_class():
    """Position, size and brightness of the object at each moment have the same distribution in all classes."""
    from scipy.stats import kruskal

    for moment in (0, 5, 11):
        areas, levels = [], []
        for index, label in enumerate(MOTIONS):
            videos = [
                render_motion(label, np.random.default_rng([index, s]), frames=12, fps=12, size=48)
                for s in range(40)
            ]
            levels.append([v.frames[moment].mean() for v in videos])
            areas.append([v.masks[moment].sum() for v in videos])
        assert kruskal(*levels).pvalue > 1e-3
        if moment == 5:  # at the ends a growing object is, by nature, small or large
            assert kruskal(*areas).pvalue > 1e-3


def test_a_set_is_balanced_reproducible_and_left_alone(tmp_path):
    manifest = make_motion(tmp_path / "a", clips=22, seed=5, size=48, val=0.5)
    rows = list(csv.DictReader(manifest.open()))
    assert len(rows) == 22
    for split in ("train", "val"):
        assert sorted(r["label"] for r in rows if r["split"] == split) == sorted(MOTIONS)
    assert not any(r["label"] in r["path"] for r in rows)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "a" / "videos").iterdir()}
    assert make_motion(tmp_path / "a", clips=22, seed=5, size=48, val=0.5) == manifest
    assert before == {p.name: p.stat().st_mtime_ns for p in (tmp_path / "a" / "videos").iterdir()}
    again = make_motion(tmp_path / "b", clips=22, seed=5, size=48, val=0.5)
    for name in before:
        first, second = (m.parent / "videos" / name for m in (manifest, again))
        assert first.read_bytes() == second.read_bytes()
    with pytest.raises(ConfigError, match="other settings"):
        make_motion(tmp_path / "a", clips=22, seed=6, size=48, val=0.5)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep")
    with pytest.raises(ConfigError, match="not empty"):
        make_motion(tmp_path / "mine", clips=20)


def test_an_interrupted_set_is_completed(tmp_path):
    manifest = make_motion(tmp_path / "a", clips=12, seed=2, size=48)
    lost = tmp_path / "a" / "videos" / "00003.mp4"
    whole = lost.read_bytes()
    lost.unlink()
    manifest.unlink()
    make_motion(tmp_path / "a", clips=12, seed=2, size=48)
    assert lost.read_bytes() == whole


def test_written_times_are_the_times_in_the_file(tmp_path):
    import av

    times = np.array([0.0, 0.1, 0.15, 0.5, 0.52])
    frames = render_motion("left", np.random.default_rng(0), frames=5, fps=10).frames
    path = write_video(tmp_path / "vfr.mp4", frames, times=times)
    with av.open(str(path)) as container:
        got = sorted(float(p.pts * p.time_base) for p in container.demux(video=0) if p.pts is not None)
    assert np.allclose(got, times, atol=1e-4)


def test_unknown_motion():
    with pytest.raises(UnknownNameError, match="Did you mean 'clockwise'"):
        render_motion("clokwise", np.random.default_rng(0))
