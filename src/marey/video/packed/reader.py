"""A `VideoReader` over a shard: frames out of a memory-mapped file, nothing decoded."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marey.errors import UsageError
from marey.types import Clip, FloatArray, UInt8Array
from marey.video.index import FrameIndex
from marey.video.packed.held import HELD
from marey.video.packed.names import shard_number
from marey.video.packed.shard import Packed, shard
from marey.video.picture import Box, Decode, Orientation, Painter, Size, box_slices, target_size
from marey.video.reader import VideoInfo, average_rate, frames_shown


class PackedReader:
    """Frames at the size of the pack come as they lie there, without a copy where they are evenly spaced.
    Other sizes are scaled from it, gray is made of its colours.

    Raises:
        VideoNotFoundError: there is no such video in the shard.
        DataError: the shard is damaged.
    """

    def __init__(self, path: Path, *, track: int | None = None) -> None:
        self.path = path
        if track:
            raise UsageError("a packed video has one track, 0.", where=str(path))
        self._video: Packed | None = HELD.get(path)
        self._shard = shard(
            path.parent
        )  # of this opening: a file that is written over from now on is refused

    @property
    def video(self) -> Packed:
        """What is mapped."""
        assert self._video is not None, "the reader is closed"
        return self._video

    @cached_property
    def _frames(self) -> UInt8Array:
        """Frames that are the caller's own: torch wants arrays that can be written to, and what is written must not be
        seen by whoever opens the video next."""
        number = shard_number(self.path)
        assert number is not None
        return self._shard.video(number).frames

    @cached_property
    def info(self) -> VideoInfo:
        video = self.video
        about, times, end = video.about, video.times, float(video.about["end"])
        return VideoInfo(
            path=str(self.path), container="marey", codec="rawvideo", pix_fmt="rgb24",
            width=video.frames.shape[2], height=video.frames.shape[1], frames=len(times),
            start=float(times[0]), end=end, fps=average_rate(times, end),
            variable_rate=bool(about["variable_rate"]), rotation=0, mirrored=False,
            pixel_aspect=float(about["pixel_aspect"]), track=0, video_tracks=1, audio_tracks=0,
            frames_listed=len(times),
        )  # fmt: skip

    @property
    def times(self) -> FloatArray:
        return self.video.times

    @property
    def keyframes(self) -> FloatArray:
        return self.video.times[self.video.keyframes]

    @property
    def index(self) -> FrameIndex:
        video = self.video
        numbers = np.arange(len(video.times))
        every = np.zeros(len(numbers), np.int64)
        return FrameIndex(
            times=video.times, pts=numbers, keyframe=video.keyframes, packet=numbers, entry=numbers,
            end=self.info.end, packet_pts=numbers, packet_pos=every, packet_size=every,
            droppable=np.ones(len(numbers), bool), reorder=0, listed=len(numbers), verified=True,
        )  # fmt: skip

    def frames_at(
        self, times: ArrayLike, *, size: Size = None, decode: Decode = "rgb", box: Box | None = None
    ) -> Clip:
        video = self.video
        index = frames_shown(video.times, self.info.end, times, self.path)
        height, width = target_size(size, *video.frames.shape[1:3])
        if decode == "rgb" and (height, width) == video.frames.shape[1:3]:
            rows, columns = box_slices(box)
            frames = self._frames[_as_slice(index)] if box is None else video.frames[:, rows, columns][index]
        else:
            frames = _scaled(video.frames, index, (height, width), decode, box)
        return Clip(frames=frames, times=video.times[index], mask=np.ones(len(index), bool))

    def close(self) -> None:
        self._video = None
        self.__dict__.pop("_frames", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PackedReader({self.info!r})"


def _as_slice(index: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """The same choice as a slice, where there is one: then nothing is copied."""
    steps = np.diff(index)
    if not len(index) or (len(steps) and (steps[0] < 1 or (steps != steps[0]).any())):
        return index
    step = int(steps[0]) if len(steps) else 1
    return slice(int(index[0]), int(index[-1]) + 1, step)


def _scaled(
    frames: UInt8Array, index: NDArray[np.intp], size: tuple[int, int], decode: Decode, box: Box | None
) -> UInt8Array:
    import av

    painter = Painter()
    cut = size if box is None else box[2:]
    out = np.empty((len(index), *cut, 1 if decode == "gray" else 3), np.uint8)
    done: dict[int, int] = {}
    for slot, number in enumerate(index.tolist()):
        if number in done:
            out[slot] = out[done[number]]
            continue
        picture: Any = av.VideoFrame.from_ndarray(frames[number], format="rgb24")
        painter.paint(picture, out[slot], decode, Orientation(), size, box)
        done[number] = slot
    return out
