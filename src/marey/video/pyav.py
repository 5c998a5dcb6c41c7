"""The default decoder: PyAV, whose wheel carries FFmpeg."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from marey.errors import EmptyVideoError, EncryptedVideoError, TruncatedVideoError, UndecodableVideoError
from marey.types import Clip, FloatArray
from marey.video.container import announces_encryption
from marey.video.decoding import DamageError, FrameDecoder
from marey.video.index import FrameIndex, index_frames, index_packets
from marey.video.packets import PacketSource
from marey.video.picture import Box, Decode, Orientation, Painter, Size, target_size
from marey.video.reader import Truncated, VideoInfo, average_rate, frames_shown, has_variable_rate
from marey.video.survey import checked, listed_frames, starts_whole, survey, without_leading

log = logging.getLogger("marey")


class PyAVReader:
    """A `VideoReader` on PyAV; `open_video` makes one and says what the arguments are."""

    def __init__(
        self,
        path: Path,
        *,
        truncated: Truncated,
        max_pixels: int,
        track: int | None,
        threads: int,
        index: FrameIndex | None,
    ) -> None:
        self.path = path
        self._source = PacketSource(path, track=track, threads=threads, max_pixels=max_pixels)
        try:
            if index is None:
                index = self._read_index(keep_prefix=truncated == "use-prefix")
            else:
                self._source.trust(index)
            self.index = index
            self._decoder = FrameDecoder(self._source, index)
            self._painter = Painter()
            picture = self._first_picture()
            self._pix_fmt, self._orientation = picture.format.name, Orientation.of(picture)
            self._size = self._orientation.stored(picture.height, picture.width)
            self._track = track or 0
        except BaseException:
            self.close()
            raise

    @cached_property
    def info(self) -> VideoInfo:
        index, source = self.index, self._source
        aspect = source.codec.sample_aspect_ratio
        height, width = self._size
        return VideoInfo(
            path=str(self.path), container=source.container.format.name,
            codec=source.codec.codec.canonical_name, pix_fmt=self._pix_fmt, width=width, height=height,
            frames=len(index), start=float(index.times[0]), end=index.end,
            fps=average_rate(index.times, index.end),
            variable_rate=has_variable_rate(index.times, float(source.stream.time_base)),
            rotation=self._orientation.rotation, mirrored=self._orientation.mirrored,
            pixel_aspect=float(aspect) if aspect else 1.0,
            track=self._track, video_tracks=source.tracks[0], audio_tracks=source.tracks[1],
            frames_listed=index.listed,
        )  # fmt: skip

    @property
    def times(self) -> FloatArray:
        return self.index.times

    @property
    def keyframes(self) -> FloatArray:
        return self.index.times[self.index.keyframe]

    @property
    def stream_number(self) -> int:
        """The track's number among all streams of the container, as other libraries count."""
        return int(self._source.stream.index)

    def frames_at(
        self, times: ArrayLike, *, size: Size = None, decode: Decode = "rgb", box: Box | None = None
    ) -> Clip:
        asked = frames_shown(self.index.times, self.index.end, times, self.path)
        height, width = target_size(size, *self._size)
        channels = 1 if decode == "gray" else 3
        cut = (height, width) if box is None else box[2:]
        out = np.empty((len(asked), *cut, channels), np.uint8)
        slots: dict[int, list[int]] = {}
        for slot, frame in enumerate(asked.tolist()):
            slots.setdefault(frame, []).append(slot)

        def keep(frame: int, picture: Any) -> None:
            first, *again = slots[frame]
            self._painter.paint(picture, out[first], decode, self._orientation, (height, width), box)
            for slot in again:
                out[slot] = out[first]

        self._decode(slots, keep)
        return Clip(frames=out, times=self.index.times[asked], mask=np.ones(len(asked), bool))

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PyAVReader({self.info!r})"

    def _read_index(self, *, keep_prefix: bool) -> FrameIndex:
        source, path = self._source, self.path
        table = source.read()
        if table.encrypted or (not len(table) and announces_encryption(path)):
            raise EncryptedVideoError(
                path, "the video track is encrypted (common encryption, DRM).", "decrypt it first."
            )
        listed = listed_frames(path, source, table)
        if not len(table):
            if listed:
                raise UndecodableVideoError(
                    path, f"the container lists {listed} frames and holds none of them."
                )
            raise EmptyVideoError(path, "the video track has no frames.")
        index = index_packets(table, source.stream)
        if index is None:
            found = survey(source)
            index = index_frames(table, source.stream, found.pts)
            suspect = bool(found.failed or found.corrupt or not len(index))
        else:
            suspect = table.damaged or listed > len(table)
            if not suspect and not starts_whole(table, index, source.codec.codec.canonical_name):
                index = without_leading(source, table, index)
        if not suspect and not keep_prefix:
            return index
        # packets that hold no frame to show are no frames missing
        listed = listed - len(table) + len(index) if not index.counted else len(index)
        index = checked(path, source, index, listed, keep_prefix=keep_prefix)
        if len(index) < index.listed:
            log.warning(
                "%s: using the first %d of %d frames; the rest is damaged", path, len(index), index.listed
            )
        return index

    def _first_picture(self) -> Any:
        with suppress(DamageError):
            picture = self._decoder.first()
            if picture is not None:
                return picture
        pictures: list[Any] = []
        self._decode([0], lambda _, picture: pictures.append(picture))
        return pictures[0]

    def _decode(self, frames: Iterable[int], keep: Callable[[int, Any], None]) -> None:
        missing = set(frames)
        try:
            self._decoder.decode(missing, keep)
        except DamageError:
            self._decoder.forget()
        if not missing:
            return
        if not self.index.verified:  # does the file lack them, or did the short way lose them?
            self.index = checked(self.path, self._source, self.index, self.index.listed, keep_prefix=False)
        self._decoder = FrameDecoder(self._source, self.index)
        with suppress(DamageError):
            self._decoder.decode_plainly(missing, keep)
        if missing:
            raise TruncatedVideoError(
                self.path,
                len(self.index) - len(missing),
                self.index.listed,
                "the file changed while it was read.",
            )
