"""PySlowFast's frame list, in which it takes Charades: a line a frame, with the numbers of its classes (from 0).

`original_vido_id video_id frame_id path labels`, the first name misspelt in the original, labels as `"3,17"` or `""`.
https://github.com/facebookresearch/SlowFast/blob/main/slowfast/datasets/DATASET.md
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marey.data.layouts.charades import coded_classes
from marey.data.layouts.clock import Clock, Frames
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source, split_of
from marey.data.layouts.mmaction2 import class_numbers
from marey.data.layouts.raw import RawRows
from marey.data.layouts.runs import stretches_of_each
from marey.data.layouts.stems import Stems
from marey.data.layouts.textfile import read_lines
from marey.data.layouts.writing import Outgoing, put_lines

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_HEADER = "original_vido_id video_id frame_id path labels"
_HEADERS = (_HEADER.split(), _HEADER.replace("vido", "video").split())


def _files(source: Source) -> list[Path]:
    return [f for f in source.ending(".csv", ".txt") if source.head(f).split("\n", 1)[0].split() in _HEADERS]


def found(source: Source) -> str:
    files = _files(source)
    return f"the header of {files[0].name}" if files else ""


def read(source: Source, how: How) -> RawRows:
    """A row is a stretch of frames that all have a class. marey reads the videos, not the pictures: `video_id` is
    the name of one, with as many frames as the list has, or --fps says at what rate the list counts."""
    rows = Gathered(source, how)
    stems = Stems(rows)
    clock = Clock(rows, stems.root)
    numbers = class_numbers(source, how)
    if numbers.names is None and not how.classes:
        listed, names = coded_classes(source, how)
        numbers.names, numbers.listed = (tuple(names.values()), listed.name) if listed else (None, "")
    kept: list[tuple[Path, int, str, tuple[float, float], str | None]] = []
    bare = 0
    for file in _files(source):
        for video, frames in _videos(rows, file).items():
            line = frames[0][0]
            path = stems.find(file, line, video)
            bare += not any(labels for _, labels in frames)
            if not clock.fits(file, line, path, len(frames)):
                continue
            for label, first, stop in stretches_of_each([labels for _, labels in frames]):
                span = clock.span(file, frames[first][0], path, first, stop)
                if span is not None:
                    numbers.see(file, frames[first][0], [label])
                    kept.append((file, frames[first][0], path, span, split_of(file.name)))
    named, classes = numbers.resolve(rows)
    rows.raise_faults()
    for (file, line, path, span, split), name in zip(kept, named, strict=True):
        rows.add(file, line, path, name, start=span[0], end=span[1], split=split)
    said = "PySlowFast frame list" + (f" ({bare:,} videos without a class are left out)" if bare else "")
    return rows.done(said, class_names=classes, root=stems.root)


def _videos(rows: Gathered, file: Path) -> dict[str, list[tuple[int, frozenset[int]]]]:
    """The frames of each video in their order: the line and the classes of each."""
    videos: dict[str, list[tuple[int, frozenset[int]]]] = {}
    before: dict[str, int] = {}
    for line, text in read_lines(file):
        cells = text.split()
        if cells in _HEADERS:
            continue
        labels = cells[-1].strip('"') if cells else ""
        if (
            len(cells) != 5
            or not cells[2].isdecimal()
            or not all(c.isdecimal() for c in labels.split(",") if labels)
        ):
            rows.fault(file, line, f"{text[:80]!r} is not id, id, frame, path and classes.")
            continue
        video, frame = cells[0], int(cells[2])
        if video in before and frame != before[video] + 1:
            rows.fault(file, line, f"frame {frame} of {video!r} follows on frame {before[video]}.")
        before[video] = frame
        classes = frozenset(map(int, labels.split(","))) if labels else frozenset[int]()
        videos.setdefault(video, []).append((line, classes))
    return videos


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    going = Outgoing(
        manifest, how, "a PySlowFast frame list", segments=True, several=True, splits=("train", "val", "test")
    )
    going.refuse_spaces()
    frames = Frames(going.root, how.fps, "A frame list")
    lines: dict[str | None, list[str]] = {}
    for path, segments in going.by_video().items():
        ident = PurePosixPath(path).stem
        count = frames.count(path)
        if how.fps:
            count = max(frames.at(path, row["end"], last=True) for row in segments)
        labels: list[set[int]] = [set() for _ in range(count)]
        for row in segments:
            for frame in range(frames.at(path, row["start"]), frames.at(path, row["end"], last=True)):
                labels[frame].update(going.numbers(row["label"]))
        for frame, numbers in enumerate(labels):
            cells = ",".join(map(str, sorted(numbers)))
            lines.setdefault(segments[0]["split"], []).append(
                f'{ident} {ident} {frame} {ident}/{ident}-{frame + 1:06d}.jpg "{cells}"'
            )
    frames.say()
    files = [put_lines(out / "classes.txt", going.class_names)]
    return files + [
        put_lines(out / f"{split or 'list'}.csv", [_HEADER, *part]) for split, part in lines.items()
    ]


LAYOUT = Layout(
    "framelist", "PySlowFast frame list (Charades)", f"a csv with `{_HEADER}`", found, read, write,
    takes=("classes", "first_class", "fps"),
)  # fmt: skip
