"""Small encoded videos and manifests of them."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from marey.data.manifest import Manifest
from marey.video.synthetic import render_motion, write_video

STEP = 8  # grey levels between neighbouring frames of a `ramp`


def ramp(frames, height=48, width=64):
    """Frame t is all of grey level 16 + STEP·t, so that a decoded picture tells which frame it is."""
    levels = (16 + STEP * np.arange(frames)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (frames, height, width, 3)).copy()


def frame_numbers(pixels):
    """Which frames of a ramp these are: (T, H, W, C) or (T, C, H, W)."""
    return np.round((np.asarray(pixels).reshape(len(pixels), -1).mean(1) - 16) / STEP).astype(int).tolist()


@pytest.fixture
def make_video(tmp_path):
    def make(name, pixels, **how):
        return str(write_video(tmp_path / name, pixels, **(how or {"fps": 25.0})))

    return make


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A folder of 12 moving clips, 9 to 20 frames long, two classes, and its manifest."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(5)
    rows = []
    for i in range(12):
        label = ("left", "right")[i % 2]
        frames = render_motion(label, rng, size=48, frames=9 + i, fps=12.0).frames
        write_video(folder / f"{i:02d}.mp4", frames, fps=12.0)
        rows.append((f"{i:02d}.mp4", label, "train" if i < 8 else "val", f"g{i // 2}"))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split", "group"), *rows])
    return Manifest.read(folder)


@pytest.fixture
def broken(clips, tmp_path):
    """The same manifest with sample 3 cut off in the middle of its bytes."""
    lines = []
    for row in range(len(clips)):
        sample = clips.sample(row)
        path = sample.path
        if row == 3:
            data = open(path, "rb").read()  # noqa: PTH123, SIM115
            path = tmp_path / "cut.mp4"
            path.write_bytes(data[: len(data) // 3])
        lines.append(f"{path},{sample.labels[0]}")
    file = tmp_path / "broken.csv"
    file.write_text("path,label\n" + "\n".join(lines))
    return Manifest.read(file)
