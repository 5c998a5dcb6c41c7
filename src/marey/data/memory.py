"""Decoded frames of short videos, held in memory between epochs. NumPy only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from marey.data.clips import Opener, resized
from marey.data.instants import ClipReader
from marey.spec import InputSpec
from marey.types import Clip, FloatArray, UInt8Array
from marey.video.known import open_known
from marey.video.picture import Box, Decode, Size, box_slices
from marey.video.reader import Truncated, VideoInfo, frames_shown

_CHANNELS = 3
_LARGEST_SHARE = 8  # no single video may take more than this part of the memory


@dataclass(frozen=True, eq=False)
class _Held:
    """All frames of one video at one size, and what its reader knew."""

    info: VideoInfo
    times: FloatArray
    keyframes: FloatArray
    frames: UInt8Array


class FrameMemory:
    """An `Opener` that keeps whole short videos at the size that a spec crops from.

    Every frame is kept, not the clip, so that another epoch can choose other times: the result is bit-equal to
    decoding again. Memory fills up to the limit and then stays as it is: with every video asked for once an
    epoch, throwing one out for another would save nothing. A video that does not fit is decoded each time.

    Args:
        limit: bytes of frames to hold at most.
        spec: its `resize` and `size` set the size of the frames.
        opener: where readers come from.
    """

    def __init__(self, limit: int, spec: InputSpec, opener: Opener = open_known) -> None:
        self.limit = limit
        self.used = 0
        self._spec = spec
        self._opener = opener
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    @contextmanager
    def __call__(self, path: str, *, truncated: Truncated) -> Iterator[ClipReader]:
        held = self._held.get(path)
        if held is not None:
            yield _HeldReader(held, self._opener, truncated)
            return
        with self._opener(path, truncated=truncated) as reader:
            height, width = resized(reader.info.height, reader.info.width, self._spec)
            size = len(reader.times) * height * width * _CHANNELS
            if self.used + size > self.limit or size > self.limit // _LARGEST_SHARE:
                yield reader
                return
            frames = reader.frames_at(reader.times, size=(height, width)).frames
            held = _Held(reader.info, reader.times, reader.keyframes, frames)
        self._held[path] = held
        self.used += frames.nbytes
        yield _HeldReader(held, self._opener, truncated)


class _HeldReader:
    """A `ClipReader` out of memory."""

    def __init__(self, held: _Held, opener: Opener, truncated: Truncated) -> None:
        self._held, self._opener, self._truncated = held, opener, truncated
        self.info, self.times, self.keyframes = held.info, held.times, held.keyframes

    def frames_at(
        self, times: ArrayLike, *, size: Size = None, decode: Decode = "rgb", box: Box | None = None
    ) -> Clip:
        held = self._held
        if decode != "rgb" or size != held.frames.shape[1:3]:
            with self._opener(held.info.path, truncated=self._truncated) as reader:
                return reader.frames_at(times, size=size, decode=decode, box=box)
        index = frames_shown(held.times, held.info.end, times, Path(held.info.path))
        rows, columns = box_slices(box)
        return Clip(held.frames[:, rows, columns][index], held.times[index], np.ones(len(index), dtype=bool))
