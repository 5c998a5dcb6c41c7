"""A shard: decoded frames of many videos in one file that is memory-mapped.

    bytes of the file
        MAGIC
        video 0:  frames uint8 (N, H, W, 3), in C order
                  about:  times float64 (N,) | key frames uint8 (N,) | CRC-32 of each frame uint32 (N,) | JSON
        video 1:  …
        entries   ENTRY (M,): where each video's frames and about lie, and how large they are
        tail      TAIL: number of entries, CRC-32 of the entries, MAGIC

Numbers are little-endian. A shard is written beside, forced to the disk, named after its content and never
changed again: what reads it can hold on to it, and what stops half-way leaves none.

The small parts (entries, times, JSON) are checked each time a video is opened. The frames are checked by
`damage`, which reads all of them: their checksums are of single frames, so that it can name the frame.
"""

from __future__ import annotations

import functools
import json
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import DataError, VideoError, VideoNotFoundError
from marey.files import key_of
from marey.types import BoolArray, FloatArray, UInt8Array
from marey.video.packed.growing import GrowingFile
from marey.video.packed.names import FRAMES

MAGIC = b"marey frames 1\n\0"
ENTRY = np.dtype([
    ("key", "S16"), ("frames", "<u4"), ("height", "<u4"), ("width", "<u4"), ("at", "<u8"),
    ("about", "<u8"), ("about_bytes", "<u4"), ("about_crc", "<u4"),
])  # fmt: skip
TAIL = np.dtype([("entries", "<u8"), ("crc", "<u4"), ("magic", f"S{len(MAGIC)}")])
_ALIGN = 64


@dataclass(frozen=True, eq=False)
class Packed:
    """One video of a shard.

    Attributes:
        frames: uint8 `(N, H, W, 3)`, RGB; lies in the mapped file, writing to it changes nothing there.
        times: float64 `(N,)`, the frames' own times on the source's clock.
        keyframes: bool `(N,)`.
        checks: uint32 `(N,)`, CRC-32 of each frame.
        about: what else was kept: the source, its end, its pixels' shape.
    """

    frames: UInt8Array
    times: FloatArray
    keyframes: BoolArray
    checks: NDArray[np.uint32]
    about: dict[str, Any]


class ShardWriter:
    """Writes one shard, video by video; use it as a context manager, and call `finish`.

    Args:
        folder: the folder of shards.
    """

    def __init__(self, folder: Path) -> None:
        self._file = GrowingFile(folder)
        self._entries: list[tuple[Any, ...]] = []

    def __enter__(self) -> ShardWriter:
        self._file.__enter__()
        self._file.put(MAGIC)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def add(
        self,
        key: str,
        *,
        times: FloatArray,
        keyframes: BoolArray,
        size: tuple[int, int],
        chunks: Iterable[UInt8Array],
        about: dict[str, Any],
    ) -> int:
        """Append a video; gives its number in the shard. One that fails on the way leaves no trace.

        Args:
            key: sixteen digits that stand for content and settings.
            times, keyframes: `(N,)`.
            size: (height, width) of the frames.
            chunks: the frames, uint8 `(n, H, W, 3)` in any portions.
            about: plain JSON.

        Raises:
            NoRoomError: the disk is full; the videos before are still good, and `finish` keeps them.
        """
        checks = []
        with self._file.whole():
            self._file.align(_ALIGN)
            at = self._file.at
            for frames in chunks:
                for frame in np.ascontiguousarray(frames):
                    checks.append(zlib.crc32(frame))
                    self._file.put(frame.data)
            assert len(checks) == len(times) == len(keyframes), "every frame must be written"
            place = self._file.at
            small = b"".join([
                np.asarray(times, "<f8").tobytes(),
                np.asarray(keyframes, np.uint8).tobytes(),
                np.array(checks, "<u4").tobytes(),
                json.dumps(about, ensure_ascii=False).encode("utf-8"),
            ])  # fmt: skip
            self._file.put(small)
        self._entries.append((key.encode(), len(times), *size, at, place, len(small), zlib.crc32(small)))
        return len(self._entries) - 1

    def finish(self) -> Path | None:
        """Give the shard its name; None where it holds nothing.

        Raises:
            NoRoomError: the disk is full.
        """
        if not self._entries:
            return None
        table = np.array(self._entries, ENTRY)
        self._file.put(table.tobytes())
        self._file.put(np.array([(len(table), zlib.crc32(table.tobytes()), MAGIC)], TAIL).tobytes())
        # of keys and checksums of all that is in it: the same content has the same name
        name = key_of({"entries": [[row["key"].decode(), int(row["about_crc"])] for row in table]})
        return self._file.finish(f"{name}{FRAMES}")


class Shard:
    """A shard that is read. Holds its table of entries, and no open file.

    Raises:
        VideoNotFoundError: there is no such file.
        DataError: it is not a shard, or its table is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._file = file_identity(os.fstat(file.fileno()))
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL.itemsize))
                tail = file.read()
                whole = len(tail) == TAIL.itemsize and tail[-len(MAGIC) :].rstrip(b"\0") == MAGIC.rstrip(
                    b"\0"
                )
                count, crc, _ = np.frombuffer(tail, TAIL)[0] if whole else (0, 0, b"")
                begin = size - TAIL.itemsize - int(count) * ENTRY.itemsize
                file.seek(max(0, begin))
                table = file.read(int(count) * ENTRY.itemsize) if begin > 0 else b""
        except FileNotFoundError as error:
            raise VideoNotFoundError(path, "there is no such shard.") from error
        if not whole or zlib.crc32(table) != crc:
            raise DataError(
                "this is not a shard of frames, or its table is damaged.",
                "pack the data again: marey data pack DATA --out PACK --verify",
                where=str(path),
            )
        self.entries: NDArray[Any] = np.frombuffer(table, ENTRY)

    def __len__(self) -> int:
        return len(self.entries)

    def video(self, number: int, *, writable: bool = True) -> Packed:
        """Map one video. The map is gone when nothing holds its frames any more.

        Args:
            writable: what is written to its arrays stays in this process. Else they refuse it.

        Raises:
            DataError: the table of its times is damaged, or the file is not the one that the entries were read from.
        """
        entry = self.entries[number]
        n, height, width = (int(entry[name]) for name in ("frames", "height", "width"))
        begin = int(entry["at"])
        base = begin - begin % mmap.ALLOCATIONGRANULARITY
        end = int(entry["about"]) + int(entry["about_bytes"])
        file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            if file_identity(os.fstat(file)) != self._file:
                raise self._damaged(number, "the shard was written over while it was open")
            if end > self._file[2]:
                raise self._damaged(number, "the file is shorter than its table says")
            access = mmap.ACCESS_COPY if writable else mmap.ACCESS_READ
            data = mmap.mmap(file, end - base, access=access, offset=base)
        finally:
            os.close(file)
        blob = memoryview(data)[int(entry["about"]) - base : end - base]
        if zlib.crc32(blob) != entry["about_crc"]:
            raise self._damaged(number, "its table of times is damaged")
        return Packed(
            np.frombuffer(data, np.uint8, n * height * width * 3, begin - base).reshape(n, height, width, 3),
            np.frombuffer(blob, "<f8", n),
            np.frombuffer(blob, np.bool_, n, 8 * n),
            np.frombuffer(bytes(blob[9 * n : 13 * n]), "<u4"),
            json.loads(bytes(blob[13 * n :])),
        )

    def damage(self) -> Iterator[tuple[int, str]]:
        """Read everything: (number, what is wrong with it) of each video that is not as it was written."""
        for number in range(len(self)):
            what = self.damage_of(number)
            if what:
                yield number, what

    def damage_of(self, number: int) -> str:
        """Read one video whole: what is wrong with it, or "" where it is as it was written."""
        try:
            video = self.video(number)
        except DataError as error:
            return error.what
        for index, frame in enumerate(video.frames):
            if zlib.crc32(frame) != video.checks[index]:
                return f"frame {index} ({video.times[index]:.3f} s) of {video.about['source']} is damaged"
        return ""

    def _damaged(self, number: int, what: str) -> VideoError:
        return VideoError(
            f"{self.path}/{number}", f"{what}.", "pack it again: marey data pack DATA --out PACK --verify"
        )


def shard(path: Path) -> Shard:
    """A shard, held on to while the file at its path is the same: one that was written over is read anew.

    Raises:
        VideoNotFoundError: there is no such file. DataError: it is not a shard.
    """
    try:
        return _shard(path, file_identity(os.stat(path)))  # noqa: PTH116
    except FileNotFoundError as error:
        raise VideoNotFoundError(path, "there is no such shard.") from error


def file_identity(stat: os.stat_result) -> tuple[int, int, int, int]:
    """What tells a file from another, and from itself before it was written to."""
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=256)
def _shard(path: Path, identity: tuple[int, int, int, int]) -> Shard:
    return Shard(path)
