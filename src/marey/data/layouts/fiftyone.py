"""FiftyOne's temporal detections: `data/` with the videos and `labels.json`, in frames (from 1) or in seconds.

https://docs.voxel51.com/user_guide/export_datasets.html#fiftyonetemporaldetectiondataset
Its directory tree for video classification is class folders, which are read as they are.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marey.data.layouts.clock import Clock
from marey.data.layouts.gather import Gathered
from marey.data.layouts.jsonfile import JsonFile
from marey.data.layouts.layout import How, Layout, Source
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.writing import Outgoing, put

if TYPE_CHECKING:
    from marey.data.manifest import Manifest


def _files(source: Source) -> list[Path]:
    keys = r'\{\s*"(classes|labels)"\s*:'
    return [f for f in source.named(r"labels\.json") if re.match(keys, source.head(f).lstrip())]


def found(source: Source) -> str:
    files = _files(source)
    return "labels.json with classes and labels" if files else ""


def read(source: Source, how: How) -> RawRows:
    rows = Gathered(source, how)
    stems = Stems(rows)
    clock = Clock(rows, stems.root)
    unlabelled = 0
    classes: list[str] | None = None
    for file in _files(source):
        labels = JsonFile(file)
        classes = labels.value.get("classes")
        for video in labels.members("labels"):
            entries = video.value if isinstance(video.value, list) else []
            unlabelled += not entries
            for number, entry in enumerate(entries, start=1):
                where = f"detection {number} of {video.key!r}"
                label = _label(rows, file, video.line, entry.get("label"), classes, where)
                path = stems.find(file, video.line, video.key)
                if label is None:
                    continue
                span = _span(rows, clock, file, video.line, path, entry, where)
                if span is not None:
                    rows.add(file, video.line, path, label, start=span[0], end=span[1])
    said = "FiftyOne temporal detections" + (
        f" ({unlabelled:,} videos without a label are left out)" if unlabelled else ""
    )
    return rows.done(said, class_names=classes, root=stems.root)


def _label(
    rows: Gathered, file: Path, line: int, target: Any, classes: list[str] | None, where: str
) -> str | None:
    """With `classes` a target is a number of one, without it a name."""
    if classes is None:
        if isinstance(target, str) and target:
            return target
        rows.fault(file, line, f"{where} has the label {target!r}, and the file has no classes.")
    elif isinstance(target, int) and 0 <= target < len(classes):
        return classes[target]
    else:
        rows.fault(file, line, f"{where} has the class {target!r}, where there are {len(classes)} (from 0).")
    return None


def _span(
    rows: Gathered, clock: Clock, file: Path, line: int, path: str, entry: dict[str, Any], where: str
) -> tuple[float, float] | None:
    kind = "timestamps" if "timestamps" in entry else "support"
    pair = entry.get(kind)
    if not isinstance(pair, list) or len(pair) != 2:
        rows.fault(file, line, f"{where} has neither support [first, last] nor timestamps [start, stop].")
        return None
    start = rows.number(file, line, pair[0], f"{where}: its beginning")
    stop = rows.number(file, line, pair[1], f"{where}: its end")
    if start is None or stop is None:
        return None
    return (start, stop) if kind == "timestamps" else clock.span(file, line, path, int(start) - 1, int(stop))


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    """`labels.json` with timestamps in seconds; the videos stay where they are."""
    going = Outgoing(manifest, how, "FiftyOne temporal detections", segments=True, several=True)
    labels: dict[str, list[dict[str, Any]]] = {}
    paths: dict[str, str] = {}
    for row in going.rows():
        if row["start"] is None or row["end"] is None:
            going.refuse(
                row,
                "it holds stretches with a start and an end.",
                "class folders are its form for whole videos",
            )
        key = os.path.splitext(row["path"])[0].removeprefix("data/")  # noqa: PTH122
        if paths.setdefault(key, row["path"]) != row["path"]:
            going.refuse(row, f"videos are called by their names without suffix, and {key!r} is there twice.")
        entries = labels.setdefault(key, [])
        entries += [
            {"label": number, "timestamps": [row["start"], row["end"]]}
            for number in going.numbers(row["label"])
        ]
    content = {"classes": list(going.class_names), "labels": labels}
    return [put(out / "labels.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")]


LAYOUT = Layout(
    "fiftyone", "FiftyOne temporal detections", "labels.json with classes and labels", found, read, write,
    takes=("fps",),
)  # fmt: skip
