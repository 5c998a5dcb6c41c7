"""VIA 3 (VGG Image Annotator): its project JSON and its CSV export, with temporal segments `[start, end]` in seconds.

https://gitlab.com/vgg/via/-/blob/master/via-3.x.y/src/js/_via_attribute.js
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marey.data.layouts.gather import Gathered
from marey.data.layouts.jsonfile import JsonFile
from marey.data.layouts.layout import How, Layout, Source
from marey.data.layouts.media import find_media
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.textfile import read_text
from marey.data.layouts.writing import Outgoing, put
from marey.errors import ManifestError, UnknownNameError

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_SEGMENTS = "FILE1_Z2_XY0"
"""VIA's name for what an attribute is about: a stretch of time of one file."""
_CHECKBOX, _SELECT, _TEXT = 2, 4, 1
_HEADER = "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata"


@dataclass(frozen=True)
class Marked:
    """One entry of VIA's metadata: where it stands, of which file, when, and what it says."""

    line: int
    file: str
    times: list[Any]
    values: dict[str, Any]


def _json_files(source: Source) -> list[Path]:
    return [
        f for f in source.ending(".json") if re.match(r'\s*\{\s*"project"\s*:\s*\{\s*"pid"', source.head(f))
    ]


def _csv_files(source: Source) -> list[Path]:
    return [f for f in source.ending(".csv") if _HEADER in source.head(f)]


def found_json(source: Source) -> str:
    files = _json_files(source)
    return f"the VIA project {files[0].name}" if files else ""


def found_csv(source: Source) -> str:
    files = _csv_files(source)
    return f"the header of {files[0].name}" if files else ""


def read_json(source: Source, how: How) -> RawRows:
    """A row is a temporal segment. Where several attributes belong to segments, --label names the one meant.
    Entries about single instants or regions are passed over, and said."""
    rows = Gathered(source, how)
    stems = Stems(rows)
    others = 0
    for file in _json_files(source):
        project = JsonFile(file)
        views, files = project.value.get("view", {}), project.value.get("file", {})
        marks = []
        for entry in project.members("metadata"):
            fids = [str(fid) for fid in views.get(str(entry.value.get("vid")), {}).get("fid_list", [])]
            if len(fids) != 1 or fids[0] not in files:
                rows.fault(file, entry.line, f"{entry.key!r} does not belong to one file.")
                continue
            named = files[fids[0]].get("fname") or files[fids[0]].get("src") or ""
            marks.append(
                Marked(entry.line, str(named), entry.value.get("z") or [], entry.value.get("av") or {})
            )
        others += _gather(rows, stems, file, project.value.get("attribute") or {}, marks)
    return _done(rows, stems, others)


def read_csv(source: Source, how: How) -> RawRows:
    """As `read_json`, from the CSV export."""
    rows = Gathered(source, how)
    stems = Stems(rows)
    others = 0
    for file in _csv_files(source):
        text = read_text(file)
        told = re.search(r"^#\s*ATTRIBUTE = (.*)$", text, re.MULTILINE)
        try:
            attributes = json.loads(told[1].strip().rstrip(",")) if told else None
        except json.JSONDecodeError:
            attributes = None
        if not isinstance(attributes, dict):
            raise ManifestError(
                "there is no line '# ATTRIBUTE = {…}'.", "export it with VIA 3", where=rows.name(file)
            )
        others += _gather(rows, stems, file, attributes, list(_csv_marks(rows, file, text)))
    return _done(rows, stems, others)


def _csv_marks(rows: Gathered, file: Path, text: str) -> Iterator[Marked]:
    for line, written in enumerate(text.split("\n"), start=1):
        if not written.strip() or written.startswith("#"):
            continue
        cells = next(csv.reader(io.StringIO(written)))
        try:
            times, values = json.loads(cells[3]), json.loads(cells[5])
        except (IndexError, json.JSONDecodeError):
            rows.fault(file, line, f"{written[:80]!r} is no row of a VIA export.")
            continue
        name = _one_name(cells[1])
        if name is None:
            rows.fault(file, line, f"{cells[1]!r} is not the name of one file.")
            continue
        yield Marked(line, name, times, values)


def _one_name(cell: str) -> str | None:
    try:
        names = json.loads(cell)
    except json.JSONDecodeError:  # some versions of VIA quote this cell wrongly: "["a.mp4""]"
        loose = re.fullmatch(r'\[\s*"*([^"\[\],]+)"*\s*\]"?', cell)
        return loose[1] if loose else None
    return str(names[0]) if isinstance(names, list) and len(names) == 1 else None


def _gather(rows: Gathered, stems: Stems, file: Path, attributes: dict[str, Any], marks: list[Marked]) -> int:
    """Add the segments of one file; gives how many entries were no segments."""
    key, attribute = _attribute(rows, file, attributes)
    options = {str(k): str(v) for k, v in (attribute.get("options") or {}).items()}
    kind = int(attribute.get("type", _TEXT))
    others = 0
    for mark in marks:
        if len(mark.times) != 2:
            others += 1
            continue
        start = rows.number(file, mark.line, mark.times[0], "the start")
        end = rows.number(file, mark.line, mark.times[1], "the end")
        said = str(mark.values.get(key, "")).strip()
        values = [v for v in said.split(",") if v] if kind == _CHECKBOX else [said] if said else []
        if not values:
            rows.fault(file, mark.line, f"the segment has no {attribute.get('aname', key)!r}.")
            continue
        for value in values:
            if kind != _TEXT and value not in options:
                known = f"of {attribute.get('aname', key)!r} ({', '.join(options)})"
                rows.fault(file, mark.line, f"{value!r} is not an option {known}.")
            elif start is not None and end is not None:
                path = find_media(rows, stems, file, mark.line, mark.file)
                rows.add(
                    file, mark.line, path, value if kind == _TEXT else options[value], start=start, end=end
                )
    return others


def _attribute(rows: Gathered, file: Path, attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The attribute of temporal segments that is meant."""
    fitting = {key: a for key, a in attributes.items() if a.get("anchor_id") == _SEGMENTS}
    by_name = {str(a.get("aname", key)): key for key, a in fitting.items()}
    if rows.how.label is not None:
        if rows.how.label not in by_name:
            raise UnknownNameError("attribute of temporal segments", rows.how.label, by_name)
        return by_name[rows.how.label], fitting[by_name[rows.how.label]]
    if len(fitting) != 1:
        raise ManifestError(
            f"{len(fitting)} attributes belong to temporal segments: {', '.join(by_name) or 'none'}.",
            *(["say which is the class: --label NAME"] if fitting else []), where=rows.name(file),
        )  # fmt: skip
    return next(iter(fitting.items()))


def _done(rows: Gathered, stems: Stems, others: int) -> RawRows:
    said = "VIA 3" + (f" ({others:,} entries that are no segments are passed over)" if others else "")
    return rows.done(said, root=stems.root)


def _segments(manifest: Manifest, how: How) -> tuple[Outgoing, dict[str, str], dict[str, Any]]:
    """The rows, the option of every class, and the one attribute."""
    going = Outgoing(manifest, how, "VIA 3", segments=True, several=True)
    for row in going.rows():
        if row["start"] is None or row["end"] is None:
            going.refuse(row, "a segment has a start and an end.")
    number = {name: str(index) for index, name in enumerate(going.class_names)}
    attribute = {"aname": how.label or "class", "anchor_id": _SEGMENTS, "type": _SELECT, "desc": "",
                 "options": {index: name for name, index in number.items()}, "default_option_id": ""}  # fmt: skip
    return going, number, {"1": attribute}


def write_json(manifest: Manifest, out: Path, how: How) -> list[Path]:
    """A project that VIA 3 opens; it asks for the videos by their names."""
    going, number, attribute = _segments(manifest, how)
    files: dict[str, Any] = {}
    views: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    for index, (path, segments) in enumerate(going.by_video().items(), start=1):
        key = str(index)
        files[key] = {"fid": key, "fname": path, "type": 4, "loc": 1, "src": ""}
        views[key] = {"fid_list": [key]}
        for row in segments:
            for name in row["label"].split("|"):
                entry = {
                    "vid": key,
                    "flg": 0,
                    "z": [row["start"], row["end"]],
                    "xy": [],
                    "av": {"1": number[name]},
                }
                metadata[f"{key}_{len(metadata):06d}"] = entry
    project = {"pid": "__VIA_PROJECT_ID__", "rev": "__VIA_PROJECT_REV_ID__",
               "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__", "pname": "marey", "vid_list": list(views)}  # fmt: skip
    content = {
        "project": project,
        "config": {},
        "attribute": attribute,
        "file": files,
        "metadata": metadata,
        "view": views,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    return [put(out if out.suffix == ".json" else out / "via.json", text)]


def write_csv(manifest: Manifest, out: Path, how: How) -> list[Path]:
    """As VIA 3 exports it."""
    going, number, attribute = _segments(manifest, how)
    text = io.StringIO(newline="")
    text.write("# Exported in the form of VGG Image Annotator 3\n")
    text.write(f"# ATTRIBUTE = {json.dumps(attribute, ensure_ascii=False)}\n{_HEADER}\n")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for row in going.rows():
        for name in row["label"].split("|"):
            cells = [[row["path"]], 0, [row["start"], row["end"]], [], {"1": number[name]}]
            written = [json.dumps(cell, ensure_ascii=False) for cell in cells]
            writer.writerow([f"1_{row['row']:06d}", *written])
    return [put(out if out.suffix == ".csv" else out / "via.csv", text.getvalue())]


JSON = Layout(
    "via", "VIA 3 project", "a VIA 3 project json", found_json, read_json, write_json, takes=("label",)
)
CSV = Layout("via-csv", "VIA 3 csv", "a VIA 3 csv export", found_csv, read_csv, write_csv, takes=("label",))
