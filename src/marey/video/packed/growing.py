"""A file that is written piece by piece and becomes whole at the end, or keeps what was good when the disk fills."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from marey.errors import NoRoomError
from marey.files import partial_path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class GrowingFile:
    """Use it as a context manager: what was not finished is removed.

    Args:
        folder: where it will lie; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.at = 0
        self._work = partial_path(folder / f"shard-{os.urandom(4).hex()}")

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self._work.open("wb", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._work.unlink(missing_ok=True)

    def put(self, data: bytes | memoryview) -> None:
        """Append bytes.

        Raises:
            NoRoomError: the disk is full.
        """
        view = memoryview(data).cast("B")
        while view:
            with _named(self.folder):
                written = os.write(self._file.fileno(), view)
            view, self.at = view[written:], self.at + written

    def align(self, to: int) -> None:
        """Append zeros up to a multiple of `to`."""
        self.put(b"\0" * (-self.at % to))

    @contextmanager
    def whole(self) -> Iterator[None]:
        """What is put inside is taken back where it fails."""
        before = self.at
        try:
            yield
        except BaseException:
            os.ftruncate(self._file.fileno(), before)
            os.lseek(self._file.fileno(), before, os.SEEK_SET)
            self.at = before
            raise

    def finish(self, name: str) -> Path:
        """Force it to the disk and give it its name.

        Raises:
            NoRoomError: the disk is full.
        """
        with _named(self.folder):
            os.fsync(self._file.fileno())
        path = self.folder / name
        self._work.replace(path)
        return path


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise no_room(folder) from error


def no_room(folder: Path) -> NoRoomError:
    """The error of a disk that filled up in the middle."""
    return NoRoomError(
        "the disk is full, or a limit on its use is reached.",
        "what was packed before is whole and stays; make room and call again to go on.",
        where=str(folder),
    )


def is_full(error: OSError) -> bool:
    """Whether an error says that there is no room."""
    return error.errno in _FULL
