"""Frames that overlapping windows share, decoded once and in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marey.types import Clip, FloatArray, UInt8Array
from marey.video.picture import Box, Decode, Size, box_slices
from marey.video.reader import VideoInfo, VideoReader, frames_shown


class ForwardReader:
    """Stands before a reader for someone who goes through the video once, in windows that overlap.

    A window that asks for frame 10 has frame 9 decoded on the way, where a later window will ask for it: the decoder
    never turns back. What lies before the window that is looked at is let go, so memory holds one window.

    Args:
        reader: an open video.
        wanted: int, the frames that will ever be asked for (as `frames_shown` numbers them), in any order.
    """

    def __init__(self, reader: VideoReader, wanted: NDArray[np.intp]) -> None:
        self._reader = reader
        self._wanted = np.unique(wanted)
        self._held: dict[int, UInt8Array] = {}
        self._asked: tuple[Size, Decode] | None = None
        self._next = 0  # into `wanted`: what was not decoded yet
        self.info: VideoInfo = reader.info
        self.times: FloatArray = reader.times
        self.keyframes: FloatArray = reader.keyframes

    def frames_at(
        self, times: ArrayLike, *, size: Size = None, decode: Decode = "rgb", box: Box | None = None
    ) -> Clip:
        """As `VideoReader.frames_at`; always of one size, and of wanted frames that were not let go."""
        assert self._asked in (None, (size, decode)), "one size, so that a frame is decoded once"
        self._asked = size, decode
        index = frames_shown(self.times, self.info.end, times, Path(self.info.path))
        stop = int(np.searchsorted(self._wanted, index.max(), side="right"))
        if stop > self._next:
            fresh = self._wanted[self._next : stop]
            clip = self._reader.frames_at(self.times[fresh], size=size, decode=decode)
            self._held.update(zip(fresh.tolist(), clip.frames, strict=True))
            self._next = stop
        rows, columns = box_slices(box)
        frames = np.stack([self._held[i][rows, columns] for i in index.tolist()])
        return Clip(frames, self.times[index], np.ones(len(index), dtype=bool))

    def forget(self, before: int) -> None:
        """Let go of the frames before this one."""
        for frame in [i for i in self._held if i < before]:
            del self._held[frame]
