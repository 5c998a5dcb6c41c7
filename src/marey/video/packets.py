"""The packets of one video track, in decoding order, from any position on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from marey.errors import VideoError, VideoTooLargeError
from marey.video.container import open_container, pick_track, video_tracks
from marey.video.index import UNKNOWN, FrameIndex, PacketTable, read_packets

HELD_TRUSTED = 2 << 20
"""Packets of a file whose table is known stay in memory up to this size: more would be read for nothing."""
NEAR = 64
"""Packets that are read over rather than sought past, where they have to be read from the file."""


class PacketSource:
    """An open container, the chosen track, and its decoder, which is not started yet.

    Attributes:
        container, stream, codec: PyAV's objects.
        tracks: how many video and audio tracks the file has.
    """

    def __init__(self, path: Path, *, track: int | None, threads: int, max_pixels: int) -> None:
        self.path, self._track, self._max_pixels = path, track, max_pixels
        self._held: list[Any] | None = None
        self._reading: Iterator[Any] | None = None
        self._at = 0
        self._open()
        self.tracks = len(video_tracks(self.container)), len(self.container.streams.audio)
        self.codec = self.stream.codec_context
        self.codec.thread_count = threads
        if threads != 1:
            self.codec.thread_type = "AUTO"
        self.codec.options = {"max_pixels": str(max_pixels)}  # the container's header may lie about the size
        self.check_size()

    def _open(self) -> None:
        from av.stream import Discard

        self.container = open_container(self.path)
        self.stream = pick_track(self.container, self.path, self._track)
        for other in self.container.streams:
            if other is not self.stream:
                other.discard = Discard.all  # the container need not even read them
        self._at, self._reading = 0, self.container.demux(self.stream)

    @property
    def held(self) -> bool:
        """Whether the packets are in memory, so that jumping costs nothing."""
        return self._held is not None

    def check_size(self) -> None:
        """Raise where the pictures are larger than the limit."""
        width, height = self.codec.width, self.codec.height
        if width * height > self._max_pixels:
            raise VideoTooLargeError(
                self.path, f"frames of {width}×{height} are more than the limit of {self._max_pixels} pixels.",
                "raise max_pixels if the file can be trusted and there is memory for it.",
            )  # fmt: skip

    def fresh(self) -> PacketSource:
        """The same track of the same file, opened anew, with a decoder of its own on one thread: several
        report damage late, and then it cannot be told where it is."""
        return PacketSource(self.path, track=self._track, threads=1, max_pixels=self._max_pixels)

    def read(self) -> PacketTable:
        """Demux the whole track; packets stay in memory where they are few bytes."""
        table = read_packets(self.container, self.stream)
        self._held, self._reading = table.packets, None
        return table

    def trust(self, index: FrameIndex) -> None:
        """Take a frame table that was read before. A small file is read into memory and compared with it; of a
        larger one only what is asked for is read.

        Raises:
            VideoError: the file is not the one that the table was made from.
        """
        if int(index.packet_size.sum()) > HELD_TRUSTED:
            return
        self._held = [packet for packet in self.container.demux(self.stream) if packet.size]
        self._reading = None
        if [packet.size for packet in self._held] != index.packet_size.tolist():
            raise VideoError(
                self.path, "the file is not the one that the frame index was made from.",
                "open it without index=.",
            )  # fmt: skip

    def packets(self, index: FrameIndex, start: int) -> Iterator[Any]:
        """The packets from position `start` on."""
        if self._held is not None:
            yield from self._held[start:]
            return
        if self._reading is None or not self._at <= start <= self._at + NEAR:
            self._seek(index, start)
        assert self._reading is not None
        for packet in self._reading:
            if not packet.size:
                continue
            self._at += 1
            if self._at > start:
                yield packet

    def _seek(self, index: FrameIndex, start: int) -> None:
        """Bring the container to packet `start` or to one before it, and know to which."""
        import av

        pts = int(index.packet_pts[start])
        if start and pts != UNKNOWN and not index.counted:
            for back in (0, 1, 8):  # seconds: some formats seek by decoding time, and land behind
                try:
                    self.container.seek(pts - int(back / self.stream.time_base), stream=self.stream)
                    reading = self.container.demux(self.stream)
                    first = next(packet for packet in reading if packet.size)
                except (av.error.FFmpegError, StopIteration):
                    continue
                known = np.flatnonzero(
                    (index.packet_pts == (UNKNOWN if first.pts is None else first.pts))
                    & (index.packet_pos == (UNKNOWN if first.pos is None else first.pos))
                    & (index.packet_size == first.size)
                )
                if len(known) == 1 and known[0] <= start:
                    self._at, self._reading = int(known[0]), chain([first], reading)
                    return
        self.container.close()  # opened anew, since not every format can seek to its start
        self._open()

    def close(self) -> None:
        self._reading = None
        self._held = None
        self.container.close()
