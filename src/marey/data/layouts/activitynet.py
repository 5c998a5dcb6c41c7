"""ActivityNet's JSON, and THUMOS14 and others in that form: a `database` of videos with `subset` and `annotations`.

http://activity-net.org/download.html. Videos are called by id, with or without `v_` before it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from marey.data.layouts.folders import SPLIT_NAMES
from marey.data.layouts.gather import Gathered
from marey.data.layouts.jsonfile import JsonFile
from marey.data.layouts.layout import How, Layout, Source
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.writing import Outgoing, put

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_SUBSETS = {"train": "training", "val": "validation", "test": "testing"}
_ROUNDING = 0.05
"""Seconds by which a segment may end after the duration that stands in the file: both are rounded."""


def _files(source: Source) -> list[Path]:
    """A taxonomy may stand before the database, longer than what is looked at."""
    return [
        f
        for f in source.ending(".json")
        if re.search(r'\A\s*\{.*"(database|taxonomy)"\s*:', source.head(f), re.DOTALL)
    ]


def found(source: Source) -> str:
    files = _files(source)
    return f"the database in {files[0].name}" if files else ""


def read(source: Source, how: How) -> RawRows:
    """A row is a segment; the group is the video. Videos without annotations (the test set) are left out, and said."""
    rows = Gathered(source, how)
    stems = Stems(rows)
    unlabelled = 0
    for file in _files(source):
        for video in JsonFile(file).members("database"):
            entry = video.value if isinstance(video.value, dict) else {}
            subset = str(entry.get("subset") or "").lower()
            if subset and subset not in SPLIT_NAMES:
                rows.fault(
                    file, video.line, f"{video.key}: {entry['subset']!r} is not a known subset (training, …)."
                )
                continue
            annotations = entry.get("annotations") or []
            unlabelled += not annotations
            stem = video.key if stems.has(video.key) or not stems.has("v_" + video.key) else "v_" + video.key
            length = entry.get("duration")
            duration = (
                None if length is None else rows.number(file, video.line, length, f"{video.key}: duration")
            )
            for number, one in enumerate(annotations, start=1):
                where = f"segment {number} of {video.key!r}"
                span = _span(rows, file, video.line, one, where, duration)
                if span is None:
                    continue
                path = stems.find(file, video.line, stem)
                rows.add(
                    file, video.line, path, str(one["label"]), start=span[0], end=span[1],
                    split=SPLIT_NAMES.get(subset), group=video.key,
                )  # fmt: skip
    said = "ActivityNet" + (f" ({unlabelled:,} videos without a segment are left out)" if unlabelled else "")
    return rows.done(said, root=stems.root)


def _span(
    rows: Gathered, file: Path, line: int, one: Any, where: str, duration: float | None
) -> tuple[float, float] | None:
    segment = one.get("segment") if isinstance(one, dict) else None
    if not isinstance(segment, list) or len(segment) != 2 or not one.get("label"):
        rows.fault(file, line, f"{where} is not a label and a segment [start, end].")
        return None
    start = rows.number(file, line, segment[0], f"{where}: its start")
    end = rows.number(file, line, segment[1], f"{where}: its end")
    if start is None or end is None:
        return None
    if end <= start:
        rows.fault(
            file,
            line,
            f"{where}, from {start:g} s to {end:g} s, is {'empty' if end == start else 'reversed'}.",
        )
        return None
    if duration is not None and rows.how.ends == "error" and end > duration + _ROUNDING:
        rows.fault(file, line, f"{where} ends at {end:g} s, but the video lasts {duration:g} s.", TRIM)
        return None
    return start, end


TRIM = "cut such segments at the end of their video: marey data import --ends trim"


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    going = Outgoing(
        manifest, how, "ActivityNet", segments=True, several=True, splits=tuple(_SUBSETS), group=True
    )
    database: dict[str, dict[str, Any]] = {}
    taken: dict[str, str] = {}
    for row in going.rows():
        if row["start"] is None or row["end"] is None:
            going.refuse(row, "it holds stretches with a start and an end.")
        key = PurePosixPath(row["path"]).stem.removeprefix("v_")
        if taken.setdefault(key, row["path"]) != row["path"]:
            going.refuse(row, f"videos are called by their names, and {key!r} is there twice.")
        if row["group"] not in (None, key):
            going.refuse(row, f"the group is the video ({key!r}), not {row['group']!r}.")
        video = database.setdefault(key, {"subset": _SUBSETS.get(row["split"], ""), "annotations": []})
        video["annotations"] += [
            {"label": name, "segment": [row["start"], row["end"]]} for name in row["label"].split("|")
        ]
    text = json.dumps({"version": "1.3", "database": database}, indent=1, ensure_ascii=False) + "\n"
    return [put(out if out.suffix == ".json" else out / "annotations.json", text)]


LAYOUT = Layout(
    "activitynet", "ActivityNet / THUMOS14 json", "a json with a database of videos", found, read, write
)
