"""Charades: a csv with a row a video, and `c092 11.90 21.20;c147 0.00 12.60` in its column `actions`.

Sigurdsson et al., Hollywood in Homes (ECCV 2016). Classes are named by `Charades_v1_classes.txt` (`c000 Holding …`).
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from marey.data.layouts.activitynet import TRIM
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source, split_of
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.textfile import header_of, read_lines, read_table
from marey.data.layouts.writing import Outgoing, put_csv, put_lines
from marey.errors import ManifestError

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_CLASSES = r"charades.*classes\.txt"
_HEADER = [
    "id",
    "subject",
    "scene",
    "quality",
    "relevance",
    "verified",
    "script",
    "objects",
    "descriptions",
    "actions",
    "length",
]
_ROUNDING = 0.05


def _files(source: Source) -> list[Path]:
    return [f for f in source.ending(".csv") if {"id", "actions", "length"} <= set(header_of(source.head(f)))]


def found(source: Source) -> str:
    files = _files(source)
    return f"the columns actions and length of {files[0].name}" if files else ""


def coded_classes(source: Source, how: How) -> tuple[Path | None, dict[str, str]]:
    """The file of `c000 Name` lines, if there is one, and its names by code.

    Raises:
        ManifestError: a line that is not one, a code or a name that is there twice, or several files.
    """
    files = [how.classes] if how.classes else source.named(_CLASSES)
    if len(files) > 1:
        raise ManifestError(
            "the classes could be those of several files.",
            "say which: --classes FILE",
            where=str(source.path),
        )
    names: dict[str, str] = {}
    for line, text in read_lines(files[0]) if files else ():
        match = re.fullmatch(r"(c\d{3}) (.+)", text)
        where = f"{files[0].name} line {line}"
        if match is None:
            raise ManifestError(
                f"{text!r} is not a code and a class.", "expected: c000 Holding some clothes", where=where
            )
        if match[1] in names or match[2] in names.values():
            raise ManifestError(f"{text!r}: the code or the class is there already.", where=where)
        names[match[1]] = match[2]
    return (files[0] if files else None), names


def read(source: Source, how: How) -> RawRows:
    """A row is an action; the group is the subject. Videos without actions are left out, and said."""
    rows = Gathered(source, how)
    stems = Stems(rows)
    listed, names = coded_classes(source, how)
    without = 0
    for file in _files(source):
        for row in read_table(file, ("id", "actions", "length")):
            length = rows.number(file, row.line, row["length"], f"{row['id']}: length")
            actions = [action for action in row["actions"].split(";") if action.strip()]
            without += not actions
            for action in actions:
                cells = action.split()
                where = f"action {action!r} of {row['id']}"
                if len(cells) != 3:
                    rows.fault(file, row.line, f"{where} is not a class, a start and an end.")
                    continue
                if names and cells[0] not in names:
                    rows.fault(
                        file,
                        row.line,
                        f"{where}: {cells[0]!r} is not a class of {rows.name(listed or file)}.",
                    )
                    continue
                start = rows.number(file, row.line, cells[1], f"{where}: its start")
                end = rows.number(file, row.line, cells[2], f"{where}: its end")
                if start is None or end is None or length is None:
                    continue
                if how.ends == "error" and end > length + _ROUNDING:
                    rows.fault(
                        file, row.line, f"{where} ends after the video, which lasts {length:g} s.", TRIM
                    )
                    continue
                rows.add(
                    file, row.line, stems.find(file, row.line, row["id"]), names.get(cells[0], cells[0]),
                    start=start, end=end, split=split_of(file.name), group=row.get("subject") or None,
                )  # fmt: skip
    said = "Charades" + (f" ({without:,} videos without an action are left out)" if without else "")
    return rows.done(said, class_names=tuple(names.values()) or None, root=stems.root)


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    """`Charades_v1_train.csv`, …, and the list of classes. Columns that a manifest does not have are empty; the
    length is the end of the last action."""
    going = Outgoing(
        manifest, how, "Charades", segments=True, several=True, splits=("train", "val", "test"), group=True
    )
    if len(going.class_names) > 1000:
        raise ManifestError(
            "Charades has codes for 1,000 classes (c000 to c999).", where=manifest.origin.name
        )
    code = {name: f"c{number:03d}" for number, name in enumerate(going.class_names)}
    files = [put_lines(out / "Charades_v1_classes.txt", (f"{code[name]} {name}" for name in code))]
    lines: dict[str | None, list[dict[str, Any]]] = {}
    for path, segments in going.by_video().items():
        actions: list[str] = []
        for row in segments:
            if row["start"] is None or row["end"] is None:
                going.refuse(row, "an action has a start and an end.")
            if (row["group"], row["split"]) != (segments[0]["group"], segments[0]["split"]):
                going.refuse(row, "one video has several subjects or splits.")
            actions += [f"{code[name]} {row['start']!r} {row['end']!r}" for name in row["label"].split("|")]
        first = segments[0]
        cells = {"id": PurePosixPath(path).stem, "subject": first["group"], "actions": ";".join(actions)}
        lines.setdefault(first["split"], []).append({**cells, "length": max(row["end"] for row in segments)})
    for split, part in lines.items():
        cells_of = [[row.get(name) for name in _HEADER] for row in part]
        files.append(put_csv(out / f"Charades_v1_{split or 'all'}.csv", [_HEADER, *cells_of]))
    return files


LAYOUT = Layout(
    "charades", "Charades", "a csv with id, actions (c092 11.90 21.20;…) and length", found, read, write,
    takes=("classes",),
)  # fmt: skip
