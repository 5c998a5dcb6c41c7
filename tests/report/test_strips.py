from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marey.errors import VideoNotFoundError
from marey.report import strips
from tests.report.folders import write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("strips") / "walk.mp4"
    write_video(path, frames=20, width=64, height=48, fps=10)
    return path


def squares(strip: Image.Image, frames: int) -> list[float]:
    """Where the bright square stands in each frame, 0…1 of its width."""
    pixels = np.asarray(strip.crop((2, 2, strip.width, 98))).astype(int)
    width = (strip.width - 2) // frames
    found = []
    for i in range(frames):
        red = pixels[:, i * width : (i + 1) * width - 2, 0]
        found.append(float(np.nonzero(red > 150)[1].mean()) / (width - 2))
    return found


def test_the_square_walks_from_left_to_right(video):
    strip = strips.film_strip(video, frames=6)
    assert strip.size == (6 * 130 + 2, 96 + 4 + 18)
    at = squares(strip, 6)
    assert at == sorted(at)
    assert at[-1] - at[0] > 0.5


def test_only_the_stretch_and_only_what_the_sampler_chose(video):
    whole = squares(strips.film_strip(video, frames=4), 4)
    part = squares(strips.film_strip(video, start=0.0, end=0.6, frames=4), 4)
    assert max(part) < 0.45 < max(whole)
    sampled = strips.film_strip(video, sampler={"name": "uniform", "n": 3})
    assert sampled.width == 3 * 130 + 2
    short = strips.film_strip(video, start=0.0, end=0.2, sampler={"name": "uniform", "n": 8})
    assert short.width == 2 * 130 + 2  # two frames are in it; the padding is not shown


def test_a_sampler_that_looks_at_motion_falls_back_to_even_steps(video):
    strip = strips.film_strip(video, sampler={"name": "keyframes", "n": 4, "by": "motion"}, frames=5)
    assert strip.width == 5 * 130 + 2


def test_grey_frames_and_times():
    strip = strips.draw_strip(np.full((2, 48, 64, 1), 200, np.uint8), np.array([0.0, 0.04]))
    assert strip.size == (2 * 66 + 2, 48 + 4 + 18)
    assert np.asarray(strip)[20, 20].tolist() == [200] * 3
    assert np.asarray(strip)[-16:].max() > 150  # the times are written


def test_what_fails_is_drawn_as_a_stated_blank(tmp_path):
    with pytest.raises(VideoNotFoundError):
        strips.film_strip(tmp_path / "none.mp4")
    image, error = strips.strip_or_placeholder(tmp_path / "none.mp4")
    assert error is not None
    assert "none.mp4" in error
    assert image.height == strips.HEIGHT
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 50)
    image, error = strips.strip_or_placeholder(broken, sampler={"name": "no such sampler"})
    assert error
    assert strips.jpeg(image)[:2] == b"\xff\xd8"
    long = strips.placeholder("word " * 300 + "x" * 500)
    assert long.size == strips.placeholder("short").size


def test_the_sampler_of_a_run(tmp_path):
    from safetensors.numpy import save_file

    assert strips.run_sampler(tmp_path, {}) is None
    assert strips.run_sampler(tmp_path, {"protocol": {"sampler": {"name": "uniform", "n": 4}}})["n"] == 4
    (tmp_path / "weights").mkdir()
    about = '{"spec": {"sampler": {"name": "dense", "n": 8}}}'
    save_file({"w": np.zeros(1)}, tmp_path / "weights" / "best.safetensors", metadata={"marey": about})
    assert strips.run_sampler(tmp_path, {})["name"] == "dense"
    (tmp_path / "weights" / "best.safetensors").write_bytes(b"damaged")
    assert strips.run_sampler(tmp_path, {}) is None
