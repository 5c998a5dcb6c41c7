"""MMAction2's list of raw frames: `dir n label [label …]`, or with an offset `dir offset n label [label …]`.

marey reads videos, not folders of pictures: `dir` is taken by the video of its name, which must have the same frames.
`marey data frames` makes such videos without loss.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marey.data.layouts.clock import Clock, Frames
from marey.data.layouts.folders import VIDEO_SUFFIXES
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source, split_of
from marey.data.layouts.mmaction2 import class_numbers, cut
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.textfile import read_lines
from marey.data.layouts.writing import Outgoing, put_lines

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_TAKES = ("classes", "first_class", "fps")


def _lists(source: Source, least: int) -> list[Path]:
    """Text files whose every line is a folder and `least` numbers or more."""
    files = []
    for file in source.ending(".txt"):
        rows = [cut(line) for line in source.head_lines(file)]
        if rows and all(
            len(numbers) >= least
            and Path(path).suffix.lower() not in VIDEO_SUFFIXES
            and path
            and not path.isdecimal()
            for path, numbers in rows
        ):
            files.append(file)
    return files


def found(source: Source) -> str:
    lists = _lists(source, 2)
    return f"the folder, frames and class of {lists[0].name}" if lists else ""


def found_offset(source: Source) -> str:
    lists = _lists(source, 3)
    return f"the folder, offset, frames and class of {lists[0].name}" if lists else ""


def read(source: Source, how: How) -> RawRows:
    return _read(source, how, offset=False)


def read_offset(source: Source, how: How) -> RawRows:
    return _read(source, how, offset=True)


def _read(source: Source, how: How, *, offset: bool) -> RawRows:
    rows = Gathered(source, how)
    stems = Stems(rows)
    clock = Clock(rows, stems.root)
    numbers = class_numbers(source, how)
    kept: list[tuple[Path, int, str, tuple[float | None, float | None], str | None]] = []
    for file in _lists(source, 3 if offset else 2) if source.path.is_dir() else [source.path]:
        for line, text in read_lines(file):
            folder, cells = cut(text)
            values = [int(cell) for cell in cells]
            if len(values) < (3 if offset else 2):
                rows.fault(
                    file,
                    line,
                    f"{text[:80]!r} is not a folder, {'offset, ' if offset else ''}frames and a class.",
                )
                continue
            if not stems.has(folder) and (pictures := stems.frame_folder(folder)):
                rows.fault(
                    file, line, f"{pictures!r} is a folder of pictures, and marey reads videos.",
                    "make videos of them without loss: marey data frames SRC OUT --fps N, then give --root OUT",
                )  # fmt: skip
                continue
            path = stems.find(file, line, folder)
            span: tuple[float | None, float | None] | None = (None, None)
            if offset:
                span = clock.span(file, line, path, values[0], values[0] + values[1])
            elif not clock.fits(file, line, path, values[0]):
                continue
            if span is None:
                continue
            labels = values[2:] if offset else values[1:]
            numbers.see(file, line, labels)
            kept.append((file, line, path, span, split_of(file.name)))
    labels_of, names = numbers.resolve(rows)
    rows.raise_faults()
    for (file, line, path, (start, end), split), label in zip(kept, labels_of, strict=True):
        for name in label.split("|"):
            rows.add(file, line, path, name, start=start, end=end, split=split)
    several = any("|" in label for label in labels_of)
    said = "MMAction2 raw frames" + (" with offsets" if offset else "")
    said += "" if numbers.names is not None else " (no list of classes: they are called by their numbers)"
    return rows.done(said, class_names=names, multi_label=True if several else None, root=stems.root)


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    return _write(manifest, out, how, offset=False)


def write_offset(manifest: Manifest, out: Path, how: How) -> list[Path]:
    return _write(manifest, out, how, offset=True)


def _write(manifest: Manifest, out: Path, how: How, *, offset: bool) -> list[Path]:
    title = "MMAction2 raw frames"
    going = Outgoing(manifest, how, title, segments=offset, several=True, splits=("train", "val", "test"))
    going.refuse_spaces()
    frames = Frames(going.root, how.fps, title)
    files = [put_lines(out / "classes.txt", going.class_names)]
    for split, part in going.by_split().items():
        lines = []
        for row in part:
            first, stop = frames.at(row["path"], row["start"]), frames.at(row["path"], row["end"], last=True)
            folder = PurePosixPath(row["path"]).with_suffix("").as_posix()
            cells = [first, stop - first] if offset else [stop]
            lines.append(" ".join(map(str, [folder, *cells, *going.numbers(row["label"])])))
        files.append(put_lines(out / f"{split or 'list'}.txt", lines))
    frames.say()
    return files


LAYOUT = Layout(
    "mmaction2-frames", "MMAction2 raw frames", "txt lists of `dir frames label [label …]`", found, read, write,
    takes=_TAKES,
)  # fmt: skip
OFFSET = Layout(
    "mmaction2-offset", "MMAction2 raw frames with offsets", "txt lists of `dir offset frames label [label …]`",
    found_offset, read_offset, write_offset, takes=_TAKES,
)  # fmt: skip
