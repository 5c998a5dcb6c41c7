"""Opening a file safely: what FFmpeg may open, which formats it may recognise, and what each failure means.

A video file is untrusted input. FFmpeg recognises formats by content, and some of them (HLS and DASH
playlists, `ffconcat` lists) are texts that make it read further files or open sockets, whatever the file's
name is. Three walls stand against that:

- the path is opened here, after `stat` has shown a regular file, and FFmpeg gets the descriptor alone. So
  `concat:`, `subfile:` and `http:` are names of files that do not exist, never addresses;
- `protocol_whitelist` holds only that descriptor's protocol: nothing else can be opened through it, neither
  file nor socket;
- `format_whitelist` holds formats that carry their own data.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from marey.errors import (
    EmptyVideoError,
    ForbiddenFormatError,
    NotAVideoFileError,
    NoVideoTrackError,
    UndecodableVideoError,
    UsageError,
    VideoError,
    VideoNotFoundError,
)

FORMATS = (
    "mov", "matroska", "avi", "gif", "mpegts", "mpeg", "mpegvideo", "m4v", "flv", "asf", "ogg", "h264", "hevc",
    "ivf", "obu", "mjpeg", "mxf", "nut", "wtv", "rm", "dv", "apng", "yuv4mpegpipe",
)  # fmt: skip
"""FFmpeg's names of the formats that may be read: each holds its own data and refers to no other file."""

_PLAYLISTS = {
    b"#EXTM3U": "an HLS or M3U playlist",
    b"ffconcat": "an ffconcat list",
    b"<MPD": "a DASH manifest",
    b"<SmoothStreamingMedia": "a Smooth Streaming manifest",
    b"[playlist]": "a PLS playlist",
    b"[Reference]": "an ASX playlist",
    b"<asx": "an ASX playlist",
    b"<smil": "a SMIL playlist",
    b"v=0\r\n": "an SDP session",
    b"v=0\n": "an SDP session",
}

_EBML = b"\x1aE\xdf\xa3"
_MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp")
_HEAD = 1 << 16  # bytes looked at to tell what a file is


def open_container(path: Path) -> Any:
    """Open `path` as a PyAV input container, with nothing else within FFmpeg's reach.

    Raises:
        VideoNotFoundError, NotAVideoFileError, EmptyVideoError, ForbiddenFormatError, NoVideoTrackError
    """
    descriptor = _open_regular_file(path)
    try:
        head = os.read(descriptor, _HEAD)
        if not head:
            raise EmptyVideoError(path, "the file is empty (0 bytes).")
        _refuse_playlist(path, head)
        if head[4:8] in _MOV_BOXES or head[:4] == _EBML:
            # The headers of MP4 and Matroska name codec and size, so FFmpeg need not decode its way to them:
            # that spares most of the cost of opening. What is still open then comes from our first frame.
            container = _open(path, descriptor, {"codec_whitelist": "none", "probesize": "32"})
            if all(s.codec_context is None or s.codec_context.width for s in container.streams.video):
                return container
            container.close()
        return _open(path, descriptor, {})
    finally:
        os.close(descriptor)  # FFmpeg has a duplicate of its own


def pick_track(container: Any, path: Path, track: int | None) -> Any:
    """The video stream to read: the `track`-th video track (from 0), the first where it is None.

    Cover pictures are not tracks.
    """
    tracks = video_tracks(container)
    if not tracks:
        kinds = sorted({stream.type for stream in container.streams})
        raise NoVideoTrackError(
            path, f"there is no video track; the file holds {', '.join(kinds) or 'nothing'}."
        )
    if track is not None and not 0 <= track < len(tracks):
        raise UsageError(
            f"video track {track} is not in the file; it has {len(tracks)}, counted from 0.", where=str(path)
        )
    stream = tracks[track or 0]
    if stream.codec_context is None:
        raise UndecodableVideoError(path, "there is no decoder for the codec of this video track.")
    return stream


def video_tracks(container: Any) -> list[Any]:
    """The container's video streams, in its own order, without cover pictures."""
    from av.stream import Disposition

    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def announces_encryption(path: Path) -> bool:
    """Whether the header of an MP4 without any packets says that they will be encrypted."""
    with path.open("rb") as file:
        return b"encv" in file.read(_HEAD)


def missing_bytes(path: Path) -> int:
    """Bytes that the file's outermost header promises and the file does not have, or 0.

    For Matroska and AVI, and 1 for a GIF without its trailer.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
        if head[:3] == b"GIF":
            file.seek(max(0, size - 64))
            return int(b"\0;" not in file.read())
    if head[:4] == b"RIFF":
        return max(0, 8 + int.from_bytes(head[4:8], "little") - size)
    if head[:4] == _EBML:
        length, width = _ebml_size(head, 4)
        at = 4 + width + (length or 0)
        if head[at : at + 4] == b"\x18\x53\x80\x67":  # Segment
            length, width = _ebml_size(head, at + 4)
            return max(0, at + 4 + width + length - size) if length is not None else 0
    return 0


def reason(error: BaseException) -> str:
    """FFmpeg's own words, without the address that means nothing to the user."""
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def _open(path: Path, descriptor: int, options: dict[str, str]) -> Any:
    import av

    os.lseek(descriptor, 0, os.SEEK_SET)
    if os.name == "nt":  # a descriptor of Python's C library is not one of FFmpeg's there
        url, reach = f"file:{path}", {"protocol_whitelist": "file"}
    else:
        url, reach = "fd:", {"protocol_whitelist": "fd", "fd": str(descriptor)}
    options = {"format_whitelist": ",".join(FORMATS), **reach, **options}
    try:
        return av.open(url, container_options=options, metadata_errors="replace")
    except av.error.ArgumentError as error:  # FFmpeg knows the format, and it is not on our list
        raise ForbiddenFormatError(
            path, "this format is not among those that may be read.", f"allowed: {', '.join(FORMATS)}."
        ) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise NoVideoTrackError(
            path, "this is not a media file, or its header is damaged.", f"FFmpeg says: {reason(error)}."
        ) from error


def _open_regular_file(path: Path) -> int:
    try:
        mode = path.stat().st_mode  # first: opening a FIFO blocks, and opening a device can do anything
        if stat.S_ISREG(mode):
            descriptor = os.open(
                path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            )
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoNotFoundError(path, "there is no such file.") from error
    except (OSError, ValueError) as error:
        raise VideoError(path, f"the file cannot be opened: {reason(error)}.") from error
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    raise NotAVideoFileError(path, f"this is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a video file.")


def _refuse_playlist(path: Path, head: bytes) -> None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for mark, kind in _PLAYLISTS.items():
        found = mark in text[:4096] if text.startswith((b"<?xml", b"<!--")) else text.startswith(mark)
        if found:
            raise ForbiddenFormatError(
                path, f"this is {kind}, which makes the decoder read other files or open sockets.",
                "give the video file itself.",
            )  # fmt: skip


def _ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
    """A Matroska element's length (None: unknown, as in live recordings) and the bytes its coding takes."""
    first = data[at] if at < len(data) else 0
    width = 9 - first.bit_length()
    if not first or at + width > len(data):
        return None, 8
    value = int.from_bytes(data[at : at + width], "big") & ((1 << (7 * width)) - 1)
    return (None if value == (1 << (7 * width)) - 1 else value), width
