"""One picture of a video's motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marey.errors import SegmentError
from marey.video.flow.methods import Flow, compute_flow
from marey.video.flow.picture import write_flow_picture
from marey.video.reader import VideoReader, open_video

_LOOKED_AT = 12  # pairs of frames in each place


def show_flow(
    video: str | Path,
    png: str | Path,
    *,
    method: str = "dis-medium",
    size: int | None = 256,
    weights: str | Path | None = None,
    moments: int = 4,
) -> Path:
    """Write a PNG of the motion at a few moments spread over a video: arrows above, colours below.

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
        first = _liveliest(reader, moments)
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


def _liveliest(reader: VideoReader, moments: int) -> NDArray[np.intp]:
    """In each of `moments` places spread over the video, of a few pairs of frames the one that changes most.

    Much footage holds frames twice (15 a second, encoded at 30): between such a pair nothing moves.
    """
    count = len(reader.times) - 1
    starts = np.unique((np.arange(moments) / moments * count).astype(int))
    chosen = []
    for start, stop in zip(starts, [*starts[1:], count], strict=True):
        middle = max(start, (start + stop - _LOOKED_AT) // 2)
        indices = np.arange(middle, min(middle + _LOOKED_AT, stop) + 1)
        gray = reader.frames_at(reader.times[indices], size=64, decode="gray").frames.astype(np.int16)
        change = np.abs(np.diff(gray, axis=0)).mean(axis=(1, 2, 3))
        chosen.append(middle + int(change.argmax()))
    return np.array(chosen)
