"""Decoding a whole file once: to count what really comes out, and to find where damage begins.

Costs as much as it sounds, so it happens only where it must: for files that show signs of damage, for
`truncated="use-prefix"`, and for containers whose packets do not tell the frames' times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from marey.errors import TruncatedVideoError, UndecodableVideoError
from marey.video.container import missing_bytes
from marey.video.index import FrameIndex, PacketTable
from marey.video.packets import PacketSource


@dataclass(eq=False)
class Survey:
    """What decoding the whole file gave.

    Attributes:
        pts: of every frame that came out, in order.
        corrupt: positions in `pts` of frames that the decoder marked as damaged.
        failed: positions of packets that the decoder refused.
        before_failure: frames that had come out when it refused the first.
    """

    pts: list[int | None] = field(default_factory=list)
    corrupt: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    before_failure: int | None = None


def survey(source: PacketSource, *, packets: int | None = None) -> Survey:
    """Decode the track from its start (the first `packets` only, where given), dropping the pictures."""
    found = Survey()
    fresh = source.fresh()
    try:
        for position, frames in _decoded(fresh, packets):
            if frames is None:
                fresh.check_size()
                if not found.failed:
                    found.before_failure = len(found.pts)
                found.failed.append(position)
                continue
            for frame in frames:
                if frame.is_corrupt:
                    found.corrupt.append(len(found.pts))
                found.pts.append(frame.pts if frame.pts is not None else frame.dts)
    finally:
        fresh.close()
    return found


def _decoded(source: PacketSource, packets: int | None) -> Iterator[tuple[int, list[Any] | None]]:
    import av

    position = 0
    try:
        for packet in source.container.demux(source.stream):
            if not packet.size:
                continue
            if position == packets:
                break
            try:
                yield position, source.codec.decode(packet)
            except (av.error.FFmpegError, ValueError):
                yield position, None
            position += 1
    except av.error.FFmpegError:
        yield position, None  # the container itself ends in damage
    try:
        yield position, source.codec.decode(None)
    except (av.error.FFmpegError, ValueError):
        yield position, None


def listed_frames(path: Path, source: PacketSource, table: PacketTable) -> int:
    """Frames that the container lists: more than there are packets where the file was cut short.

    MP4 lists every sample; AVI counts frames, though it may count "the same again"; Matroska says how long
    the whole is, which gives their number by the rate. Transport streams list nothing: that one was cut
    short cannot be told.
    """
    packets, stream = len(table), source.stream
    name = source.container.format.name
    if "mov" in name:
        return max(packets, len(stream.index_entries))
    if missing_bytes(path):
        seconds = (source.container.duration or 0) / 1e6
        told = stream.frames if "avi" in name else packets + 1
        return max(packets, told, round(seconds * float(stream.average_rate or 0)))
    return packets


def starts_whole(table: PacketTable, index: FrameIndex, codec: str) -> bool:
    """Whether the file starts with a keyframe, and nothing is shown before it."""
    start = table.clean[0] if codec in ("h264", "hevc") else table.keyframe[0]
    return bool(start and len(index) and table.pts[0] <= index.pts[0])


def without_leading(source: PacketSource, table: PacketTable, index: FrameIndex) -> FrameIndex:
    """Leave out what no decoder can give: pictures at the start of a recording that was cut within a group
    refer to what came before the cut. Decoding a little tells which."""
    second = np.flatnonzero(table.keyframe[1:])
    found = survey(source, packets=max(64, int(second[0]) + 2 if len(second) else 0))
    out = {pts for pts in found.pts if pts is not None}
    came = [frame for frame, pts in enumerate(index.pts.tolist()) if pts in out]
    if not came:
        return index
    first = came[0]
    if any(failed >= index.packet[first] for failed in found.failed):
        return index  # that is damage, not a beginning
    return index.without(range(first)) if first else index


def undamaged_prefix(index: FrameIndex, found: Survey) -> int:
    """How many frames, from the first, decode without any damage before them in the file.

    A frame counts while neither it nor any packet before it in decoding order was refused, gave no frame, or
    gave one marked as damaged: what comes after damage may be wrong without being marked.
    """
    pts, packet = index.pts.tolist(), index.packet
    out = set(found.pts)
    corrupt = {found.pts[i] for i in found.corrupt}
    bad = [int(packet[i]) for i, value in enumerate(pts) if value not in out or value in corrupt]
    first_bad = min(bad + found.failed, default=None)
    if first_bad is None:
        return len(index)
    late = np.flatnonzero(packet >= first_bad)
    return int(late[0]) if len(late) else len(index)


def checked(
    path: Path, source: PacketSource, index: FrameIndex, listed: int, *, keep_prefix: bool
) -> FrameIndex:
    """The frame table after decoding everything: whole, or cut before the first damage.

    Raises:
        UndecodableVideoError: not one frame came out.
        TruncatedVideoError: fewer came out than are listed, and `keep_prefix` is False, or nothing precedes
            the damage.
    """
    found = survey(source)
    if missing_bytes(path):
        found.failed.append(len(index.packet_pts) - 1)  # cut short without a mark, and decoded as if whole
    if not found.pts:
        raise UndecodableVideoError(
            path, f"none of the {listed} frames that the container lists can be decoded.",
            "the file is damaged, or its codec has features that the decoder lacks.",
        )  # fmt: skip
    if index.counted:
        damaged = [*found.corrupt[:1], *([found.before_failure] if found.before_failure is not None else [])]
        good, decoded = min(damaged, default=len(index)), len(found.pts) - len(found.corrupt)
        listed = max(listed, len(found.pts) + len(found.failed))
    else:
        good, decoded = undamaged_prefix(index, found), len(set(found.pts) & set(index.pts.tolist()))
        decoded -= len(found.corrupt) if decoded == max(listed, len(index)) else 0
    if good == len(index) and listed <= len(index):
        return replace(index, verified=True)
    if not keep_prefix or not good:
        raise truncated(path, decoded, max(listed, len(index)), good, index)
    return replace(index.prefix(good), listed=max(listed, len(index)), verified=True)


def truncated(path: Path, decoded: int, listed: int, good: int, index: FrameIndex) -> TruncatedVideoError:
    """The error that says how much there is and how to have it."""
    if not good:
        return TruncatedVideoError(
            path, decoded, listed, "the damage is at the first frame; nothing before it."
        )
    until = index.prefix(good).end
    return TruncatedVideoError(
        path, decoded, listed,
        f"the first {good} frames, up to {until:.3f} s, are sound.",
        'copy the file again, or take those alone with truncated="use-prefix".',
    )  # fmt: skip
