"""Kinetics: `label,youtube_id,time_start,time_end,split`; videos are called `id_start_end.mp4`, in any folder.

Kay et al., The Kinetics Human Action Video Dataset (arXiv 1705.06950). The 400, 600 and 700 classes alike.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marey.data.layouts.folders import SPLIT_NAMES
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source, split_of
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.textfile import header_of, read_table
from marey.data.layouts.writing import Outgoing, put_csv
from marey.errors import ManifestError

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_NEEDED = ("youtube_id", "time_start", "time_end")
_HEADER = ("label", *_NEEDED, "split")
_NAME = re.compile(r"(.+)_(\d{6})_(\d{6})")


def _files(source: Source) -> list[Path]:
    return [f for f in source.ending(".csv") if set(_NEEDED) <= set(header_of(source.head(f)))]


def found(source: Source) -> str:
    files = _files(source)
    return f"the header of {files[0].name}" if files else ""


def read(source: Source, how: How) -> RawRows:
    """A row is a whole file, already cut from its source video; the group is the YouTube id.

    A file without a `label` column (the official test lists) is left out, and said.
    """
    rows = Gathered(source, how)
    stems = Stems(rows)
    unlabelled = 0
    for file in _files(source):
        table = read_table(file, _NEEDED)
        if table and "label" not in table[0].cells:
            unlabelled += len(table)
            continue
        for row in table:
            if not row["label"]:
                rows.fault(file, row.line, "the label is empty.")
                continue
            start = rows.number(file, row.line, row["time_start"], "time_start")
            end = rows.number(file, row.line, row["time_end"], "time_end")
            if start is None or end is None:
                continue
            if end <= start:
                rows.fault(file, row.line, f"the segment from {start:g} s to {end:g} s is reversed.")
                continue
            stem = f"{row['youtube_id']}_{int(start):06d}_{int(end):06d}"
            split = row.get("split").lower() if "split" in row.cells else split_of(file.name)
            split = "val" if split == "validate" else split
            if split and split not in SPLIT_NAMES:
                rows.fault(
                    file, row.line, f"{row.get('split')!r} is not a known split (train, validate, test)."
                )
                continue
            rows.add(
                file, row.line, stems.find(file, row.line, stem), row["label"], split=split or None,
                group=row["youtube_id"],
            )  # fmt: skip
    if not len(rows) and unlabelled:
        rows.raise_faults()
        raise ManifestError("the lists have no labels.", where=str(source.path))
    said = "Kinetics" + (f" ({unlabelled:,} rows of lists without labels are left out)" if unlabelled else "")
    return rows.done(said, multi_label=False, root=stems.root)


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    going = Outgoing(manifest, how, "Kinetics", splits=("train", "val", "test"), group=True)
    split = {"val": "validate"}
    lines: list[tuple[str, ...]] = [_HEADER]
    for row in going.rows():
        named = _NAME.fullmatch(PurePosixPath(row["path"]).stem)
        if named is None:
            going.refuse(
                row, f"videos are called id_start_end (six figures each), and {row['path']!r} is not."
            )
        assert named is not None
        if row["group"] not in (None, named[1]):
            going.refuse(row, f"the group is the id of the video ({named[1]!r}), not {row['group']!r}.")
        start, end = str(int(named[2])), str(int(named[3]))
        lines.append((row["label"], named[1], start, end, split.get(row["split"], row["split"] or "")))
    return [put_csv(out if out.suffix == ".csv" else out / "kinetics.csv", lines)]


LAYOUT = Layout(
    "kinetics", "Kinetics", "a csv with label, youtube_id, time_start, time_end, split", found, read, write
)
