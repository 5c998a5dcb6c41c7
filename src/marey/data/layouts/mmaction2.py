"""MMAction2's list of videos: `path label [label …]` a line, classes by number from 0.

https://mmaction2.readthedocs.io/en/latest/user_guides/prepare_dataset.html
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from marey.data.layouts.classes import Numbers, read_classes, whole_numbers
from marey.data.layouts.folders import VIDEO_SUFFIXES
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source, split_of
from marey.data.layouts.raw import RawRows
from marey.data.layouts.textfile import read_lines
from marey.data.layouts.writing import Outgoing, put_lines
from marey.errors import ManifestError

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_OTHERS = r"((train|test)list\d\d|.*_test_split\d)\.txt"  # UCF101 and HMDB51 lists have lines like these
_CLASSES = r"(label_map.*|classes|class_names?|action_names?)\.txt"


def _lists(source: Source) -> list[Path]:
    files = []
    for file in source.ending(".txt"):
        lines = [] if re.fullmatch(_OTHERS, file.name, re.IGNORECASE) else source.head_lines(file)
        if lines and all(_is_row(line) for line in lines):
            files.append(file)
    return files


def _is_row(line: str) -> bool:
    path, numbers = cut(line)
    return bool(numbers) and Path(path).suffix.lower() in VIDEO_SUFFIXES


def cut(line: str) -> tuple[str, list[str]]:
    """The path, and the numbers behind it: `some path.mp4 1 3` -> `some path.mp4`, `["1", "3"]`."""
    match = re.fullmatch(r"(.+?)((?:\s+\d+)+)", line.strip())
    return (match[1], match[2].split()) if match else (line.strip(), [])


def found(source: Source) -> str:
    lists = _lists(source)
    return f"the path-and-number lines of {lists[0].name}" if lists else ""


def read(source: Source, how: How) -> RawRows:
    """The split is told by each list's name. Classes are named by --classes, or by the one `label_map*.txt` or
    `classes.txt` beside the lists; without any, they are called by their numbers."""
    return read_lists(source, how, _lists(source) if source.path.is_dir() else [source.path], "MMAction2")


def read_lists(source: Source, how: How, lists: list[Path], title: str) -> RawRows:
    """`path label [label …]` lines, whoever's they are."""
    rows = Gathered(source, how)
    numbers = class_numbers(source, how)
    kept: list[tuple[Path, int, str]] = []
    for file in lists:
        for line, text in read_lines(file):
            path, labels = cut(text)
            found_numbers = whole_numbers(labels)
            if not found_numbers:
                last = text.split()[-1]
                rows.fault(
                    file, line, f"{text[:80]!r} does not end in the number of a class.",
                    *([f"{last!r} is no number: {title} numbers its classes"] if last != text else []),
                )  # fmt: skip
                continue
            if len(set(found_numbers)) < len(found_numbers):
                rows.fault(file, line, f"{text[:80]!r} names a class twice.")
                continue
            numbers.see(file, line, found_numbers)
            kept.append((file, line, path))
    labels, names = numbers.resolve(rows)
    rows.raise_faults()
    several = any("|" in label for label in labels)
    for (file, line, path), label in zip(kept, labels, strict=True):
        for name in label.split("|"):
            rows.add(file, line, path, name, split=split_of(file.name))
    said = (
        title
        if numbers.names is not None
        else f"{title} (no list of classes: they are called by their numbers)"
    )
    return rows.done(said, class_names=names, multi_label=True if several else None)


def class_numbers(source: Source, how: How, pattern: str = _CLASSES) -> Numbers:
    """The list of classes that is given, or that lies beside the lists."""
    listed = source.named(pattern) if source.path.is_dir() else []
    if how.classes is None and len(listed) > 1:
        raise ManifestError(
            f"the classes could be those of {' or '.join(f.name for f in listed)}.", "say which: --classes FILE",
            where=str(source.path),
        )  # fmt: skip
    file = how.classes or (listed[0] if listed else None)
    return Numbers(
        read_classes(file) if file else None,
        file.name if file else "",
        how.first_class or 0,
        how.first_class is not None,
    )


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    going = Outgoing(manifest, how, "MMAction2", several=True, splits=("train", "val", "test"))
    return write_lists(going, out, ".txt")


def write_lists(going: Outgoing, out: Path, suffix: str) -> list[Path]:
    """`train.txt`, `val.txt`, `test.txt` (`list.txt` where nothing is split), and `classes.txt`."""
    going.refuse_spaces()
    files = [put_lines(out / "classes.txt", going.class_names)]
    for split, part in going.by_split().items():
        lines = (" ".join([row["path"], *map(str, going.numbers(row["label"]))]) for row in part)
        files.append(put_lines(out / f"{split or 'list'}{suffix}", lines))
    return files


LAYOUT = Layout(
    "mmaction2", "MMAction2", "txt lists of `video.mp4 label [label …]`", found, read, write,
    takes=("classes", "first_class"),
)  # fmt: skip
