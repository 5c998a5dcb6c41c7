"""What a layout is: a format of somebody else, with how it is recognised, read and written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from marey.data.layouts.folders import SPLIT_NAMES
from marey.data.layouts.raw import RawRows
from marey.errors import ConfigError

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_SUFFIXES = frozenset({".txt", ".csv", ".tsv", ".json", ".xml", ".eaf", ".bundle", ".pbtxt"})
_FOLDERS = 400
_ENTRIES = 5000
_HEAD = 1 << 14


@dataclass(frozen=True, kw_only=True)
class How:
    """What a format leaves open. Each layout takes some of these; giving one that it does not take is an error.

    Attributes:
        root: the folder that the videos lie in; by default the folder of the annotations, or the one folder
            in it that holds them.
        split: which of the numbered official splits (UCF101, HMDB51, action segmentation); by default the first.
        fps: frames a second of every video, for formats that count in frames; by default each video's own clock.
        classes: a file of class names, for formats that number their classes: one name a line, or JSON.
        first_class: the number of the first class, 0 or 1; by default the format's own, checked.
        label: which of several labels is the class: verb, noun or action (EPIC-Kitchens), the name of a tier
            (ELAN) or of an attribute (VIA).
        ends: what to do with segments that end after their video: an error, cut them (counted and said), or do not
            look.
        outside: whether paths may lead out of the videos' folder.
    """

    root: Path | None = None
    split: int | None = None
    fps: float | None = None
    classes: Path | None = None
    first_class: int | None = None
    label: str | None = None
    ends: Literal["error", "trim", "trust"] = "error"
    outside: bool = False


@dataclass(frozen=True)
class Source:
    """A file, or a folder with its annotation files: those in it and in the folders right below it.

    It is listed once, and every layout looks at the same list. Of a folder with more than 400 folders none is
    looked into, and of a folder with more than 5,000 files the first 5,000 are looked at.
    """

    path: Path
    _heads: dict[Path, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Annotation files by their suffix, those of the folder itself first, each folder's in order."""
        if not self.path.is_dir():
            return (self.path,)
        here, folders = _listing(self.path)
        below = [_listing(folder)[0] for folder in folders] if len(folders) <= _FOLDERS else []
        return tuple(file for files in (here, *below) for file in files)

    def named(self, pattern: str) -> list[Path]:
        """Files whose whole name matches a regular expression, upper and lower case alike."""
        return [file for file in self.files if re.fullmatch(pattern, file.name, re.IGNORECASE)]

    def ending(self, *suffixes: str) -> list[Path]:
        return [file for file in self.files if file.suffix.lower() in suffixes]

    def head(self, file: Path) -> str:
        """The beginning of a file, for recognising it; "" where it cannot be read."""
        if file not in self._heads:
            try:
                with file.open("rb") as opened:
                    data = opened.read(_HEAD)
            except OSError:
                data = b""
            self._heads[file] = (
                data.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
            )
        return self._heads[file]

    def head_lines(self, file: Path) -> list[str]:
        """Whole lines of the head that are not blank."""
        head = self.head(file)
        lines = head.split("\n")
        if len(head) >= _HEAD // 4 and not head.endswith("\n") and len(lines) > 1:
            lines = lines[:-1]  # it may be cut
        return [line for line in lines if line.strip()]


@dataclass(frozen=True)
class Layout:
    """One format.

    Attributes:
        name: what `--as` takes.
        title: what people call it.
        files: what it is recognised by, in words.
        found: the files that speak for it, in words; "" where nothing does.
        read: makes rows of it.
        write: writes a manifest in it and returns the files, or None where it is only read.
        takes: the fields of `How`, other than `root`, `outside` and `ends`, that mean something to it.
    """

    name: str
    title: str
    files: str
    found: Callable[[Source], str]
    read: Callable[[Source, How], RawRows]
    write: Callable[[Manifest, Path, How], list[Path]] | None = None
    takes: Sequence[str] = ()

    def check(self, how: How) -> None:
        """Refuse an option that would be without effect.

        Raises:
            ConfigError: the option and the layout.
        """
        for one in fields(how):
            given = getattr(how, one.name) != one.default
            if given and one.name not in (*self.takes, "root", "outside", "ends"):
                flag = one.name.replace("_", "-")
                taken = ("root", "outside", "ends", *self.takes)
                raise ConfigError(
                    f"--{flag} means nothing to {self.title} ({self.name}).",
                    "it takes: " + ", ".join("--" + name.replace("_", "-") for name in taken),
                )


def split_of(name: str) -> str | None:
    """The split that a file's name says ("kinetics_val_list.txt" -> "val"), or None where it says none or two."""
    words = re.split(r"[^a-z]+", name.lower())
    said = {"val" if word == "validate" else SPLIT_NAMES.get(word) for word in words} - {None}
    return said.pop() if len(said) == 1 else None


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    files, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(Path(entry.path))
                elif number < _ENTRIES and Path(entry.name).suffix.lower() in _SUFFIXES:
                    files.append(Path(entry.path))
    except PermissionError:
        return [], []
    return sorted(files), sorted(folders)
