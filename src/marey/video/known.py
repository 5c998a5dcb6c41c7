"""Frame tables of long videos, kept on disk from one opening to the next: an hour of video has a hundred thousand
packets, and going through them takes longer than decoding a clip.

    $MAREY_CACHE, or $XDG_CACHE_HOME/marey, or ~/.cache/marey
        frames/<2 digits>/<key>.safetensors

The key is of the file's path and of how it is opened. An entry holds what the system said of the file when it was
read (size, inode, times of the last change of content and of state), and is used while all of that is the same. The
time of the last change of state cannot be set by hand, so that a file that was written over, restored or swapped is
read again whatever its date. One that changed within the last two seconds is not entered: it could change again
without its times showing it. An entry is written whole or not at all and carries a checksum. A folder that cannot be
written to keeps nothing, and costs nothing but time. Removing the folder is safe at any time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from marey.errors import VideoError
from marey.files import key_of, write_atomically
from marey.video.index import FrameIndex
from marey.video.packed.names import FRAMES, inside
from marey.video.packed.reader import PackedReader
from marey.video.reader import Truncated, VideoReader, open_video

WORTH = 1000
"""Packets from which on a table is kept; going through fewer takes about as long as looking one up."""
_SETTLED_NS = 2_000_000_000
_FORMAT = 1


@contextmanager
def open_known(path: str, *, truncated: Truncated = "error") -> Iterator[VideoReader]:
    """`open_video`, without going through the packets of a long video that was opened before."""
    kind = inside(path)
    if kind == FRAMES:
        with PackedReader(Path(path)) as packed:
            yield packed
        return
    stat = None
    if kind is None:
        with suppress(OSError):
            stat = os.stat(path)  # noqa: PTH116
    if stat is None:
        with open_video(path, truncated=truncated) as reader:
            yield reader
        return
    place = _place(path, truncated)
    index = _read(place, stat)
    if index is not None:
        try:
            known = open_video(path, truncated=truncated, index=index)
        except VideoError:
            index = None  # the file says otherwise: it is read anew below
        else:
            with known as reader:
                yield reader
            return
    with open_video(path, truncated=truncated) as reader:
        changed = max(stat.st_mtime_ns, stat.st_ctime_ns)
        if len(reader.index.packet_pts) >= WORTH and time.time_ns() - changed > _SETTLED_NS:
            with suppress(OSError):
                _write(place, reader.index, stat)
        yield reader


def cache_folder() -> Path:
    """Where entries lie."""
    own = os.environ.get("MAREY_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "marey"


def _place(path: str, truncated: str) -> Path:
    import av

    made_of = {"path": os.path.abspath(path), "truncated": truncated, "format": _FORMAT, "av": av.__version__}  # noqa: PTH100
    key = key_of(made_of)
    return cache_folder() / "frames" / key[:2] / f"{key}.safetensors"


def _identity(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _write(place: Path, index: FrameIndex, stat: os.stat_result) -> None:
    from safetensors.numpy import save

    arrays, plain = {}, {}
    for field in dataclasses.fields(FrameIndex):
        value = getattr(index, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = np.ascontiguousarray(value)
        else:
            plain[field.name] = value
    about = {"file": _identity(stat), "plain": plain, "check": _check(arrays)}
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, save(arrays, metadata={"about": json.dumps(about)}))


def _read(place: Path, stat: os.stat_result) -> FrameIndex | None:
    """The table, or None where there is none, or it is another file's, or damaged."""
    from safetensors import SafetensorError, safe_open

    if not place.is_file():
        return None
    try:
        with safe_open(place, framework="np") as file:
            about = json.loads((file.metadata() or {})["about"])
            if about["file"] != _identity(stat):
                return None
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["check"] != _check(arrays):
            return None
        return FrameIndex(**arrays, **about["plain"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None


def _check(arrays: dict[str, np.ndarray]) -> int:
    total = 0
    for name in sorted(arrays):
        total = zlib.crc32(arrays[name].tobytes(), zlib.crc32(name.encode(), total))
    return total
