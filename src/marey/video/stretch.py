"""Whole videos or stretches of them: what flow and features are computed of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from marey.video.packed.names import is_address


class Place(Protocol):
    """What a sample of a manifest offers: a path, and the seconds of a segment or None."""

    @property
    def path(self) -> str: ...
    @property
    def start(self) -> float | None: ...
    @property
    def end(self) -> float | None: ...


@dataclass(frozen=True)
class Stretch:
    """A video, or the stretch [start, end) of it in seconds."""

    path: str
    start: float | None = None
    end: float | None = None

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return self.path
        return f"{self.path} [{self.start or 0:g}–{'end' if self.end is None else f'{self.end:g}'} s]"

    def cells(self) -> dict[str, str]:
        """path, start and end as they stand in a table."""
        times = {k: "" if v is None else repr(v) for k, v in (("start", self.start), ("end", self.end))}
        return {"path": self.path, **times}


def stretches(videos: Iterable[str | Path | Place]) -> list[Stretch]:
    """Paths, or samples with their segments, as stretches of files: each once, in order, paths absolute."""
    found = []
    for video in videos:
        if isinstance(video, (str, Path)):
            found.append(Stretch(_absolute(video)))
        else:
            found.append(Stretch(_absolute(video.path), video.start, video.end))
    return list(dict.fromkeys(found))


def _absolute(path: str | Path) -> str:
    return path if isinstance(path, str) and is_address(path) else str(Path(path).absolute())
