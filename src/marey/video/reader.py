"""`open_video`: exact frames of a video file, by time.

    with open_video("fight.mp4") as video:
        video.info                                   # size, codec, exact frame count, start, end
        video.times                                  # every frame's time in seconds
        video.frames_at([0.5, 1.0], size=128)        # Clip: the frames shown at those times

Frames are bit-equal to decoding the whole file in order and picking, whatever is asked for in whatever order.
Nothing is computed from an average frame rate.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marey.errors import ConfigError, SegmentError, UnknownNameError
from marey.types import BoolArray, Clip, FloatArray
from marey.video.packed.names import FRAMES, TAR, inside

if TYPE_CHECKING:
    from marey.video.index import FrameIndex
    from marey.video.picture import Box, Decode, Size

Truncated = Literal["error", "use-prefix"]

DECODERS = ("pyav", "torchcodec")
MAX_PIXELS = 7680 * 4320
"""Pixels a frame that are decoded unless more is asked for: 8K. Larger pictures take more than 1 GiB."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video is. Times are seconds on the video's own clock.

    Attributes:
        path: the file.
        container: FFmpeg's name of the format ("mov,mp4,m4a,3gp,3g2,mj2").
        codec: FFmpeg's name of the codec ("h264", "av1").
        pix_fmt: FFmpeg's name of the stored pixel format ("yuv420p10le").
        width, height: pixels of the *upright* frame.
        frames: exact number of frames that can be had.
        start: the first frame's time; need not be 0.
        end: the last frame's time and its own duration. The video is `[start, end)`.
        fps: average frames a second. For people: nothing is computed from it.
        variable_rate: whether the intervals between frames differ by more than the clock's rounding.
        rotation: degrees clockwise by which the stored picture was turned to be upright: 0, 90, 180, 270.
        mirrored: whether it was mirrored besides (selfie cameras).
        pixel_aspect: width of a stored pixel over its height. Frames are not stretched by it.
        track: the video track read, from 0.
        video_tracks, audio_tracks: how many there are; cover pictures are not counted.
        frames_listed: frames that the container lists. More than `frames` only with `truncated="use-prefix"`.
    """

    path: str
    container: str
    codec: str
    pix_fmt: str
    width: int
    height: int
    frames: int
    start: float
    end: float
    fps: float
    variable_rate: bool
    rotation: int
    mirrored: bool
    pixel_aspect: float
    track: int
    video_tracks: int
    audio_tracks: int
    frames_listed: int

    @property
    def duration(self) -> float:
        """Seconds from the first frame's time to the end of the last frame."""
        return self.end - self.start

    @property
    def truncated(self) -> bool:
        """Whether frames that the container lists are left out because the file is damaged."""
        return self.frames < self.frames_listed

    def __repr__(self) -> str:
        rate = f"{self.fps:.3g} fps{' (variable)' if self.variable_rate else ''}"
        turned = f", turned {self.rotation}°" if self.rotation else ""
        turned += ", mirrored" if self.mirrored else ""
        of = f" of {self.frames_listed}" if self.truncated else ""
        return (
            f"VideoInfo({Path(self.path).name}: {self.width}×{self.height} {self.codec} {self.pix_fmt}, "
            f"{self.frames}{of} frames, {self.start:.3f}–{self.end:.3f} s, {rate}{turned})"
        )


@runtime_checkable
class VideoReader(Protocol):
    """An open video. A context manager; not to be shared between threads."""

    @property
    def info(self) -> VideoInfo: ...

    @property
    def times(self) -> FloatArray:
        """float64 (N,): every frame's presentation time in seconds, ascending, on the video's own clock."""
        ...

    @property
    def keyframes(self) -> FloatArray:
        """float64 (K,): times of the frames that the container marks as keyframes."""
        ...

    @property
    def index(self) -> FrameIndex:
        """The frame table; can be pickled and given to `open_video(index=)` the next time."""
        ...

    def frames_at(
        self, times: ArrayLike, *, size: Size = None, decode: Decode = "rgb", box: Box | None = None
    ) -> Clip:
        """The frames *shown* at `times`: for each the last frame whose own time is not later.

        Args:
            times: seconds (T,), in any order, repeats allowed, all in `[info.start, info.end)`.
            size: None for the video's own size, an int for the short side (the aspect is kept), or exactly
                `(height, width)`; of the upright frame.
            decode: "rgb" or "gray" (luma, full range).
            box: (top, left, height, width) of the picture at that size, all of it inside: nothing else is
                copied. The pixels are those of cutting it out afterwards.

        Returns:
            A `Clip` of uint8 (T, H, W, 3 or 1) with each frame's own time; the mask is all True.

        Raises:
            SegmentError: a time lies outside the video.
            TruncatedVideoError, UndecodableVideoError: the file is damaged where the frames come from.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_video(
    path: str | os.PathLike[str],
    *,
    decoder: str = "pyav",
    truncated: Truncated = "error",
    max_pixels: int = MAX_PIXELS,
    track: int | None = None,
    threads: int = 1,
    index: FrameIndex | None = None,
) -> VideoReader:
    """Open a video file.

    Args:
        path: a regular file, or a video inside a shard or a tar (`marey.video.packed`). Taken for a file's name and
            never for an address, but for a video inside a tar: `s3://bucket/x.tar/fight.mp4` (the extra `remote`).
        decoder: "pyav", or "torchcodec" (an extra).
        truncated: what to do with a file of which fewer frames decode than its container lists. "error" raises
            as soon as it shows: while opening where the container tells, otherwise when frames are asked for
            that the damage reaches. "use-prefix" decodes the file once while opening, keeps the frames before
            the first damage, logs a warning and says so in `info.frames_listed`.
        max_pixels: refuse larger frames (width × height) before decoding any.
        track: the video track, from 0; the first by default.
        threads: decoder threads. One takes the least CPU time; 0 is one a core.
        index: the `.index` of an earlier reader of the same file and track, to spare reading it again.

    Raises:
        VideoNotFoundError, NotAVideoFileError, ForbiddenFormatError, EmptyVideoError, NoVideoTrackError,
        EncryptedVideoError, UndecodableVideoError, TruncatedVideoError, VideoTooLargeError
    """
    if truncated not in ("error", "use-prefix"):
        raise ConfigError(f'truncated={truncated!r} is not a policy; give "error" or "use-prefix".')
    if threads < 0 or max_pixels < 1:
        raise ConfigError(
            f"threads={threads} and max_pixels={max_pixels} must not be negative, nor max_pixels 0."
        )
    if decoder not in DECODERS:
        raise UnknownNameError("decoder", decoder, DECODERS)
    make: Callable[..., VideoReader]
    kind = inside(os.fspath(path))
    if kind == FRAMES:
        from marey.video.packed.reader import PackedReader

        return PackedReader(Path(path), track=track)
    if kind == TAR:
        from marey.video.packed.tar import TarReader

        return TarReader(
            os.fspath(path), decoder=decoder, truncated=truncated, max_pixels=max_pixels, track=track,
            threads=threads, index=index,
        )  # fmt: skip
    if decoder == "torchcodec":
        from marey.video.torchcodec import TorchCodecReader

        make = TorchCodecReader
    else:
        from marey.video.pyav import PyAVReader

        make = PyAVReader
    return make(
        Path(path), truncated=truncated, max_pixels=max_pixels, track=track, threads=threads, index=index
    )


def frames_shown(frame_times: FloatArray, end: float, times: ArrayLike, path: Path) -> NDArray[np.intp]:
    """The frame shown at each time: the last whose own time is not later.

    Raises:
        SegmentError: a time lies outside `[frame_times[0], end)`, or is not a number.
    """
    asked = np.asarray(times, np.float64)
    if asked.ndim != 1:
        raise SegmentError(f"times must be a list of seconds, not of shape {asked.shape}.", where=str(path))
    outside = ~((asked >= frame_times[0]) & (asked < end))
    if outside.any():
        raise SegmentError(
            f"{asked[outside][0]:g} s lies outside the video, which is [{frame_times[0]:.3f}, {end:.3f}) s.",
            f"{int(outside.sum())} of {len(asked)} times lie outside.",
            where=str(path),
        )
    return np.searchsorted(frame_times, asked, side="right") - 1


def has_variable_rate(times: FloatArray, tick: float) -> bool:
    """Whether the intervals differ by more than rounding to the clock's tick explains.

    One tick of difference is rounding where a tick is a small part of the interval (a 1 ms clock at 30 fps);
    where a tick *is* a frame, it is a frame left out.
    """
    gaps = np.diff(times)
    if len(gaps) < 2:
        return False
    spread = float(gaps.max() - gaps.min())
    allowed = 1.5 * tick if tick < 0.2 * float(np.median(gaps)) else 0.5 * tick
    return spread > allowed


def average_rate(times: FloatArray, end: float) -> float:
    """Frames a second over the whole video."""
    span = end - float(times[0])
    return len(times) / span if span > 0 else 0.0


def keyframe_times(times: FloatArray, keyframe: BoolArray) -> FloatArray:
    """The times of the frames that are keyframes."""
    return times[keyframe]
