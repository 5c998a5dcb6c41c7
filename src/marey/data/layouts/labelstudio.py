"""Label Studio's JSON exports (JSON and JSON-MIN) of timelines: `ranges` of frames, from 1, both ends inside.

https://labelstud.io/tags/timelinelabels
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marey.data.layouts.clock import Clock, Frames
from marey.data.layouts.folders import VIDEO_SUFFIXES
from marey.data.layouts.gather import Gathered
from marey.data.layouts.jsonfile import JsonFile
from marey.data.layouts.layout import How, Layout, Source
from marey.data.layouts.media import find_media
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.writing import Outgoing, put
from marey.errors import ManifestError

if TYPE_CHECKING:
    from marey.data.manifest import Manifest


def _files(source: Source) -> list[Path]:
    return [
        f
        for f in source.ending(".json")
        if source.head(f).lstrip().startswith("[") and '"timelinelabels"' in source.head(f)
    ]


def found(source: Source) -> str:
    files = _files(source)
    return f"the timelinelabels of {files[0].name}" if files else ""


def read(source: Source, how: How) -> RawRows:
    """A row is a range. Where a task has several annotations that were not cancelled, one must be the ground truth.
    Results of other kinds (boxes, choices) are passed over, and said."""
    rows = Gathered(source, how)
    stems = Stems(rows)
    clock = Clock(rows, stems.root)
    others = 0
    for file in _files(source):
        for task in JsonFile(file).members():
            if not isinstance(task.value, dict):
                raise ManifestError("a task is no object.", where=f"{rows.name(file)} line {task.line}")
            written = _video(rows, file, task.line, task.value)
            ranges, passed = _ranges(rows, file, task.line, task.value)
            others += passed
            if written is None:
                continue
            path = find_media(rows, stems, file, task.line, written)
            for labels, first, last in ranges:
                span = clock.span(file, task.line, path, first - 1, last)
                for label in labels if span else ():
                    assert span is not None
                    rows.add(file, task.line, path, label, start=span[0], end=span[1])
    said = "Label Studio timelines" + (
        f" ({others:,} results of other kinds are passed over)" if others else ""
    )
    return rows.done(said, root=stems.root)


def _video(rows: Gathered, file: Path, line: int, task: dict[str, Any]) -> str | None:
    """The one text of a task's data that ends like a video."""
    data = task.get("data") if isinstance(task.get("data"), dict) else task
    assert isinstance(data, dict)
    videos = [v for v in data.values() if isinstance(v, str) and Path(v).suffix.lower() in VIDEO_SUFFIXES]
    if len(set(videos)) == 1:
        return videos[0]
    what = "names no video" if not videos else f"names {len(videos)} videos: {', '.join(videos[:3])}"
    rows.fault(file, line, f"task {task.get('id', '?')} {what}.")
    return None


def _ranges(
    rows: Gathered, file: Path, line: int, task: dict[str, Any]
) -> tuple[list[tuple[list[str], int, int]], int]:
    """Labels, first and last frame of every range, and how many results were of other kinds."""
    if "annotations" not in task or "data" not in task:  # JSON-MIN: results under the names of their controls
        values = [
            v
            for key in task
            for v in (task[key] if isinstance(task[key], list) else [])
            if isinstance(v, dict)
        ]
    else:
        kept = [one for one in task["annotations"] if not one.get("was_cancelled")]
        truth = [one for one in kept if one.get("ground_truth")]
        chosen = truth if len(truth) == 1 else kept
        if len(chosen) > 1:
            rows.fault(
                file, line, f"task {task.get('id', '?')} has {len(chosen)} annotations.",
                "mark the one that counts as ground truth, or export one",
            )  # fmt: skip
            return [], 0
        results = [result for one in chosen for result in one.get("result", [])]
        values = [result.get("value", {}) for result in results]
    found: list[tuple[list[str], int, int]] = []
    others = 0
    for value in values:
        labels, ranges = value.get("timelinelabels"), value.get("ranges")
        if not labels or not isinstance(ranges, list):
            others += 1
            continue
        for one in ranges:
            first = rows.number(file, line, one.get("start"), f"task {task.get('id', '?')}: start of a range")
            last = rows.number(file, line, one.get("end"), f"task {task.get('id', '?')}: end of a range")
            if first is not None and last is not None:
                found.append((list(labels), int(first), int(last)))
    return found, others


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    """Tasks with annotations, to be imported into Label Studio; `video` is the path from the videos' folder."""
    going = Outgoing(manifest, how, "Label Studio timelines", segments=True, several=True)
    frames = Frames(going.root, how.fps, "Label Studio")
    tasks = []
    for number, (path, segments) in enumerate(going.by_video().items(), start=1):
        result = []
        for count, row in enumerate(segments):
            first, stop = frames.at(path, row["start"]), frames.at(path, row["end"], last=True)
            value = {"ranges": [{"start": first + 1, "end": stop}], "timelinelabels": row["label"].split("|")}
            result.append(
                {"id": f"{number}_{count}", "from_name": "videoLabels", "to_name": "video", "type": "timelinelabels",
                 "value": value}
            )  # fmt: skip
        tasks.append({"id": number, "data": {"video": path}, "annotations": [{"result": result}]})
    frames.say()
    text = json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"
    return [put(out if out.suffix == ".json" else out / "labelstudio.json", text)]


LAYOUT = Layout(
    "labelstudio",
    "Label Studio timelines",
    "a json of tasks with timelinelabels",
    found,
    read,
    write,
    takes=("fps",),
)
