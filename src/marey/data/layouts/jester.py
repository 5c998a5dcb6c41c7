"""Jester: `jester-v1-train.csv` with `id;label`, `jester-v1-labels.csv` with a class a line, videos called by id.

Materzynska et al., The Jester Dataset (ICCVW 2019). It is given out as folders of pictures, which are to be made
videos first: `marey data frames`.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marey.data.layouts.classes import read_classes
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source, split_of
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.textfile import read_lines
from marey.data.layouts.writing import Outgoing, put_csv, put_lines
from marey.errors import did_you_mean

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_SPLITS = {"train": "train", "val": "validation"}


def _lists(source: Source) -> list[Path]:
    """`id;label` alone: the first cell a number, the file named after a split."""
    lists = []
    for file in source.ending(".csv"):
        if split_of(file.name) is None or file.stem.endswith("answers"):  # those are Something-Something's
            continue
        lines = [line.strip() for line in source.head_lines(file)]
        if lines and all(re.fullmatch(r"\d+(;[^;]+)?", line) for line in lines):
            lists.append(file)
    return lists


def found(source: Source) -> str:
    labelled = [file for file in _lists(source) if ";" in source.head(file)]
    return f"the id;label lines of {labelled[0].name}" if labelled else ""


def read(source: Source, how: How) -> RawRows:
    rows = Gathered(source, how)
    stems = Stems(rows)
    listed = source.named(r".*labels\.csv")
    file_of_classes = how.classes or (listed[0] if len(listed) == 1 else None)
    classes = read_classes(file_of_classes) if file_of_classes else None
    unlabelled = 0
    for file in _lists(source):
        split = split_of(file.name)
        for line, text in read_lines(file):
            ident, _, label = (cell.strip() for cell in text.partition(";"))
            if not label:
                unlabelled += 1
            elif classes is not None and label not in classes:
                known = rows.name(file_of_classes) if file_of_classes else ""
                rows.fault(file, line, f"{label!r} is not a class of {known}.{did_you_mean(label, classes)}")
            elif not stems.has(ident) and (folder := stems.frame_folder(ident)):
                rows.fault(
                    file, line, f"{folder!r} is a folder of pictures, and marey reads videos.",
                    "make videos of them without loss: marey data frames SRC OUT --fps 12, then give --root OUT",
                )  # fmt: skip
            else:
                rows.add(file, line, stems.find(file, line, ident), label, split=split)
    said = "Jester" + (f" ({unlabelled:,} videos without a label are left out)" if unlabelled else "")
    return rows.done(said, class_names=classes, multi_label=False, root=stems.root)


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    going = Outgoing(manifest, how, "Jester", splits=tuple(_SPLITS), needs_split=True)
    for row in going.rows():
        if not PurePosixPath(row["path"]).stem.isdecimal():
            going.refuse(row, f"videos are called by a number, and {row['path']!r} is not.")
        if ";" in row["label"]:
            going.refuse(row, f"the class {row['label']!r} has a ';', which separates the cells.")
    files = [put_lines(out / "jester-v1-labels.csv", going.class_names)]
    for split, part in going.by_split().items():
        lines = [(PurePosixPath(row["path"]).stem, row["label"]) for row in part]
        files.append(put_csv(out / f"jester-v1-{_SPLITS[str(split)]}.csv", lines, delimiter=";"))
    return files


LAYOUT = Layout(
    "jester",
    "Jester",
    "csv files of id;label lines, named after their split",
    found,
    read,
    write,
    takes=("classes",),
)
