"""The second decoder against the first. Where torchcodec or its FFmpeg is not here, the error says so."""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest

from marey.errors import ForbiddenFormatError, MissingExtraError, SegmentError, VideoError
from marey.video import VideoReader, open_video
from tests.video.encoded import encode


@functools.cache
def _loads() -> bool:
    """In a process of its own: a library that does not load can leave threads and half its symbols behind."""
    code = "import torchcodec.decoders"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def torchcodec():
    if not _loads():
        pytest.skip("torchcodec or FFmpeg's shared libraries are not here")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torchcodec")
    return encode(folder / "a.mp4", options={"x264-params": "keyint=12:bframes=3:open-gop=1"}, rotate=90)


@pytest.mark.usefixtures("torchcodec")
def test_both_decoders_give_the_same(path):
    rng = np.random.default_rng(0)
    with open_video(path) as one, open_video(path, decoder="torchcodec") as other:
        assert isinstance(other, VideoReader)
        assert other.info == one.info
        np.testing.assert_array_equal(other.times, one.times)
        np.testing.assert_array_equal(other.keyframes, one.keyframes)
        for _ in range(5):
            times = one.times[rng.integers(0, len(one.times), 7)] + 0.01
            a, b = one.frames_at(times), other.frames_at(times)
            np.testing.assert_array_equal(a.frames, b.frames)
            np.testing.assert_array_equal(a.times, b.times)
        small, also = one.frames_at(times, size=32), other.frames_at(times, size=32)
        assert small.frames.shape == also.frames.shape
        assert abs(small.frames.astype(int) - also.frames).mean() < 12, "torch keeps finer chroma"
        gray = one.frames_at(times, decode="gray").frames, other.frames_at(times, decode="gray").frames
        assert gray[0].shape == gray[1].shape
        assert abs(gray[0].astype(int) - gray[1]).mean() < 2
        assert other.frames_at([]).frames.shape == one.frames_at([]).frames.shape
        with pytest.raises(SegmentError):
            other.frames_at([other.info.end])
        assert repr(other) == f"TorchCodecReader({one.info!r})"


@pytest.mark.usefixtures("torchcodec")
def test_playlists_are_refused_here_too(tmp_path, path):
    (tmp_path / "x.mp4").write_text(f"ffconcat version 1.0\nfile {path}\n")
    with pytest.raises(ForbiddenFormatError):
        open_video(tmp_path / "x.mp4", decoder="torchcodec")


def test_what_is_missing_is_said(path):
    if _loads():
        pytest.skip("nothing is missing here")
    with pytest.raises((VideoError, MissingExtraError), match=r"marey\[torchcodec\]|FFmpeg"):
        open_video(path, decoder="torchcodec")
