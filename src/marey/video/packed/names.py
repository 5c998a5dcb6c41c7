"""Paths inside a pack: what they look like, and whether there is something at them. Light: no video is opened."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from marey.errors import DataError

FRAMES, TAR = ".frames", ".tar"


def inside(path: Path) -> str | None:
    """FRAMES or TAR where a path leads into a shard or a tar, else None. A folder may be called so as well."""
    suffix = path.parent.suffix
    return suffix if suffix in (FRAMES, TAR) and path.parent.is_file() else None


def shard_number(path: Path) -> int | None:
    """7 of `HASH.frames/7-fight_012`."""
    number = path.name.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else None


def is_there(path: str | Path) -> bool:
    """Whether there is a file at a path, or a video inside a shard or a tar."""
    if os.path.exists(path):  # noqa: PTH110  (ten times quicker than Path)
        return True
    path = Path(path)
    kind = inside(path)
    if kind is None:
        return False
    try:
        if kind == TAR:
            from marey.video.packed.tar import members

            return path.name in members(path.parent)
        from marey.video.packed.shard import shard

        number = shard_number(path)
        return number is not None and number < len(shard(path.parent))
    except DataError:
        return False


def disk_bytes(path: str | Path) -> int:
    """What a file takes on disk, or a video inside a shard or a tar.

    Raises:
        OSError, DataError: there is nothing.
    """
    path = Path(path)
    kind = inside(path)
    if kind == TAR:
        from marey.video.packed.tar import members

        return members(path.parent).get(path.name, (0, 0))[1]
    if kind == FRAMES:
        from marey.video.packed.shard import shard

        number = shard_number(path)
        if number is None or number >= len(shard(path.parent)):
            return 0
        entry = shard(path.parent).entries[number]
        return int(entry["about"] + entry["about_bytes"] - entry["at"])
    return path.stat().st_size


@contextmanager
def as_file(data: bytes) -> Iterator[tuple[BinaryIO, str]]:
    """Bytes as a file that a decoder can open by its name, for as long as the context lasts: in memory, where
    the system has such files."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("marey"), "w+b") as file:
            file.write(data)
            file.flush()
            yield file, f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "movie.mp4"
        path.write_bytes(data)
        with path.open("rb") as file:
            yield file, str(path)
