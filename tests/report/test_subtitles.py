"""Subtitles as another reader has them: FFmpeg's, through PyAV."""

from __future__ import annotations

import html
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marey.report import subtitles
from marey.types import Segment

AWKWARD = 'a --> b & <script>\n\n"ü" 取る'


def read(path: Path, text: str) -> list[tuple[float, float, str]]:
    path.write_text(text, encoding="utf-8")
    with av.open(str(path)) as file:
        stream = file.streams.subtitles[0]
        return [
            (
                float(p.pts * stream.time_base),
                float((p.pts + p.duration) * stream.time_base),
                bytes(p).decode(),
            )
            for p in file.demux(stream)
            if p.size
        ]


def test_vtt_holds_overlapping_actions_as_they_are(tmp_path):
    segments = [
        Segment(1.25, 4.5, "open", 0.91),
        Segment(2.0, 3.0, AWKWARD),
        Segment(3600.0, 3723.042, "late", 0.5),
    ]
    text = subtitles.vtt(segments, begins=0.0, end=4000.0, title="a --> b")
    assert read(tmp_path / "x.vtt", text)[0] == (1.25, 4.5, "open · 91%")
    found = [(start, end, html.unescape(label)) for start, end, label in read(tmp_path / "x.vtt", text)]
    assert found[1] == (2.0, 3.0, 'a --> b & <script> "ü" 取る')
    assert found[2] == (3600.0, 3723.042, "late · 50%")
    assert "01:00:00.000 --> 01:02:03.042" in text
    assert all(line.count("-->") <= 1 for line in text.splitlines())
    assert "<" not in text.replace("-->", "")


def test_srt_has_one_cue_where_several_run(tmp_path):
    segments = [Segment(1.0, 4.0, "open", 0.9), Segment(2.0, 3.0, AWKWARD)]
    found = read(tmp_path / "x.srt", subtitles.srt(segments, begins=0.0, end=5.0))
    assert [(start, end) for start, end, _ in found] == [(1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]
    assert found[1][2].splitlines() == ['a --› b & ‹script› "ü" 取る', "open · 90%"]


def test_times_are_those_of_a_player_and_stay_within_the_video():
    segments = [
        Segment(8.2, 9.0, "before"),  # begins before the video
        Segment(11.9, 30.0, "after"),
        Segment(3.0, 8.0, "never"),
        Segment(12.5, 13.0, "never"),
        Segment(10.0, 10.0, "moment"),
    ]
    cues = subtitles.cues(segments, begins=8.333, end=12.0)
    assert [(first, last, s.label) for first, last, (s,) in cues] == [
        (0, 667, "before"),
        (1667, 2167, "moment"),  # half a second, so that it is seen
        (3167, 3667, "after"),  # and that within the video
    ]
    assert [subtitles.outside(s, begins=8.333, end=12.0) for s in segments] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert subtitles.vtt([], begins=0.0, end=1.0) == "WEBVTT\n"
    assert subtitles.srt([], begins=0.0, end=1.0) == ""


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(2, 20), st.sampled_from("abc")), max_size=8
    )  # quarters of a second
)
def test_srt_says_at_every_moment_what_runs(rows):
    segments = [Segment(start / 4, (start + length) / 4, label) for start, length, label in rows]
    cues = subtitles.stretches(segments, begins=0.0, end=100.0)
    assert all(cue[1] <= after[0] for cue, after in pairwise(cues))
    for moment in range(130, 16_000, 250):
        said = {s.label for first, last, shown in cues for s in shown if first <= moment < last}
        assert said == {s.label for s in segments if s.start <= moment / 1000 < s.end}


@pytest.mark.parametrize("gap", [0.001, 0.05, 0.099])
def test_srt_does_not_flicker(gap):
    segments = [Segment(0.0, 2.0 + gap, "a"), Segment(2.0, 4.0, "b")]
    lengths = [last - first for first, last, _ in subtitles.stretches(segments, begins=0.0, end=9.0)]
    assert min(lengths) >= 100
