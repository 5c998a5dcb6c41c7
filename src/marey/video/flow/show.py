"""One picture of a video's motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from marey.errors import SegmentError
from marey.video.flow.methods import Flow, compute_flow
from marey.video.flow.picture import write_flow_picture
from marey.video.reader import open_video


def show_flow(
    video: str | Path,
    png: str | Path,
    *,
    method: str = "dis-medium",
    size: int | None = 256,
    weights: str | Path | None = None,
    moments: int = 4,
) -> Path:
    """Write a PNG of the motion at a few moments spread evenly over a video: arrows above, colours below.

    Args:
        video: a video file.
        png: where to.
        method, weights: as in `compute_flow`.
        size: short side in pixels to which frames are scaled first; None keeps them as they are.
        moments: how many pairs of neighbouring frames are shown at most.

    Raises:
        SegmentError: the video has a single frame.
    """
    with open_video(video) as reader:
        count = len(reader.times) - 1
        if count < 1:
            raise SegmentError("there is one frame here; flow needs two at least.", where=str(video))
        first = np.unique(((np.arange(moments) + 0.5) / moments * count).astype(int))
        times = reader.times[np.stack([first, first + 1], axis=1).ravel()]
        frames = reader.frames_at(times, size=size).frames
    pairs = [
        compute_flow(frames[2 * n : 2 * n + 2], times[2 * n : 2 * n + 2], method, weights=weights)
        for n in range(len(first))
    ]
    flow = Flow(np.concatenate([p.fields for p in pairs]), np.concatenate([p.intervals for p in pairs]))
    titles = [
        f"{t:.2f} s, {1000 * seconds:.0f} ms apart, {method}"
        for t, seconds in zip(times[::2], flow.intervals, strict=True)
    ]
    return write_flow_picture(png, frames[::2], flow, titles=titles, columns=moments)
