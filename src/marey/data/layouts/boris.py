"""BORIS: the csv of aggregated events, `Behavior`, `Start (s)`, `Stop (s)`, of versions 6 to 9.

https://www.boris.unito.it/user_guide/export_events/#export-aggregated-events
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marey.data.layouts.activitynet import TRIM
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source
from marey.data.layouts.media import find_media
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.textfile import Row, header_of, read_table
from marey.data.layouts.writing import Outgoing, put_csv

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_NEEDED = ("observation id", "behavior", "start (s)", "stop (s)")
_MEDIA = ("media file name", "media file", "source")
_LENGTH = ("media duration (s)", "total length")
_HEADER = (
    "Observation id,Observation date,Description,Observation type,Source,Media duration (s),FPS,Subject,Behavior,"
    "Behavioral category,Modifiers,Behavior type,Start (s),Stop (s),Duration (s),Media file name,"
    "Comment start,Comment stop"
)
_ROUNDING = 0.05


def _files(source: Source) -> list[Path]:
    return [f for f in source.ending(".csv", ".tsv") if set(_NEEDED) <= set(header_of(source.head(f)))]


def found(source: Source) -> str:
    files = _files(source)
    return f"the header of {files[0].name}" if files else ""


def read(source: Source, how: How) -> RawRows:
    """A row is a state event; the subject is kept as a column. Point events, which have no length, are left out."""
    rows = Gathered(source, how)
    stems = Stems(rows)
    points = 0
    for file in _files(source):
        for row in read_table(file, _NEEDED):
            start = rows.number(file, row.line, row["start (s)"], "Start (s)")
            if row.get("behavior type").upper() == "POINT":
                points += 1
                continue
            end = rows.number(file, row.line, row["stop (s)"], "Stop (s)")
            media = _media(rows, file, row)
            if start is None or end is None or media is None:
                continue
            if not row["behavior"]:
                rows.fault(file, row.line, "the behavior is empty.")
                continue
            length = next((row.get(name) for name in _LENGTH if row.get(name)), "")
            seconds = rows.number(file, row.line, length, "the length of the media") if length else None
            if seconds is not None and how.ends == "error" and end > seconds + _ROUNDING:
                rows.fault(
                    file, row.line, f"the event ends at {end:g} s, but the media lasts {seconds:g} s.", TRIM
                )
                continue
            rows.add(
                file, row.line, find_media(rows, stems, file, row.line, media), row["behavior"], start=start, end=end,
                subject=row.get("subject") or None,
            )  # fmt: skip
    said = "BORIS" + (f" ({points:,} point events, which have no length, are left out)" if points else "")
    return rows.done(said, root=stems.root)


def _media(rows: Gathered, file: Path, row: Row) -> str | None:
    """The one media file of an observation; a fault where it has several, whose times run on or lie side by side."""
    written = next((row.get(name) for name in _MEDIA if row.get(name)), "")
    between = r"[;|]|(?:^|\s)player #\d+:" if not row.get("media file name") else r"\n"
    names = [name for name in re.split(between, written) if name.strip()]
    if len(names) == 1:
        return names[0].strip()
    what = f"has {len(names)} media files: {written!r}" if names else "names no media file"
    rows.fault(file, row.line, f"the observation {row['observation id']!r} {what}.")
    return None


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    """As BORIS 8 exports aggregated events; an observation is a video."""
    going = Outgoing(manifest, how, "BORIS", segments=True, several=True, more=("subject",))
    lines: list[list[object]] = [list(_HEADER.split(","))]
    for row in going.rows():
        if row["start"] is None or row["end"] is None:
            going.refuse(row, "an event has a start and a stop.")
        for name in row["label"].split("|"):
            cells = {
                "Observation id": PurePosixPath(row["path"]).stem, "Observation type": "Media file",
                "Source": f"player #1:{row['path']}", "Subject": row.get("subject") or "No focal subject",
                "Behavior": name, "Behavior type": "STATE",
                "Start (s)": repr(row["start"]), "Stop (s)": repr(row["end"]),
                "Duration (s)": f"{row['end'] - row['start']:.3f}", "Media file name": row["path"],
            }  # fmt: skip
            lines.append([cells.get(column) for column in _HEADER.split(",")])
    return [put_csv(out if out.suffix == ".csv" else out / "boris.csv", lines)]


LAYOUT = Layout(
    "boris", "BORIS aggregated events", "a csv with Behavior, Start (s), Stop (s)", found, read, write
)
