"""HMDB51: `CLASS_test_splitN.txt` for every class, `video.avi 1` for train, 2 for test, 0 for neither.

Kuehne et al., HMDB: A Large Video Database for Human Motion Recognition (ICCV 2011).
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source
from marey.data.layouts.raw import RawRows
from marey.data.layouts.textfile import read_lines
from marey.data.layouts.writing import Outgoing, put_lines
from marey.data.origin import DataWarning
from marey.errors import ManifestError

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_FILE = r"(.+)_test_split(\d)\.txt"
_TAGS = r"_[a-z]_(?:cm|nm)_np\d+_[a-z]+_[a-z]+_\d+"
_SPLITS = {"1": "train", "2": "test"}


def found(source: Source) -> str:
    files = source.named(_FILE)
    return f"{files[0].name}" if files else ""


def read(source: Source, how: How) -> RawRows:
    """The group is the film within its class, as the name tells it (`FILM_CLASS_tags_N.avi`)."""
    rows = Gathered(source, how)
    number = how.split or 1
    of_split: dict[str, Path] = {}
    numbers: dict[str, set[str]] = {}
    for file in source.named(_FILE):
        label, split = re.fullmatch(_FILE, file.name, re.IGNORECASE).groups()  # type: ignore[union-attr]
        numbers.setdefault(label, set()).add(split)
        if split == str(number):
            if label in of_split:
                raise ManifestError(f"{file.name} is there twice.", "name one folder", where=str(source.path))
            of_split[label] = file
    absent = sorted(set(numbers) - set(of_split))
    if absent:
        there = ", ".join(sorted(set().union(*numbers.values())))
        raise ManifestError(
            f"{absent[0]}_test_split{number}.txt is not there.", f"splits found: {there}",
            *([f"{len(absent)} of {len(numbers)} classes have none"] if len(absent) > 1 else []),
            where=str(source.path),
        )  # fmt: skip
    unused = nameless = 0
    for label, file in of_split.items():
        film = re.compile(rf"(.*)_{re.escape(label)}{_TAGS}", re.IGNORECASE)
        for line, text in read_lines(file):
            name, _, part = text.rpartition(" ")
            if part not in ("0", "1", "2") or not name:
                rows.fault(file, line, f"{text!r} is not a video and 0, 1 or 2.")
            elif part == "0":
                unused += 1
            else:
                name = name.strip()
                named = film.fullmatch(PurePosixPath(name).stem)
                nameless += named is None
                group = f"{label}/{named[1]}" if named else None
                rows.add(file, line, f"{label}/{name}", label, split=_SPLITS[part], group=group)
    if nameless:
        warnings.warn(
            f"{source.path}: {nameless} names do not tell their film; each of these is a group of its own.",
            DataWarning,
            stacklevel=4,
        )
    said = f"HMDB51, split {number}" + (f" ({unused:,} videos are in neither part of it)" if unused else "")
    return rows.done(said, class_names=sorted(of_split), multi_label=False)


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    going = Outgoing(manifest, how, "HMDB51", splits=("train", "test"), needs_split=True, group=True)
    going.refuse_spaces()
    lines: dict[str, list[str]] = {name: [] for name in going.class_names}
    for row in going.rows():
        path, label = PurePosixPath(row["path"]), row["label"]
        if path.parent.as_posix() != label:
            going.refuse(row, f"the class is the video's folder, and {row['path']!r} is not {label}/NAME.")
        named = re.fullmatch(rf"(.*)_{re.escape(label)}{_TAGS}", path.stem, re.IGNORECASE)
        if row["group"] is not None and (named is None or f"{label}/{named[1]}" != row["group"]):
            going.refuse(
                row, f"the group is told by the name, and {path.name!r} does not say {row['group']!r}."
            )
        lines[label].append(f"{path.name} {1 if row['split'] == 'train' else 2} ")
    number = how.split or 1
    return [put_lines(out / f"{label}_test_split{number}.txt", lines[label]) for label in lines]


LAYOUT = Layout("hmdb51", "HMDB51", "CLASS_test_splitN.txt", found, read, write, takes=("split",))
