"""CVAT for video 1.1: every track is a stretch with its label, from where it is seen to where it goes outside.

https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from marey.data.layouts.clock import Clock
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source
from marey.data.layouts.media import find_media
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.xmlfile import Element, read_xml
from marey.errors import ManifestError, did_you_mean


def _files(source: Source) -> list[Path]:
    return [f for f in source.ending(".xml") if "<annotations>" in source.head(f)]


def found(source: Source) -> str:
    files = _files(source)
    return f"the annotations element of {files[0].name}" if files else ""


def read(source: Source, how: How) -> RawRows:
    """Frames count from 0 in the whole video, also where the task took every n-th of them. The places of the shapes
    are passed over; so are tags and shapes outside tracks, and this is said.

    Raises:
        ManifestError: an export of a project, whose frames count over several videos.
    """
    rows = Gathered(source, how)
    stems = Stems(rows)
    clock = Clock(rows, stems.root)
    classes: dict[str, None] = {}
    others = 0
    for file in _files(source):
        root = read_xml(file)
        task = root.first("meta", "task") or root.first("meta", "job")
        if task is None:
            project = root.first("meta", "project") is not None
            raise ManifestError(
                "this is the export of a project." if project else "there is no task in <meta>.",
                "export its tasks one by one, as 'CVAT for video 1.1'", where=f"{rows.name(file)} line {root.line}",
            )  # fmt: skip
        source_name = task.text_of("source") or root.text_of("meta", "source")
        if not source_name:
            rows.fault(file, task.line, "the task does not name its video (<source>).")
            continue
        names = [label.text_of("name") for label in (task.first("labels") or task).all("label")]
        classes.update(dict.fromkeys(names))
        path = find_media(rows, stems, file, task.line, source_name)
        step = _step(task)
        others += sum(child.tag not in ("meta", "version", "track") for child in root.children)
        for track in root.all("track"):
            label = track.attributes.get("label", "")
            if not label or (names and label not in names):
                rows.fault(
                    file, track.line, f"{label!r} is not a label of the task.{did_you_mean(label, names)}"
                )
                continue
            for line, first, stop in _seen(rows, file, track, step):
                span = clock.span(file, line, path, first, stop)
                if span is not None:
                    rows.add(file, line, path, label, start=span[0], end=span[1])
    said = "CVAT tracks" + (f" ({others:,} tags and shapes outside tracks are passed over)" if others else "")
    return rows.done(said, class_names=tuple(classes) or None, root=stems.root)


def _step(task: Element) -> int:
    """Every how many-th frame of the video was taken: `<frame_filter>step=5</frame_filter>`."""
    _, _, step = task.text_of("frame_filter").partition("step=")
    return int(step) if step.strip().isdecimal() and int(step) else 1


def _seen(rows: Gathered, file: Path, track: Element, step: int) -> Iterator[tuple[int, int, int]]:
    """Each stretch in which the track is not outside: the line, the first frame, and the frame after the last."""
    begun: tuple[int, int] | None = None
    last = -1
    for shape in track.children:
        frame, outside = shape.attributes.get("frame", ""), shape.attributes.get("outside", "0")
        if not frame.isdecimal() or outside not in ("0", "1"):
            rows.fault(file, shape.line, f"a shape with frame {frame!r} and outside {outside!r}.")
            return
        if int(frame) <= last:
            rows.fault(file, shape.line, f"frame {frame} follows on frame {last} of the same track.")
            return
        last = int(frame)
        if outside == "1" and begun is not None:
            yield *begun, last
            begun = None
        elif outside == "0" and begun is None:
            begun = (shape.line, last)
    if begun is not None:
        yield *begun, last + step


LAYOUT = Layout(
    "cvat", "CVAT for video 1.1", "an xml with <annotations>, tracks as segments", found, read, takes=("fps",)
)
