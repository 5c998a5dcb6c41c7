"""Small H.264 movies for training: a keyframe every few frames, no frames that wait for later ones, and every
frame at its own time, so that any player shows them right and any few frames are decoded from near by."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from marey.errors import DataError
from marey.types import FloatArray, UInt8Array
from marey.video.index import FrameIndex
from marey.video.packed.names import as_file
from marey.video.reader import open_video

GOP = 8
"""Frames from one keyframe to the next."""
QUALITY = 17
"""x264's constant rate factor: at this one differences are hard to see."""
_MOST_TICKS = 2**31 - 1


def write_movie(
    file: BinaryIO,
    *,
    times: FloatArray,
    end: float,
    base: Fraction,
    size: tuple[int, int],
    chunks: Iterable[UInt8Array],
) -> None:
    """Encode frames into an MP4.

    Args:
        file: where to, seekable.
        times: `(N,)` seconds; kept exactly.
        end: seconds; where the last frame ends, kept to a tick.
        base: the clock's tick in seconds, from `clock`.
        size: (height, width), even numbers: H.264 halves the colours.
        chunks: uint8 `(n, H, W, 3)`, RGB.
    """
    import av

    ticks = _ticks(times, base)
    durations = np.diff(ticks, append=max(round(end / float(base)), int(ticks[-1]) + 1))
    number = {int(tick): i for i, tick in enumerate(ticks)}
    # the clock of the movie, besides that of the track, counts what comes before the first frame
    options = {"movie_timescale": str(base.denominator)}
    with av.open(file, "w", format="mp4", container_options=options) as out:
        stream: Any = out.add_stream("libx264", rate=25, options=_OPTIONS)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, base.denominator)
        stream.codec_context.thread_count = 1
        stream.codec_context.max_b_frames = 0
        stream.codec_context.gop_size = GOP

        def mux(packets: Iterable[Any]) -> None:
            for packet in packets:
                packet.duration = int(durations[number[packet.pts]])
                out.mux(packet)

        at = 0
        for frames in chunks:
            for picture in frames:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = int(ticks[at]), Fraction(1, base.denominator)
                mux(stream.encode(frame))
                at += 1
        mux(stream.encode(None))


# no arithmetic coding and no filter between blocks: larger files, of which decoding costs less
_OPTIONS = {
    "preset": "veryfast",
    "tune": "fastdecode",
    "crf": str(QUALITY),
    "x264-params": "scenecut=0:open-gop=0:threads=1",
}


def clock(index: FrameIndex) -> Fraction:
    """The tick that a video's times are multiples of.

    Raises:
        DataError: there is none that an MP4 can count in.
    """
    times, base = index.times, None
    far = int(np.abs(index.pts).argmax())
    if index.pts[far]:
        base = Fraction(float(times[far]) / int(index.pts[far])).limit_denominator(_MOST_TICKS)
    for tick in (base, Fraction(1, 90_000), Fraction(1, 1_000_000)):
        if tick is not None and tick > 0 and np.array_equal(_seconds(_ticks(times, tick), tick), times):
            return tick
    raise DataError("its clock cannot be kept in an MP4.", "pack frames: --form shards")


def check_movie(movie: bytes, times: FloatArray, end: float, base: Fraction) -> None:
    """Raise where a movie does not give back the times that it was written with.

    Raises:
        DataError: they cannot be had from an MP4.
    """
    with as_file(movie) as (_, name), open_video(name) as reader:
        good = np.array_equal(reader.times, times) and abs(reader.info.end - end) <= float(base)
    if not good:
        raise DataError("its times do not come back from an MP4 as they were.", "pack frames: --form shards")


def _ticks(times: FloatArray, base: Fraction) -> NDArray[np.int64]:
    """Whole numbers of 1/denominator of a second."""
    return np.rint(times * base.denominator / base.numerator).astype(np.int64) * base.numerator


def _seconds(ticks: NDArray[np.int64], base: Fraction) -> FloatArray:
    seconds: FloatArray = ticks / base.denominator
    return seconds
