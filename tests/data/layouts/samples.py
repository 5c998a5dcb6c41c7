"""Small data sets in each format's own form, with what should come out of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from marey.data.layouts.layout import How
from marey.data.manifest import Manifest
from marey.video.synthetic import write_video

Row = tuple[str, str, float | None, float | None, str | None, str | None]
"""path (from the videos' folder), label, start, end, split, group."""


@dataclass(frozen=True)
class Example:
    """Files of a data set.

    Attributes:
        files: path -> text, or a list of lines.
        videos: path -> number of frames at 10 frames a second; 0 frames is a file that nobody opens.
        rows: what they say.
        classes: the class names in order.
        read_as: the sentence.
        root: the folder of the videos, where it is not the one that is given.
        out: what `export` is to make: a folder, or a file's name.
        how: options, for reading and writing.
        back: options that reading back needs besides.
    """

    files: dict[str, str | bytes]
    videos: dict[str, int]
    rows: list[Row]
    classes: tuple[str, ...]
    read_as: str
    root: str = "."
    out: str = "."
    how: dict = field(default_factory=dict)
    back: dict = field(default_factory=dict)


def lay_out(folder: Path, example: Example) -> Path:
    """Write an example's files and videos."""
    for name, text in example.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for name, frames in example.videos.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if frames:
            grey = np.full((frames, 16, 16, 3), 90, np.uint8)
            write_video(path, grey, fps=10.0)
        else:
            path.write_bytes(b"x")
    return folder


def rows_of(manifest: Manifest, root: Path) -> list[Row]:
    """A manifest's rows as `Example.rows` has them, in a fixed order."""
    rows = []
    for number in range(len(manifest)):
        one = manifest.sample(number)
        path = Path(one.path).relative_to(root.resolve()).as_posix()
        start = None if one.start is None else round(one.start, 6)
        end = None if one.end is None else round(one.end, 6)
        rows.append((path, "|".join(sorted(one.labels)), start, end, one.split, one.group))
    return sorted(rows, key=str)


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def options(folder: Path, how: dict) -> How:
    """`How` with paths from the example's folder."""
    return How(**{k: folder / v if k in ("root", "classes") else v for k, v in how.items()})
