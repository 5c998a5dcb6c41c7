"""Which packets to decode for the frames that are asked for, from where, and which to leave out.

Decoding runs forward from an entry point (a packet from which all that is shown later is exact) and goes on
from where it stands for as long as that is cheaper than jumping to a later entry. On the way to a wanted frame
the decoder leaves out pictures that no other refers to (`skip_frame`), which changes no pixel of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from marey.video.codecs import h264_unreferenced, nal_length_size
from marey.video.index import FrameIndex
from marey.video.packets import NEAR, PacketSource

Keep = Callable[[int, Any], None]


class DamageError(Exception):
    """The decoder refused a packet, or marked a picture as damaged. Never leaves the reader."""


class FrameDecoder:
    """One running decoder over a packet source.

    Attributes:
        index: the frame table.
        early: pictures that came out while opening, by frame: they need not be decoded again.
    """

    def __init__(self, source: PacketSource, index: FrameIndex) -> None:
        from av.error import FFmpegError

        self._refused = FFmpegError, ValueError  # PyAV raises both
        self._source, self._codec, self.index = source, source.codec, index
        self.early: dict[int, Any] = {}
        self._frame_of = {pts: frame for frame, pts in enumerate(index.pts.tolist())}
        self._held_by = np.full(len(index.packet_pts), -1)  # the frame that a packet holds
        self._held_by[index.packet] = np.arange(len(index))
        self._first = int(index.packet.min())  # what comes before it holds no frame of the table
        self._last = len(index.packet_pts) if index.counted else int(index.packet.max()) + 1
        self._entry = index.entry.tolist()
        self._h264 = self._codec.codec.canonical_name == "h264"
        self._length_size = nal_length_size("h264", self._codec.extradata) if self._h264 else 0
        self._packets: Iterator[Any] = iter(())
        self._codec.skip_frame = self._skip = "DEFAULT"
        self._next: int | None = None  # the packet that comes next; None: the decoder must start anew
        self._from = 0  # the packet from which it started
        self._count = 0  # frames that came out since
        self._left_out: set[int] = set()  # packets since, of which the decoder gives no picture
        self._shown = -1  # the last frame that came out since
        self._emptied = 0  # where it stood when it was emptied
        self._asked = len(index)  # the last frame of the request before
        self._go_on = False  # the caller reads forward, so emptying the decoder would cost more than it saves

    def first(self) -> Any:
        """The first frame's picture; what else came out on the way to it is kept as well."""
        self._start(0)
        missing = {0}
        while missing and self._next is not None:
            pictures = self._feed(leave_out=False) if self._next < self._last else self._drain()
            self._emit(pictures, missing, self.early.__setitem__, everything=True)
        return self.early.get(0)

    def decode(self, missing: set[int], keep: Keep) -> None:
        """Decode these frames, hand each to `keep(frame, picture)` as it comes, and take it out of `missing`.

        What is still in `missing` afterwards did not come out of the decoder.

        Raises:
            DamageError
        """
        for frame in sorted(missing & self.early.keys()):
            keep(frame, self.early[frame])
            missing.discard(frame)
        if not missing:
            return
        if self.index.counted:
            self._decode_counted(missing, keep)
            return
        index = self.index
        order = sorted(missing, key=index.packet.__getitem__)
        own = index.entry[order]
        common = np.minimum.accumulate(own[::-1])[::-1]  # a start that serves this frame and all later ones
        wanted = set(index.packet[order].tolist())
        far = 0 if self._source.held else NEAR
        if self._next is None and min(missing) > self._asked and own[0] <= self._emptied:
            self._go_on = True  # had it not been emptied, it could have gone on
        self._asked = max(missing)
        for frame, entry, start in zip(order, own.tolist(), common.tolist(), strict=True):
            if frame not in missing:
                continue
            packet = int(index.packet[frame])
            if self._next is None or start > self._next + far or not self._in_reach(frame, packet, entry):
                if self._next is not None:
                    self._emit(self._drain(), missing, keep)
                    if frame not in missing:
                        continue
                self._start(start)
            self._feed_until(packet, wanted, missing, keep)
        while missing and self._go_on and self._next is not None and self._next < self._last:
            self._emit(self._feed(leave_out=False), missing, keep)
        if missing and self._next is not None:
            self._emit(self._drain(), missing, keep)

    def forget(self) -> None:
        """Start anew at the next request: what waits in the decoder comes after damage."""
        self._next = None

    def decode_plainly(self, missing: set[int], keep: Keep) -> None:
        """The same by the longest way: from the first packet on, leaving nothing out.

        Raises:
            DamageError
        """
        self._start(0)
        while missing and self._next is not None:
            pictures = self._feed(leave_out=False) if self._next < self._last else self._drain()
            self._emit(pictures, missing, keep)

    def _decode_counted(self, missing: set[int], keep: Keep) -> None:
        if self._next is None or min(missing) < self._count:
            self._start(0)
        while missing and self._next is not None:
            pictures = self._feed(leave_out=False) if self._next < self._last else self._drain()
            self._emit(pictures, missing, keep)

    def _start(self, packet: int) -> None:
        self._codec.flush_buffers()
        if self._h264:  # after a flush it guesses anew, and a guess too low drops frames
            self._codec.reorder_depth = max(self._codec.reorder_depth, self.index.reorder)
        self._packets = self._source.packets(self.index, packet)
        self._next = self._from = packet
        self._count, self._shown = 0, -1
        self._left_out.clear()

    def _in_reach(self, frame: int, packet: int, entry: int) -> bool:
        """Whether going on gives the frame: its packet is still to come, or waits in the decoder."""
        if self._next is None or self._from > entry:
            return False
        return self._next <= packet or (frame > self._shown and packet not in self._left_out)

    def _feed_until(self, packet: int, wanted: set[int], missing: set[int], keep: Keep) -> None:
        while self._next is not None and self._next <= packet:
            # what comes after this request may be the next one's, where the caller reads forward
            spared = self._next in wanted or (self._go_on and self._held_by[self._next] > self._asked)
            pictures = self._feed(leave_out=not spared)
            if pictures:
                self._emit(pictures, missing, keep)

    def _feed(self, *, leave_out: bool) -> list[Any]:
        assert self._next is not None
        position, packet = self._next, next(self._packets, None)
        if packet is None:
            raise DamageError(f"the file ends before packet {position}")
        self._next = position + 1
        skip = "DEFAULT"
        if leave_out and self.index.droppable[position]:
            self._left_out.add(position)
            if self._h264 and h264_unreferenced(bytes(packet), self._length_size):
                return []
            skip = "NONREF"
        if skip != self._skip:
            self._codec.skip_frame = self._skip = skip
        try:
            return self._codec.decode(packet)
        except self._refused as error:
            self._source.check_size()
            if position < self._first:
                return []  # what precedes the first keyframe of a recording that was cut
            raise DamageError(f"packet {position}: {error}") from error

    def _drain(self) -> list[Any]:
        """Empty the decoder of what waits in it; it has to start anew afterwards."""
        self._emptied, self._next = self._next or 0, None
        try:
            return self._codec.decode(None)
        except self._refused as error:
            raise DamageError(str(error)) from error

    def _emit(
        self, pictures: Iterable[Any], missing: set[int], keep: Keep, *, everything: bool = False
    ) -> None:
        for picture in pictures:
            if self.index.counted:
                frame, self._count = self._count, self._count + 1
            else:
                frame = self._frame_of.get(picture.pts, -1)
                if frame > self._shown:
                    self._shown = frame
                if frame < 0 or self._entry[frame] < self._from:
                    continue  # not to be shown, or its references lie before the start
            if picture.is_corrupt and not self.index.verified:
                raise DamageError(f"frame {frame} is marked as damaged")
            if everything or frame in missing:
                keep(frame, picture)
                missing.discard(frame)
