"""The frame table of a video: every frame's time, and the packet that holds it, read from the container's
packets without decoding.

A frame is *shown* from its own presentation time (PTS) to the next frame's. Frames that the container says
are not to be shown (edit lists) and pictures that the codec never shows (VP8's and VP9's hidden references)
are not in the table, though their packets are decoded where others refer to them.

Where packets do not tell the truth, the table comes from decoding the file once (`read_by_decoding`): packets
without a PTS, or two with the same one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.types import BoolArray, FloatArray
from marey.video.codecs import (
    CLEAN_KEYFRAMES,
    DROPPABLE,
    hevc_droppable,
    is_shown,
    nal_length_size,
    starts_clean,
)

IntArray = NDArray[np.int64]
UNKNOWN = np.iinfo(np.int64).min
HELD_BYTES = 64 << 20
"""Packets of a file up to this size stay in memory: no second reading, and any of them is at hand."""
HELD_PACKETS = 10_000
"""And of no more packets than this: memory must not grow with the length of a small long video."""


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frame table of one video track. Plain arrays: it can be pickled and kept beside the file.

    `N` frames in the order in which they are shown, `M` packets in the order in which they are decoded.

    Attributes:
        times: float64 (N,), each frame's presentation time in seconds on the video's own clock.
        pts: int64 (N,), the same in units of the container's time base.
        keyframe: bool (N,), whether the container marks the frame as a keyframe.
        packet: int64 (N,), the packet that holds the frame.
        entry: int64 (N,), the packet from which decoding must start for the frame to be exact.
        end: seconds; the last frame's time and its own duration.
        packet_pts, packet_pos, packet_size: int64 (M,), what a packet is known by after a seek.
        droppable: bool (M,), whether the decoder may leave the packet's picture out when nobody asks for it.
        reorder: how many frames may have to wait in the decoder for an earlier one.
        listed: frames that the container lists; more than N only after `truncated="use-prefix"`.
        counted: the table comes from decoding, and frames are known by their number, not by their PTS.
        verified: the whole file was decoded once, and every frame in the table came out undamaged.
    """

    times: FloatArray
    pts: IntArray
    keyframe: BoolArray
    packet: IntArray
    entry: IntArray
    end: float
    packet_pts: IntArray
    packet_pos: IntArray
    packet_size: IntArray
    droppable: BoolArray
    reorder: int
    listed: int
    counted: bool = False
    verified: bool = False

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        return f"FrameIndex({len(self)} frames, {len(self.packet_pts)} packets, {int(self.keyframe.sum())} keyframes)"

    def prefix(self, frames: int) -> FrameIndex:
        """The table of the first `frames` frames alone."""
        cut = replace(
            self, times=self.times[:frames], pts=self.pts[:frames], keyframe=self.keyframe[:frames],
            packet=self.packet[:frames], entry=self.entry[:frames], verified=True,
        )  # fmt: skip
        if frames == len(self):
            return cut
        gap = float(self.times[frames] - self.times[frames - 1])  # too long where frames between are lost
        usual = float(np.median(np.diff(cut.times))) if frames > 1 else gap
        return replace(cut, end=float(cut.times[-1]) + min(gap, usual))

    def without(self, frames: Iterable[int]) -> FrameIndex:
        """The table without these frames, which the decoder never gives."""
        keep = np.ones(len(self), bool)
        keep[list(frames)] = False
        return replace(
            self, times=self.times[keep], pts=self.pts[keep], keyframe=self.keyframe[keep],
            packet=self.packet[keep], entry=self.entry[keep], listed=int(keep.sum()),
        )  # fmt: skip


@dataclass(eq=False)
class PacketTable:
    """What demuxing gave: the packets' properties, and the packets themselves where they are few bytes."""

    packets: list[Any] | None
    pts: IntArray
    pos: IntArray
    size: IntArray
    duration: IntArray
    keyframe: BoolArray
    shown: BoolArray
    droppable: BoolArray
    clean: BoolArray
    damaged: bool  # demuxing ended in an error, or a packet is marked as cut short
    encrypted: bool  # a keyframe carries what is needed to decrypt it

    def __len__(self) -> int:
        return len(self.pts)


def read_packets(container: Any, stream: Any) -> PacketTable:
    """Demux the whole track."""
    import av

    codec = stream.codec_context.codec.canonical_name
    nal = codec in ("h264", "hevc")
    length_size = nal_length_size(codec, stream.codec_context.extradata)
    held: list[Any] | None = []
    rows = array("q")  # seven numbers a packet, without an object for each
    layers: list[tuple[bool, int]] = []
    total, damaged, encrypted = 0, False, False
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue  # the end, or a place holder for "the same frame again" in AVI
            total += packet.size
            if held is not None:
                held.append(packet)
                held = held if total <= HELD_BYTES and len(held) <= HELD_PACKETS else None
            damaged |= packet.is_corrupt
            key = packet.is_keyframe
            encrypted |= (key or not rows) and packet.has_sidedata("encryption_info")
            clean = key and starts_clean(codec, bytes(packet) if nal else b"", length_size)
            shown = not packet.is_discard
            if codec in ("vp8", "vp9"):
                shown = shown and is_shown(codec, memoryview(packet))
            elif codec == "hevc":
                layers.append(hevc_droppable(bytes(memoryview(packet)[:4096]), length_size))
            pts, pos = packet.pts, packet.pos
            rows.extend((
                UNKNOWN if pts is None else pts, UNKNOWN if pos is None else pos, packet.size,
                packet.duration or 0, key, shown, clean,
            ))  # fmt: skip
    except av.error.FFmpegError:
        damaged = True
    numbers = np.array(rows, np.int64).reshape(-1, 7)
    del rows
    pts, pos, size, duration = numbers[:, :4].T.copy()
    keyframe, shown_, clean_ = numbers[:, 4:].T.astype(bool)
    droppable = np.full(len(numbers), codec in DROPPABLE)
    if layers:
        top = max(layer for _, layer in layers)
        droppable = np.array([free and layer == top for free, layer in layers], bool)
    if codec not in CLEAN_KEYFRAMES:
        clean_[:] = False
    return PacketTable(
        held, pts, pos, size, duration, keyframe, shown_, droppable, clean_, damaged, encrypted
    )


def index_packets(table: PacketTable, stream: Any) -> FrameIndex | None:
    """The frame table from the packets; None where they do not tell (no PTS, one twice, or made up)."""
    packet = np.flatnonzero(table.shown)
    pts = table.pts[packet]
    if (pts == UNKNOWN).any() or len(np.unique(pts)) < len(pts):
        return None
    codec, reorder = stream.codec_context, _reorder(table.pts)
    if (
        "avi" in stream.container.format.name
        and codec.name in ("h264", "hevc")
        and codec.reorder_depth > reorder
    ):
        return None  # AVI knows the order of decoding alone; the PTS were made up from it
    order = np.argsort(pts, kind="stable")
    packet, pts = packet[order], pts[order]
    times = seconds(pts, stream.time_base)
    return FrameIndex(
        times=times, pts=pts, keyframe=table.keyframe[packet], packet=packet,
        entry=_entries(table, pts, packet), end=_end(times, pts, table.duration[packet], stream),
        packet_pts=table.pts, packet_pos=table.pos, packet_size=table.size, droppable=table.droppable,
        reorder=reorder, listed=len(pts),
    )  # fmt: skip


def index_frames(table: PacketTable, stream: Any, pts: list[int | None]) -> FrameIndex:
    """The frame table from the PTS of frames as they were decoded, in order, from the start.

    Where the frames have no usable PTS either, they are taken to follow each other at the container's rate,
    which is all that such a container says of time.
    """
    known = [UNKNOWN if value is None else value for value in pts]
    ticks = np.array(known, np.int64)
    base = stream.time_base
    if (ticks == UNKNOWN).any() or (np.diff(ticks) < 0).any():
        base = 1 / (stream.average_rate or stream.guessed_rate or 25)
        ticks = np.arange(len(pts), dtype=np.int64)
    times = seconds(ticks, base)
    zeros = np.zeros(len(ticks), np.int64)
    first = np.arange(len(ticks)) == 0
    gap = np.median(np.diff(times)) if len(times) > 1 else _frame_duration(stream)
    return FrameIndex(
        times=times, pts=ticks, keyframe=first, packet=zeros, entry=zeros,
        end=float(times[-1] + gap) if len(times) else 0.0,
        packet_pts=table.pts, packet_pos=table.pos, packet_size=table.size,
        droppable=np.zeros(len(table), bool), reorder=0, listed=len(ticks), counted=True, verified=True,
    )  # fmt: skip


def seconds(ticks: IntArray, time_base: Any) -> FloatArray:
    """Ticks of a rational time base as float64 seconds, rounded once."""
    if len(ticks) and int(np.abs(ticks).max()) * time_base.numerator < 2**53:
        return ticks * time_base.numerator / time_base.denominator
    return np.array([float(int(tick) * time_base) for tick in ticks], np.float64)


def _entries(table: PacketTable, pts: IntArray, packet: IntArray) -> IntArray:
    """For every frame the last packet from which decoding gives it exactly.

    A clean keyframe that comes no later in decoding order *and* is shown no later: leading pictures of an
    open group follow their keyframe in the file, and need what comes before it.
    """
    clean = np.flatnonzero(table.clean & (table.pts != UNKNOWN))
    shown = table.pts[clean]
    rising = shown == np.maximum.accumulate(shown) if len(clean) else np.zeros(0, bool)
    clean, shown = clean[rising], shown[rising]
    last = np.minimum(np.searchsorted(clean, packet, "right"), np.searchsorted(shown, pts, "right"))
    return np.concatenate([[0], clean])[last].astype(np.int64)


def _reorder(pts: IntArray) -> int:
    """How many frames the decoder must be able to hold back, from the PTS in decoding order.

    H.264's own guess can be too low, and then its decoder drops frames. It is the most that come before one
    frame in the file and after it on screen; 16 is the most that the standard allows.
    """
    order = np.argsort(pts[pts != UNKNOWN], kind="stable")
    waiting = np.zeros(len(order), np.int64)
    farthest = int(np.abs(order - np.arange(len(order))).max(initial=0))  # two frames can swap by twice that
    for lag in range(1, min(33, len(order), 2 * farthest + 1)):
        waiting[:-lag] += order[lag:] < order[:-lag]
    return min(16, int(waiting.max(initial=0)))


def _end(times: FloatArray, pts: IntArray, duration: IntArray, stream: Any) -> float:
    if not len(times):
        return 0.0
    if duration[-1] > 0:
        return float((int(pts[-1]) + int(duration[-1])) * stream.time_base)
    gap = float(np.median(np.diff(times))) if len(times) > 1 else _frame_duration(stream)
    return float(times[-1]) + gap


def _frame_duration(stream: Any) -> float:
    """A lone frame's duration where the container does not say: one frame at its rate, or 0.1 s (as GIF
    viewers show an image without a delay)."""
    rate = stream.average_rate or stream.guessed_rate
    return float(1 / rate) if rate else 0.1
