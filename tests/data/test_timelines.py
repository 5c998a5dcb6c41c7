"""Rows of segments as timelines, and what is wrong with them, named by row."""

from __future__ import annotations

import numpy as np
import pytest

from marey.data.manifest import Manifest
from marey.data.timelines import label_windows, timelines
from marey.errors import ManifestError, SegmentError


def manifest(tmp_path, text: str) -> Manifest:
    path = tmp_path / "segments.csv"
    path.write_text(text)
    return Manifest.read(path, files=False)


ROWS = """path,label,start,end,split
a.mp4,open,1,2.5,train
a.mp4,take|hold,2,6,train
b.mp4,background,,,val
a.mp4,open,8,,train
"""


def test_one_timeline_a_video(tmp_path):
    names, (a, b) = timelines(manifest(tmp_path, ROWS))
    assert names == ("hold", "open", "take")
    assert a.segments.tolist() == [[1, 2.5], [2, 6], [2, 6], [8, np.inf]]
    assert [names[i] for i in a.labels] == ["open", "take", "hold", "open"]
    assert (a.split, b.split, len(b)) == ("train", "val", 0)
    assert b.segments.shape == (0, 2)
    inside, cut = a.within(0.0, 10.0, slack=0.1)
    assert inside.segments[-1].tolist() == [8, 10]
    assert cut == 0
    assert b.within(0.0, 4.0, slack=0.1)[0].segments.shape == (0, 2)


def test_segments_outside_the_video_are_named(tmp_path):
    _, (a, _) = timelines(manifest(tmp_path, ROWS))
    inside, cut = a.within(0.0, 8.05, slack=0.1)
    assert cut == 0
    with pytest.raises(SegmentError, match=r"segments.csv line 5.*\n.*") as error:
        a.within(0.0, 7.0, slack=0.1)
    assert "lies outside the video, which lasts from 0.000 s to 7.000 s" in str(error.value)
    with pytest.raises(SegmentError, match=r"2\.000 s to 6\.000 s"):
        a.within(0.0, 5.0, slack=0.1)
    inside, cut = a.within(1.04, 20.0, slack=0.1)
    assert cut == 1
    assert inside.segments[0].tolist() == [1.04, 2.5]


def test_what_is_no_timeline(tmp_path):
    with pytest.raises(ManifestError, match="are in train and val"):
        timelines(manifest(tmp_path, "path,label,start,end,split\na.mp4,x,0,1,train\na.mp4,x,2,3,val\n"))
    with pytest.raises(ManifestError, match="no class but 'background'"):
        timelines(manifest(tmp_path, "path,label\na.mp4,background\n"))
    with pytest.raises(ManifestError, match="'y' is not a known class"):
        timelines(manifest(tmp_path, "path,label,start,end\na.mp4,y,0,1\n"), class_names=("x",))
    for bad, words in (("3,2", "reversed"), ("2,2", "empty"), ("-1,2", "negative")):
        with pytest.raises(ManifestError, match=words):
            manifest(tmp_path, f"path,label,start,end\na.mp4,x,{bad}\n")


def test_windows_hold_what_fills_half_of_them(tmp_path):
    _, (a, _) = timelines(manifest(tmp_path, ROWS))
    edges = np.array([[0, 1], [1, 2], [1.5, 2.5], [4, 8], [0, 10.0]])
    held = label_windows(a, edges, 3)
    assert (
        held.tolist()
        == [
            [False, False, False],
            [False, True, False],
            [True, True, True],
            [True, False, True],
            [False, True, False],  # the short one lies whole in the long window
        ]
        or held.tolist()
    )
