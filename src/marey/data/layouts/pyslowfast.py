"""PySlowFast: `train.csv`, `val.csv`, `test.csv` with `path label` a line and no header, classes by number from 0.

https://github.com/facebookresearch/SlowFast/blob/main/slowfast/datasets/DATASET.md
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from marey.data.layouts.classes import whole_numbers
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source, split_of
from marey.data.layouts.mmaction2 import class_numbers
from marey.data.layouts.raw import RawRows
from marey.data.layouts.textfile import read_lines
from marey.data.layouts.writing import Outgoing, put, put_lines

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_ROW = re.compile(r"([^,]*\S)(?:[ \t]+|,)(\d+)")
_CLASSES = r"(class(es|_names?|ids)|classnames|labels)\.(txt|json)"


def _lists(source: Source) -> list[Path]:
    files = []
    for file in source.ending(".csv"):
        lines = source.head_lines(file)
        rows = [_ROW.fullmatch(line.strip()) for line in lines]
        if rows and all(row and ("/" in row[1] or Path(row[1]).suffix) for row in rows):
            files.append(file)
    return files


def found(source: Source) -> str:
    lists = _lists(source)
    return f"the path-and-number lines of {lists[0].name}" if lists else ""


def read(source: Source, how: How) -> RawRows:
    """The split is told by each list's name. Classes are named by --classes, or by the one `classes.json` or
    `classids.json` beside the lists; without any, they are called by their numbers."""
    rows = Gathered(source, how)
    numbers = class_numbers(source, how, _CLASSES)
    kept: list[tuple[Path, int, str]] = []
    for file in _lists(source) if source.path.is_dir() else [source.path]:
        for line, text in read_lines(file):
            row = _ROW.fullmatch(text)
            number = whole_numbers([row[2]]) if row else None
            if row is None or number is None:
                rows.fault(file, line, f"{text[:80]!r} is not a path and the number of a class.")
                continue
            numbers.see(file, line, number)
            kept.append((file, line, row[1].strip().strip('"')))
    labels, names = numbers.resolve(rows)
    rows.raise_faults()
    for (file, line, path), label in zip(kept, labels, strict=True):
        rows.add(file, line, path, label, split=split_of(file.name))
    none = " (no list of classes: they are called by their numbers)"
    return rows.done("PySlowFast" + ("" if numbers.names is not None else none), class_names=names)


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    going = Outgoing(manifest, how, "PySlowFast", splits=("train", "val", "test"))
    going.refuse_spaces()
    order = {name: index for index, name in enumerate(going.class_names)}
    files = [put(out / "classes.json", json.dumps(order, indent=1, ensure_ascii=False) + "\n")]
    for split, part in going.by_split().items():
        files.append(
            put_lines(out / f"{split or 'list'}.csv", (f"{r['path']} {order[r['label']]}" for r in part))
        )
    return files


LAYOUT = Layout(
    "pyslowfast", "PySlowFast", "csv files without header of `path label`", found, read, write,
    takes=("classes", "first_class"),
)  # fmt: skip
