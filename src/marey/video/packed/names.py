"""Paths inside a pack: what they look like, and whether there is something at them. Light: no video is opened."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from marey.errors import DataError, VideoNotFoundError

FRAMES, TAR = ".frames", ".tar"
SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "abfss", "http", "https", "memory", "file")
"""What may stand before `://` in the address of a tar."""


def is_address(path: str) -> bool:
    """Whether this is the address of a file system that is not this machine's folders: `s3://bucket/…`."""
    scheme, colon, _ = path.partition("://")
    return bool(colon) and scheme in SCHEMES


def split_tar(path: str | Path) -> tuple[str | Path, str]:
    """The tar, a path or an address, and the member's name."""
    if isinstance(path, str) and is_address(path):
        tar, _, name = path.rpartition("/")
        return tar, name
    path = Path(path)
    return path.parent, path.name


def inside(path: str | Path) -> str | None:
    """FRAMES or TAR where a path leads into a shard or a tar, else None. A folder may be called so as well.

    Of addresses only those that lead into a tar are anything; every other is the name of a file that is not there.
    """
    if isinstance(path, str) and is_address(path):
        return TAR if path.rpartition("/")[0].endswith(TAR) else None
    path = Path(path)
    suffix = path.parent.suffix
    return suffix if suffix in (FRAMES, TAR) and path.parent.is_file() else None


def shard_number(path: Path) -> int | None:
    """7 of `HASH.frames/7-fight_012`."""
    number = path.name.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else None


def is_there(path: str | Path) -> bool:
    """Whether there is a file at a path, or a video inside a shard or a tar.

    Raises:
        DataError: an address that cannot be asked.
    """
    if isinstance(path, str) and is_address(path):
        return _is_at_address(path)
    if os.path.exists(path):  # noqa: PTH110  (ten times quicker than Path)
        return True
    kind = inside(path)
    if kind is None:
        return False
    try:
        if kind == TAR:
            from marey.video.packed.tar import members

            tar, name = split_tar(path)
            return name in members(tar)
        from marey.video.packed.shard import shard

        number = shard_number(Path(path))
        return number is not None and number < len(shard(Path(path).parent))
    except DataError:
        return False


def _is_at_address(address: str) -> bool:
    if inside(address) is None:
        return False
    from marey.video.packed.tar import members

    tar, name = split_tar(address)
    try:
        return name in members(tar)
    except VideoNotFoundError:
        return False


def disk_bytes(path: str | Path) -> int:
    """What a file takes on disk, or a video inside a shard or a tar.

    Raises:
        OSError, DataError: there is nothing.
    """
    kind = inside(path)
    if kind == TAR:
        from marey.video.packed.tar import members

        tar, name = split_tar(path)
        return members(tar).get(name, (0, 0))[1]
    path = Path(path)
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
