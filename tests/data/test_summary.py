"""The summary counts what is there, opens every video, and lists what it cannot open."""

from __future__ import annotations

import json
import shutil

import pytest
from rich.console import Console

from marey.data.manifest import Manifest
from marey.data.summary import Spread, format_summary, summarise
from tests.data.conftest import ramp
from tests.shared import SHARED, needs_shared


def shown(summary):
    console = Console(width=110)
    with console.capture() as captured:
        console.print(format_summary(summary))
    return captured.get()


def test_numbers_of_good_clips(clips):
    calls = []
    s = summarise(clips, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (12, 12)
    assert (s.samples, s.videos, s.groups, s.sound) == (12, 12, 6, True)
    assert s.classes == {"left": 6, "right": 6}
    assert s.splits == {"train": {"left": 4, "right": 4}, "val": {"left": 2, "right": 2}}
    assert s.frames == Spread(9, 14.5, 14.5, 20, 174)
    assert s.video_seconds.total == pytest.approx(174 / 12)
    assert s.seconds.least == pytest.approx(9 / 12)
    assert s.rates == {"12": 12}
    assert s.sizes == {"48×48": 12}
    assert s.codecs == {"h264 yuv420p": 12}
    assert (s.variable_rate, s.rotated, s.with_audio) == (0, 0, 0)
    assert json.loads(json.dumps(s.to_dict()))["frames"]["total"] == 174
    text = shown(s)
    for part in (
        "12 in 12 videos, 2 classes",
        "train 8, val 4",
        "by group (6 groups)",
        "0.75 – 1.67 s",
        "48×48",
    ):
        assert part in text


def test_what_is_wrong_is_counted_and_listed(make_video, tmp_path, clips):
    make_video("a.mp4", ramp(10))
    make_video("b.mkv", ramp(10, 64, 48), times=[0, 0.1, 0.15, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    (tmp_path / "c.mp4").write_bytes(b"nothing of a video" * 10)
    shutil.copy(tmp_path / "a.mp4", tmp_path / "d.mp4")
    (tmp_path / "m.csv").write_text(
        "path,label,start,end,split,group\n"
        "a.mp4,x,0,0.2,train,p\na.mp4,x,0.2,5,train,p\nb.mkv,y,,,val,p\nc.mp4,y,,,val,q\nd.mp4,x,,,train,r\n"
    )
    s = summarise(Manifest.read(tmp_path / "m.csv"), workers=2)
    assert not s.sound
    assert (s.samples, s.videos) == (5, 4)
    assert [(f.where, f.kind) for f in s.unreadable] == [("m.csv line 5", "NoVideoTrackError")]
    assert [(f.where, f.kind) for f in s.outside] == [("m.csv line 3", "SegmentError")]
    assert s.leak
    assert "group 'p' is on both sides" in s.leak
    assert s.variable_rate == 1
    assert s.sizes == {"64×48": 2, "48×64": 1}
    assert s.splits["train"] == {"x": 3, "y": 0}
    text = shown(s)
    for part in ("1 unreadable videos", "1 segments outside", "1 of variable rate", "none", "m.csv line 5"):
        assert part in text


def test_nothing_can_be_read(tmp_path):
    (tmp_path / "c.mp4").write_bytes(b"nothing of a video" * 10)
    (tmp_path / "m.csv").write_text("path,label\nc.mp4,x\n")
    s = summarise(Manifest.read(tmp_path / "m.csv"))
    assert s.seconds is s.frames is None
    assert "1 of 1 videos" in shown(s)


@needs_shared
def test_real_clips():
    s = summarise(Manifest.read(SHARED / "data" / "fight" / "fight.csv"))
    assert s.sound
    assert (s.samples, s.groups) == (69, 18)
    assert 1.5 < s.seconds.median < 2.5
