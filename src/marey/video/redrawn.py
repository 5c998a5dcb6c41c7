"""A video written anew as an MP4 for people, with something drawn on every frame.

Every frame comes once and stays as long as it did, so a variable rate stays variable. The clock of the MP4 begins
at 0, where a player's clock for the source begins (`marey.video.players`). Pictures are upright, with square pixels
and even sides, in H.264 4:2:0 and BT.709, which everything plays. Sound is taken over as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from marey.errors import DataError, TruncatedVideoError
from marey.files import partial_path
from marey.types import UInt8Array
from marey.video.container import open_container
from marey.video.index import IntArray
from marey.video.packed.movie import clock
from marey.video.players import Playing, open_readable
from marey.video.reader import VideoInfo, VideoReader, open_video

LARGEST, SMALLEST = 1280, 640
"""The longer side of the pictures, pixels: larger ones are scaled down, smaller ones up."""
SOUND = ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac", "mp2")
"""Codecs of sound that an MP4 holds."""
_CHUNK_BYTES = 32 << 20
_BT709, _LIMITED = 1, 1  # as ITU-T H.273 numbers them
_SWS_BT709 = 1

Draw = Callable[[UInt8Array, float], UInt8Array]
"""From a frame `(H, W, 3)` and its time in seconds on the video's own clock to what stands in the MP4."""


def scaled(info: VideoInfo) -> tuple[int, int]:
    """Height and width of the pictures: upright, square pixels, the longer side between the two limits."""
    aspect = info.pixel_aspect if info.rotation in (0, 180) else 1 / info.pixel_aspect
    height, width = float(info.height), info.width * aspect
    ratio = min(max(1.0, SMALLEST / max(height, width)), LARGEST / max(height, width))
    return max(2, round(height * ratio)), max(2, round(width * ratio))


def redraw(
    source: Path,
    out: Path,
    draw: Draw,
    *,
    canvas: tuple[int, int],
    playing: Playing,
    say: Callable[[str], None],
    advance: Callable[[int], None] = lambda n: None,
) -> Path:
    """Write `out`.

    Args:
        source: the video.
        draw: called with every frame of the size that `scaled` gives, in order.
        canvas: height and width of what it gives back, even numbers.
        playing: what `marey.video.players.playing(source)` says.
        say: told what could not be taken over: sound, and frames behind damage.
        advance: told how many more frames are done.

    Raises:
        VideoError: nothing of the source can be read.
        DataError: the MP4 cannot be written.
    """
    import av

    out.parent.mkdir(parents=True, exist_ok=True)
    part = partial_path(out)
    try:
        with open_readable(source) as reader:
            base, ticks, lasting = _ticks(reader, playing.begins)
            options = {"movflags": "+faststart", "movie_timescale": str(base.denominator)}
            with ExitStack() as stack:
                movie = stack.enter_context(
                    av.open(f"file:{part.resolve()}", "w", format="mp4", container_options=options)
                )
                stream = _picture_stream(movie, canvas, base)
                sound = stack.enter_context(closing(_Sound(source, movie, playing.begins, say)))
                duration = dict(zip(ticks.tolist(), lasting.tolist(), strict=True))
                for number, picture in _drawn(reader, source, draw, scaled(reader.info), say):
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                        format="yuv420p", dst_colorspace=_SWS_BT709, dst_color_range=_LIMITED
                    )
                    frame.colorspace, frame.color_range = _BT709, _LIMITED
                    frame.pts, frame.time_base = int(ticks[number]), base
                    for packet in stream.encode(frame):
                        packet.duration = duration[packet.pts]
                        movie.mux(packet)
                    sound.until(float(ticks[number] * base))
                    advance(1)
                for packet in stream.encode(None):
                    packet.duration = duration[packet.pts]
                    movie.mux(packet)
                sound.until(float("inf"))
        part.replace(out)
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(f"the annotated video cannot be written: {error}.", where=str(out)) from error
    finally:
        part.unlink(missing_ok=True)
    return out


def _picture_stream(movie: Any, canvas: tuple[int, int], base: Fraction) -> Any:
    stream = movie.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "21"})
    stream.height, stream.width = canvas
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = stream.time_base = base
    context.colorspace, context.color_range = _BT709, _LIMITED
    context.color_primaries = context.color_trc = _BT709
    context.max_b_frames = 0  # with them an MP4 cannot say how long the last frame stays
    context.gop_size = 100  # jumping to a moment decodes so many frames at most
    return stream


def _drawn(
    reader: VideoReader, source: Path, draw: Draw, size: tuple[int, int], say: Callable[[str], None]
) -> Iterator[tuple[int, UInt8Array]]:
    """Frames with their number; where damage shows, those before it."""
    step = max(1, _CHUNK_BYTES // (size[0] * size[1] * 3))
    number, damaged = 0, reader.info.truncated
    with ExitStack() as stack:
        while number < len(reader.times):
            try:
                clip = reader.frames_at(reader.times[number : number + step], size=size)
            except TruncatedVideoError:
                if damaged:  # that was the undamaged part already
                    raise
                reader, damaged = stack.enter_context(open_video(source, truncated="use-prefix")), True
                continue
            for picture, time in zip(clip.frames, clip.times.tolist(), strict=True):
                yield number, draw(picture, time)
                number += 1
    if damaged:
        say(
            f"{source}: the file is damaged; the annotated video ends with the {number} frames before the damage."
        )


def _ticks(reader: VideoReader, begins: float) -> tuple[Fraction, IntArray, IntArray]:
    """The tick of the MP4's clock, each frame's time in ticks, and how long it stays.

    Where the source's clock has a tick that an MP4 can count in, the intervals are exactly the source's; elsewhere
    they are true to a microsecond.
    """
    try:
        base = Fraction(1, clock(reader.index).denominator)
    except DataError:
        base = Fraction(1, 1_000_000)
    times = np.rint(np.append(reader.times, reader.info.end) * base.denominator).astype(np.int64)
    times -= round(begins * base.denominator)
    order = np.arange(len(times))
    times = np.maximum.accumulate(times - order) + order  # two frames at one time are a tick apart
    return base, times[:-1], np.maximum(np.diff(times), 1)


class _Sound:
    """The source's first sound track, packet by packet, as far as the pictures have come."""

    def __init__(self, source: Path, movie: Any, begins: float, say: Callable[[str], None]) -> None:
        self._movie, self._say, self._source = movie, say, source
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None
        self._container: Any = None
        if not source.is_file():  # inside a pack, where there are pictures alone
            return
        self._container = open_container(source)
        tracks = self._container.streams.audio
        if not tracks:
            return
        track = tracks[0]
        codec = track.codec_context.name if track.codec_context is not None else "unknown"
        if codec not in SOUND:
            say(f"{source}: an MP4 does not hold {codec} sound; the annotated video has none.")
            return
        if len(tracks) > 1:
            say(f"{source}: of {len(tracks)} sound tracks, the annotated video has the first.")
        self._stream = movie.add_stream_from_template(track)
        self._shift = round(begins / track.time_base)
        self._packets = self._container.demux(track)
        self._next()

    def until(self, seconds: float) -> None:
        """Take over what sounds before a moment of the MP4's clock."""
        import av

        while self._waiting is not None:
            packet = self._waiting
            if float(packet.dts * packet.time_base) > seconds:
                return
            packet.stream = self._stream
            try:
                self._movie.mux(packet)
            except av.error.FFmpegError as error:
                self._end(f"{error.strerror}, at {seconds:.1f} s")
                return
            self._next()

    def close(self) -> None:
        if self._container is not None:
            self._container.close()

    def _next(self) -> None:
        import av

        try:
            self._waiting = next((p for p in self._packets if p.size and p.dts is not None), None)
        except av.error.FFmpegError as error:
            self._end(str(error.strerror))
            return
        if self._waiting is not None:
            self._waiting.dts -= self._shift
            if self._waiting.pts is not None:
                self._waiting.pts -= self._shift

    def _end(self, why: str) -> None:
        self._waiting = None
        self._say(f"{self._source}: the sound could not be taken over to its end ({why}).")
