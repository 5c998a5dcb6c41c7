"""The picture of a video's motion."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from marey.errors import SegmentError
from marey.video.flow import show_flow
from marey.video.synthetic import write_video
from tests.video.moving import translation


def test_a_video_that_moves_left_is_shown_in_blue(tmp_path: Path) -> None:
    frames = translation([(-3.0 * k, 0) for k in range(6)], height=96, width=128)
    video = write_video(tmp_path / "left.mp4", frames, fps=20)
    picture = cv2.imread(str(show_flow(video, tmp_path / "left.png", size=None, moments=3)))
    assert picture is not None
    top, gap, height, width = 22, 6, 96, 128
    for column in range(3):
        left = gap + column * (width + gap)
        colours = picture[top + height + gap :, left : left + width][20:76, 20:108].reshape(-1, 3)
        blue, _, red = np.median(colours, axis=0)
        assert blue > 240
        assert red < 90
        frame = picture[top : top + height, left : left + width]
        assert np.abs(np.diff(frame.astype(int), axis=0)).mean() > 2  # the frame itself, with arrows on it


def test_one_frame_has_no_motion(tmp_path: Path) -> None:
    video = write_video(tmp_path / "one.mp4", translation([(0, 0)], height=64, width=64), fps=20)
    with pytest.raises(SegmentError, match="two at least"):
        show_flow(video, tmp_path / "one.png")
    assert not (tmp_path / "one.png").exists()
