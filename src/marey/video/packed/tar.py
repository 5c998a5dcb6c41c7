"""Movies in tars, in the form that WebDataset streams: KEY.mp4 and KEY.json beside each other, not compressed.

Members are read by their place, in any order: the place of each is found once by walking over the headers. A tar may
also lie at an address (`marey.video.packed.remote`).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import ArrayLike

from marey.errors import DataError, VideoError, VideoNotFoundError
from marey.files import key_of
from marey.types import Clip, FloatArray
from marey.video.index import FrameIndex
from marey.video.packed.growing import GrowingFile
from marey.video.packed.names import TAR, as_file, split_tar
from marey.video.picture import Box, Decode, Size
from marey.video.reader import VideoInfo, VideoReader, open_video

_BLOCK = tarfile.BLOCKSIZE


class TarWriter:
    """Writes one tar, video by video; use it as a context manager, and call `finish`."""

    def __init__(self, folder: Path) -> None:
        self._file = GrowingFile(folder)
        self._checks: list[list[Any]] = []

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def add(self, name: str, movie: bytes, about: dict[str, Any]) -> None:
        """Append NAME.mp4, and NAME.json with what is known of it and the movie's CRC-32.

        Raises:
            NoRoomError: the disk is full; the videos before are still good, and `finish` keeps them.
        """
        assert "." not in name, "WebDataset takes what follows the first dot for the kind of a member"
        about = {**about, "crc32": zlib.crc32(movie)}
        with self._file.whole():
            self._member(f"{name}.json", json.dumps(about, ensure_ascii=False).encode("utf-8"))
            self._member(f"{name}.mp4", movie)
        self._checks.append([name, about["crc32"]])

    def finish(self) -> Path | None:
        """Give the tar its name; None where it holds nothing."""
        if not self._checks:
            return None
        self._file.put(b"\0" * (2 * _BLOCK))
        self._file.align(tarfile.RECORDSIZE)
        return self._file.finish(key_of({"entries": self._checks}) + TAR)

    def _member(self, name: str, data: bytes) -> None:
        header = tarfile.TarInfo(name)
        header.size = len(data)
        self._file.put(header.tobuf())
        self._file.put(data)
        self._file.align(_BLOCK)


def members(path: str | Path) -> dict[str, tuple[int, int]]:
    """Name -> (place, bytes) of every file in a tar, at a path or an address.

    Raises:
        VideoNotFoundError: there is no such tar. DataError: it is not one.
    """
    if isinstance(path, str):
        from marey.video.packed.remote import remote_members

        return remote_members(path)
    try:
        stat = path.stat()
    except OSError as error:
        raise VideoNotFoundError(path, "there is no such tar.") from error
    return _members(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _members(path: Path, size: int, modified: int) -> dict[str, tuple[int, int]]:
    try:
        with tarfile.open(path, "r:") as tar:
            return {member.name: (member.offset_data, member.size) for member in tar if member.isreg()}
    except tarfile.TarError as error:
        raise DataError(f"not readable as a tar: {error}.", where=str(path)) from error


def read_member(path: str | Path, name: str) -> bytes:
    """The bytes of one file in a tar, at a path or an address."""
    if isinstance(path, str):
        from marey.video.packed.remote import HELD

        return HELD.get(path, name)
    found = members(path).get(name)
    if found is None:
        raise VideoNotFoundError(path / name, "there is no such file in this tar.")
    with path.open("rb") as file:
        file.seek(found[0])
        data = file.read(found[1])
    if len(data) < found[1]:
        raise VideoError(path / name, "the tar ends within this file.")
    return data


def damage(path: Path) -> Iterator[tuple[str, str]]:
    """Read everything: (name, what is wrong) of each movie that is not as its JSON says."""
    for name in members(path):
        if not name.endswith(".mp4"):
            continue
        try:
            about = json.loads(read_member(path, name.removesuffix(".mp4") + ".json"))
            if zlib.crc32(read_member(path, name)) != about["crc32"]:
                yield name, "the movie is damaged"
        except (DataError, ValueError, KeyError) as error:
            yield name, str(error)


class TarReader:
    """A `VideoReader` of a movie inside a tar; `open_video` makes one and says what the arguments are."""

    def __init__(self, path: str | Path, **how: Any) -> None:
        self.path = path
        self._held = ExitStack()
        _, name = self._held.enter_context(as_file(read_member(*split_tar(path))))
        try:
            self._reader: VideoReader = open_video(name, **how)
        except BaseException as error:
            self._held.close()
            if isinstance(error, VideoError):
                error.where = error.path = str(path)
            raise

    @property
    def info(self) -> VideoInfo:
        return dataclasses.replace(self._reader.info, path=str(self.path))

    @property
    def times(self) -> FloatArray:
        return self._reader.times

    @property
    def keyframes(self) -> FloatArray:
        return self._reader.keyframes

    @property
    def index(self) -> FrameIndex:
        return self._reader.index

    def frames_at(
        self, times: ArrayLike, *, size: Size = None, decode: Decode = "rgb", box: Box | None = None
    ) -> Clip:
        try:
            return self._reader.frames_at(times, size=size, decode=decode, box=box)
        except DataError as error:
            error.where = str(self.path)
            raise

    def close(self) -> None:
        self._reader.close()
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"TarReader({self.info!r})"
