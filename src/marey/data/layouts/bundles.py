"""Breakfast, 50Salads, GTEA as action segmentation has them: `groundTruth/*.txt` with a label a frame, `mapping.txt`,
and `splits/train.splitN.bundle`, `test.splitN.bundle`.

Farha and Gall, MS-TCN (CVPR 2019), https://github.com/yabufarha/ms-tcn
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marey.data.layouts.classes import numbered
from marey.data.layouts.clock import Clock, Frames
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source
from marey.data.layouts.raw import RawRows
from marey.data.layouts.runs import stretches
from marey.data.layouts.stems import Stems
from marey.data.layouts.textfile import read_lines
from marey.data.layouts.ucf101 import one
from marey.data.layouts.writing import Outgoing, put_lines
from marey.errors import did_you_mean

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_BUNDLE = r"(train|test)\.split(\d+)\.bundle"
_SUBJECT = re.compile(r"(P\d+|S\d+|rgb-\d+)[_-]")


def _truths(source: Source) -> list[Path]:
    return [f for f in source.files if f.parent.name.lower() == "groundtruth" and f.suffix == ".txt"]


def found(source: Source) -> str:
    if _truths(source) and source.named(r"mapping\.txt"):
        return "groundTruth/ and mapping.txt"
    return ""


def read(source: Source, how: How) -> RawRows:
    """A row is a run of frames of one label; the group is the subject (P16, S1, rgb-01), as the name tells it.

    The video of `P16_cam01_P16_cereals.txt` is the one of that name, or `P16/cam01/P16_cereals.avi`. It has as many
    frames as the file has lines, or --fps says at what rate the lines count.
    """
    rows = Gathered(source, how)
    stems = Stems(rows, joined=True)
    clock = Clock(rows, stems.root)
    mapping = one(source, "mapping.txt")
    pairs = {name: number for number, _, name in (text.partition(" ") for _, text in read_lines(mapping))}
    classes = numbered(pairs, rows.name(mapping))
    sides = _sides(source, rows, how)
    apart = 0
    for file in _truths(source):
        if sides is not None and file.stem not in sides:
            apart += 1
            continue
        lines = list(read_lines(file))
        unknown = [(line, label) for line, label in lines if label not in pairs]
        if unknown:
            line, label = unknown[0]
            more = f" {len(unknown)} lines of this file have no known class." if len(unknown) > 1 else ""
            rows.fault(
                file, line, f"{label!r} is not a class of mapping.txt.{did_you_mean(label, pairs)}{more}"
            )
            continue
        path = stems.find(file, 1, file.stem)
        if not clock.fits(file, len(lines), path, len(lines)):
            continue
        subject = _SUBJECT.match(file.stem)
        for label, first, stop in stretches([label for _, label in lines]):
            span = clock.span(file, lines[first][0], path, first, stop)
            if span is not None:
                rows.add(
                    file, lines[first][0], path, label, start=span[0], end=span[1],
                    split=None if sides is None else sides[file.stem], group=subject[1] if subject else None,
                )  # fmt: skip
    said = "frame-wise labels" + ("" if sides is None else f", split {how.split or 1}")
    said += f" ({apart:,} videos are in neither part of it)" if apart else ""
    return rows.done(said, class_names=classes, multi_label=False, root=stems.root)


def _sides(source: Source, rows: Gathered, how: How) -> dict[str, str] | None:
    """The side of every video in the split asked for; None where there are no splits."""
    bundles = source.named(_BUNDLE)
    if not bundles and how.split is None:
        return None
    sides: dict[str, str] = {}
    there = {file.stem for file in _truths(source)}
    number = how.split or 1
    for side in ("train", "test"):
        file = one(source, f"{side}.split{number}.bundle")
        for line, text in read_lines(file):
            name = text.removesuffix(".txt")
            if name in sides:
                rows.fault(file, line, f"{name!r} is in {sides[name]} already.")
            elif name not in there:
                rows.fault(file, line, f"groundTruth/{name}.txt is not there.")
            sides[name] = side
    return sides


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    going = Outgoing(manifest, how, "frame-wise labels", segments=True, splits=("train", "test"), group=True)
    frames = Frames(going.root, how.fps, "Frame-wise labels")
    files = [put_lines(out / "mapping.txt", (f"{n} {name}" for n, name in enumerate(going.class_names)))]
    sides: dict[str | None, list[str]] = {}
    for path, segments in going.by_video().items():
        name = PurePosixPath(path).with_suffix("").as_posix().replace("/", "_")
        if PurePosixPath(path).stem.startswith(tuple("PSr")) and _SUBJECT.match(PurePosixPath(path).stem):
            name = PurePosixPath(path).stem
        subject = _SUBJECT.match(name)
        labels: list[str] = []
        for row in sorted(segments, key=lambda row: row["start"] or 0.0):
            first, stop = frames.at(path, row["start"]), frames.at(path, row["end"], last=True)
            if first != len(labels):
                kind = "has no label" if first > len(labels) else "has two labels"
                going.refuse(
                    row, f"frame {min(first, len(labels))} of {path!r} {kind}; here every frame has one."
                )
            if row["group"] not in (None, subject[1] if subject else None):
                going.refuse(
                    row, f"the group is told by the name ({name!r}), which does not say {row['group']!r}."
                )
            labels += [row["label"]] * (stop - first)
        if not how.fps and len(labels) != frames.count(path):
            going.refuse(
                segments[-1], f"frame {len(labels)} of {path!r} has no label; here every frame has one."
            )
        files.append(put_lines(out / "groundTruth" / f"{name}.txt", labels))
        sides.setdefault(segments[0]["split"], []).append(f"{name}.txt")
    frames.say()
    if None not in sides:
        for side in ("train", "test"):
            files.append(
                put_lines(out / "splits" / f"{side}.split{how.split or 1}.bundle", sides.get(side, []))
            )
    return files


LAYOUT = Layout(
    "bundles", "Breakfast / 50Salads / GTEA", "groundTruth/*.txt, mapping.txt, splits/*.bundle", found, read, write,
    takes=("split", "fps"),
)  # fmt: skip
