"""The MP4 for people: every frame, at its own time, upright, with its sound."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from marey.video import open_video
from marey.video.players import open_readable, playing, plays_in_browser
from marey.video.redrawn import LARGEST, redraw, scaled
from tests.shared import SHARED, needs_shared
from tests.video.encoded import encode

PTS = [0, 40, 80, 200, 240, 300, 1000, 1033, 1066, 1100]  # milliseconds


def annotate(source: Path, out: Path) -> tuple[list[str], list[float]]:
    """Redraw with a grey band below; what was said, and the times at which frames were drawn."""
    seen = playing(source)
    height, width = scaled(seen.info)
    canvas = height + 20 + height % 2, width + width % 2
    said: list[str] = []
    times: list[float] = []

    def draw(picture, time):
        assert picture.shape == (height, width, 3)
        times.append(time)
        board = np.full((*canvas, 3), 128, np.uint8)
        board[:height, :width] = picture
        return board

    assert redraw(source, out, draw, canvas=canvas, playing=seen, say=said.append) == out
    assert sorted(p.name for p in out.parent.iterdir() if p.name.startswith(".")) == []
    return said, times


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as file:
        return [bytes(p) for p in file.demux(file.streams.get({kind: 0})) if p.size]


@pytest.mark.parametrize("first", [0, 8333])
def test_a_variable_rate_stays(tmp_path, first):
    source = encode(tmp_path / "a.mkv", count=10, pts=[first + t for t in PTS], time_base=Fraction(1, 1000))
    said, times = annotate(source, tmp_path / "out.mp4")
    with open_video(source) as before, open_video(tmp_path / "out.mp4") as after:
        assert after.info.variable_rate
        assert times == before.times.tolist()
        np.testing.assert_allclose(after.times, before.times - first / 1000, atol=1e-9)
        assert after.info.end == pytest.approx(before.info.end - first / 1000, abs=1e-3)
        assert (after.info.codec, after.info.pix_fmt) == ("h264", "yuv420p")
        height, width = scaled(before.info)
        a = before.frames_at(before.times, size=(height, width)).frames.astype(float)
        b = after.frames_at(after.times).frames[:, :height, :width].astype(float)
    assert np.abs(a - b).mean() < 8  # the same pictures, in order; next ones differ by more
    assert np.abs(a[1:] - b[:-1]).mean() > 12
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert plays_in_browser(playing(tmp_path / "out.mp4").info, ".mp4")
    assert said == []


def test_turned_videos_come_out_upright_and_sound_is_taken_over(tmp_path):
    source = encode(tmp_path / "a.mp4", count=50, rotate=90, audio=True)
    said, _ = annotate(source, tmp_path / "out.mp4")
    with open_video(source) as before, open_video(tmp_path / "out.mp4") as after:
        assert before.info.rotation == 270
        assert after.info.rotation == 0
        assert (after.info.width, after.info.height) == (428, 640 + 20)
        assert after.info.audio_tracks == 1
    assert packets(tmp_path / "out.mp4", "audio") == packets(source, "audio")
    assert said == []


def test_sound_that_an_mp4_does_not_hold_is_left_out_and_said(tmp_path):
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as out:
        pictures, sound = out.add_stream("libx264", rate=10), out.add_stream("pcm_s16le", rate=8000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound.layout = "mono"
        for _ in range(10):
            out.mux(
                pictures.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24"))
            )
        out.mux(pictures.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        silence.sample_rate = 8000
        out.mux(sound.encode(silence))
        out.mux(sound.encode(None))
    said, _ = annotate(source, tmp_path / "out.mp4")
    assert said == [f"{source}: an MP4 does not hold pcm_s16le sound; the annotated video has none."]
    with open_video(tmp_path / "out.mp4") as after:
        assert (after.info.audio_tracks, after.info.frames) == (0, 10)


def test_it_ends_before_damage(tmp_path):
    source = encode(tmp_path / "a.mp4", count=40, gop=10, bframes=0)
    with open_video(source) as reader:
        at = int(reader.index.packet_pos[25])
    content = bytearray(source.read_bytes())
    content[at + 4 : at + 40] = bytes(36)
    source.write_bytes(content)
    with open_readable(source) as reader, pytest.raises(Exception, match="decoded"):
        reader.frames_at(reader.times)
    said, times = annotate(source, tmp_path / "out.mp4")
    with open_video(tmp_path / "out.mp4") as after:
        assert after.info.frames == len(times) < 40
    assert said == [
        f"{source}: the file is damaged; the annotated video ends with the {len(times)} frames before the damage."
    ]


def test_sizes_are_even_and_within_limits(tmp_path):
    for height, width in ((50, 50), (41, 77)):
        source = encode(
            tmp_path / f"{height}.mkv", "ffv1", count=2, height=height, width=width, pix_fmt="bgr0"
        )
        annotate(source, tmp_path / f"{height}.mp4")
    info = playing(source).info
    assert scaled(info) == (341, 640)
    wide = type(info)(**{**vars(info), "width": 3840, "height": 2160, "pixel_aspect": 1.5})
    assert scaled(wide) == (round(2160 * LARGEST / 5760), LARGEST)


@needs_shared
def test_real_videos(tmp_path):
    for name in ("torchcodec/test_non_zero_start.mp4", "decord/video_270.mov", "torchcodec/animated.gif"):
        source = SHARED / "videos" / name
        out = tmp_path / "out.mp4"
        annotate(source, out)
        with open_video(source) as before, open_video(out) as after:
            np.testing.assert_allclose(after.times, before.times - playing(source).begins, atol=1e-6)
    shutil.copyfile(source, tmp_path / "a.mp4")
    assert not playing(tmp_path / "a.mp4").in_browser  # a GIF by any name
    assert playing(SHARED / "videos/torchcodec/test_non_zero_start.mp4").begins == pytest.approx(
        8.333, abs=1e-3
    )
    mkv = playing(SHARED / "videos/decord/flipping_a_pancake.mkv")
    assert (mkv.begins, mkv.in_browser) == (0.0, False)
