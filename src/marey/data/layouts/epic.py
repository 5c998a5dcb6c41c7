"""EPIC-Kitchens: a csv with a row a narrated action: `video_id`, `start_timestamp`, `stop_timestamp`, verb and noun.

Damen et al., Rescaling Egocentric Vision (IJCV 2022), https://github.com/epic-kitchens/epic-kitchens-100-annotations
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source, split_of
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.textfile import Row, header_of, read_table
from marey.data.layouts.writing import Outgoing, put_csv
from marey.errors import ConfigError, ManifestError

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_NEEDED = ("video_id", "start_timestamp", "stop_timestamp")
_KEPT = ("narration_id", "participant_id", "narration", "verb", "verb_class", "noun", "noun_class")
_HEADER = [
    "narration_id",
    "participant_id",
    "video_id",
    "narration_timestamp",
    "start_timestamp",
    "stop_timestamp",
    "start_frame",
    "stop_frame",
    "narration",
    "verb",
    "verb_class",
    "noun",
    "noun_class",
    "all_nouns",
    "all_noun_classes",
]


def _files(source: Source) -> list[Path]:
    return [f for f in source.ending(".csv") if {*_NEEDED, "narration_id"} <= set(header_of(source.head(f)))]


def found(source: Source) -> str:
    files = _files(source)
    return f"the header of {files[0].name}" if files else ""


def read(source: Source, how: How) -> RawRows:
    """A row is an action; the group is the video. Classes are verbs, nouns, or both together, as --label says; words
    of one class have one name, by `EPIC_100_verb_classes.csv` and `…noun_classes.csv`, else by the class's number.

    Raises:
        ConfigError: --label is none of these.
    """
    if how.label not in ("verb", "noun", "action"):
        raise ConfigError(
            "EPIC-Kitchens labels verbs and nouns: say which is the class.", "--label verb, noun or action"
        )
    rows = Gathered(source, how)
    stems = Stems(rows)
    parts = ("verb", "noun") if how.label == "action" else (how.label,)
    names = {part: _names(source, part) for part in parts}
    unlabelled = 0
    for file in _files(source):
        for row in read_table(file, _NEEDED):
            if "verb_class" not in row.cells:
                unlabelled += 1
                continue
            start, end = (_seconds(rows, file, row, name) for name in _NEEDED[1:])
            labels = [_label(rows, file, row, part, names[part]) for part in parts]
            if start is None or end is None or None in labels:
                continue
            more = {name: row.get(name) or None for name in _KEPT}
            rows.add(
                file, row.line, stems.find(file, row.line, row["video_id"], ".MP4"), " ".join(map(str, labels)),
                start=start, end=end, split=split_of(file.name), group=row["video_id"], **more,
            )  # fmt: skip
    said = f"EPIC-Kitchens, class {how.label}" + (
        f" ({unlabelled:,} rows without a class are left out)" if unlabelled else ""
    )
    classes = list(names[how.label].values()) if how.label != "action" and names[how.label] else None
    return rows.done(said, class_names=classes, root=stems.root)


def _names(source: Source, part: str) -> dict[str, str]:
    """Names of classes by number, from `EPIC_100_{verb,noun}_classes.csv`; {} without it."""
    files = source.named(rf"EPIC.*{part}_classes.*\.csv")
    if len(files) > 1:
        raise ManifestError(f"the {part}s are listed in several files.", "keep one", where=str(source.path))
    if not files:
        return {}
    column = "key" if "key" in header_of(source.head(files[0])) else "class_key"
    id_column = "id" if "id" in header_of(source.head(files[0])) else f"{part}_id"
    return {row[id_column]: row[column] for row in read_table(files[0], (id_column, column))}


def _label(rows: Gathered, file: Path, row: Row, part: str, names: dict[str, str]) -> str | None:
    number = row.get(f"{part}_class")
    if not number.isdecimal():
        rows.fault(file, row.line, f"{part}_class is {number!r}, which is no number of a class.")
    elif names and number not in names:
        rows.fault(file, row.line, f"{part}_class {number} is not one of the {len(names)} listed {part}s.")
    else:
        return names.get(number, number)
    return None


def _seconds(rows: Gathered, file: Path, row: Row, column: str) -> float | None:
    """`00:01:02.34` as seconds."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", row[column])
    if match is None:
        rows.fault(file, row.line, f"{column} is {row[column]!r}, not hours:minutes:seconds.")
        return None
    return round(int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]), 6)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes // 60):02d}:{int(minutes % 60):02d}:{rest:09.6f}"


def _numbers(going: Outgoing, label: str) -> dict[str, str]:
    """The number of every class: the one that rows brought with them, and a free one for the others."""
    brought = {row["label"]: row[f"{label}_class"] for row in going.rows() if row.get(f"{label}_class")}
    if len(set(brought.values())) < len(brought):
        brought = {}
    free = (str(number) for number in itertools.count() if str(number) not in brought.values())
    return {name: brought.get(name) or next(free) for name in going.class_names}


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    """`EPIC_100_train.csv`, …, with empty frame columns, and the list of classes of --label."""
    if how.label not in ("verb", "noun"):
        raise ConfigError(
            "a label is written as a verb or as a noun: say which.", "--label verb, or --label noun"
        )
    title = "EPIC-Kitchens"
    going = Outgoing(
        manifest,
        how,
        title,
        segments=True,
        splits=("train", "val", "test"),
        needs_split=True,
        group=True,
        more=_KEPT,
    )
    number = _numbers(going, how.label)
    files = [
        put_csv(
            out / f"EPIC_100_{how.label}_classes.csv", [("id", "key"), *((i, n) for n, i in number.items())]
        )
    ]
    for split, part in going.by_split().items():
        lines: list[list[str | None]] = [list(_HEADER)]
        for count, row in enumerate(part):
            video = PurePosixPath(row["path"]).stem
            if row["start"] is None or row["end"] is None:
                going.refuse(row, "an action has a start and an end.")
            if row["group"] not in (None, video):
                going.refuse(row, f"the group is the video ({video!r}), not {row['group']!r}.")
            cells = {
                "narration_id": f"{video}_{count}", "participant_id": video.split("_")[0], how.label: row["label"],
                **{name: row[name] for name in _KEPT if row.get(name)},
                "video_id": video, "start_timestamp": _clock(row["start"]), "stop_timestamp": _clock(row["end"]),
                f"{how.label}_class": number[row["label"]],
            }  # fmt: skip
            lines.append([cells.get(name) for name in _HEADER])
        name = {"val": "validation"}.get(str(split), split)
        files.append(put_csv(out / f"EPIC_100_{name}.csv", lines))
    return files


LAYOUT = Layout(
    "epic", "EPIC-Kitchens", "a csv with narration_id, video_id, start_timestamp, stop_timestamp", found, read, write,
    takes=("label",),
)  # fmt: skip
