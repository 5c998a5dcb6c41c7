"""What a manifest holds, in numbers: classes, splits, lengths, frame rates, sizes, and what cannot be read.

Every video's header and packet table is read; nothing is decoded.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from marey.data.clips import segment_of
from marey.data.manifest import Manifest, Sample
from marey.data.splits import check_split, grouping
from marey.errors import DataError, SegmentError, SplitError
from marey.video.packed.names import disk_bytes
from marey.video.reader import VideoInfo, open_video

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Spread:
    """Least, median, mean and greatest of some numbers, and their sum."""

    least: float
    median: float
    mean: float
    most: float
    total: float

    @classmethod
    def of(cls, numbers: Iterable[float]) -> Spread | None:
        """None of no numbers."""
        x = np.fromiter(numbers, dtype=np.float64)
        if not len(x):
            return None
        return cls(float(x.min()), float(np.median(x)), float(x.mean()), float(x.max()), float(x.sum()))


@dataclass(frozen=True)
class Fault:
    """A video or a segment that cannot be used: its place in the manifest, the file, the error's type and text."""

    where: str
    path: str
    kind: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The numbers of `marey data summary`.

    Attributes:
        source: the manifest's name.
        samples, videos, groups: how many; several samples may lie in one video.
        grouping: what a split must keep together: "by group (18 groups)".
        leak: the sentence about a group on both sides of the split, or None.
        multi_label: whether samples may have several labels.
        classes: samples by class.
        splits: samples by split and class; empty where nothing is split.
        seconds: length of the samples' segments, of those that can be read.
        video_seconds, frames: length of the videos.
        rates: videos by frame rate (average, rounded to 0.01 frames/s), most first; likewise
        sizes: "width×height" of the upright frame; codecs: codec and pixel format.
        variable_rate, rotated, with_audio: numbers of videos.
        bytes: of all video files.
        unreadable: videos that cannot be opened. outside: segments that do not lie in their video.
    """

    source: str
    samples: int
    videos: int
    groups: int
    grouping: str
    leak: str | None
    multi_label: bool
    classes: dict[str, int]
    splits: dict[str, dict[str, int]]
    seconds: Spread | None
    video_seconds: Spread | None
    frames: Spread | None
    rates: dict[str, int]
    sizes: dict[str, int]
    codecs: dict[str, int]
    variable_rate: int
    rotated: int
    with_audio: int
    bytes: int
    unreadable: tuple[Fault, ...]
    outside: tuple[Fault, ...]

    @property
    def sound(self) -> bool:
        """Whether everything can be read, lies where it should, and no group leaks."""
        return not (self.unreadable or self.outside or self.leak)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class _Seen:
    """What one video gave: its info, or the fault; the lengths of its samples; its segments' faults."""

    info: VideoInfo | None
    fault: Fault | None
    lengths: tuple[float, ...]
    outside: tuple[Fault, ...]
    bytes: int


def summarise(
    manifest: Manifest, *, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Summary:
    """Look at every video of a manifest.

    Args:
        manifest: any manifest.
        workers: threads that open files; by default one a core, 8 at most.
        progress: called with (videos done, videos in all) after each.
    """
    rows: dict[str, list[int]] = {}
    for row, path in enumerate(manifest.table["path"].to_pylist()):
        rows.setdefault(path, []).append(row)
    seen: list[_Seen] = []
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        for one in pool.map(lambda of_video: _look(manifest, of_video), rows.values()):
            seen.append(one)
            if progress is not None:
                progress(len(seen), len(rows))
    infos = [one.info for one in seen if one.info is not None]
    groups = grouping(manifest)
    leak = None
    if manifest.splits:
        try:
            check_split(manifest)
        except SplitError as error:
            leak = str(error)
    return Summary(
        source=manifest.origin.name,
        samples=len(manifest),
        videos=len(rows),
        groups=len(groups),
        grouping=groups.rule,
        leak=leak,
        multi_label=manifest.multi_label,
        classes=dict(manifest.counts()),
        splits={name: dict(manifest.select(manifest.indices(name)).counts()) for name in manifest.splits},
        seconds=Spread.of(length for one in seen for length in one.lengths),
        video_seconds=Spread.of(info.duration for info in infos),
        frames=Spread.of(info.frames for info in infos),
        rates=_counted(f"{round(info.fps, 2):g}" for info in infos),
        sizes=_counted(f"{info.width}×{info.height}" for info in infos),
        codecs=_counted(f"{info.codec} {info.pix_fmt}" for info in infos),
        variable_rate=sum(info.variable_rate for info in infos),
        rotated=sum(info.rotation != 0 for info in infos),
        with_audio=sum(info.audio_tracks > 0 for info in infos),
        bytes=sum(one.bytes for one in seen),
        unreadable=tuple(one.fault for one in seen if one.fault is not None),
        outside=tuple(fault for one in seen for fault in one.outside),
    )


def format_summary(summary: Summary) -> RenderableType:
    """Tables for a terminal: the whole, classes by splits, and what is wrong."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    whole = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in _whole(summary):
        whole.add_row(Text(name, style="bold"), Text(value))
    classes = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    classes.add_column("class", overflow="fold")
    for name in (*summary.splits, "all"):
        classes.add_column(name, justify="right")
    shown = list(summary.classes)[:60]
    for label in shown:
        counts = [*(summary.splits[name][label] for name in summary.splits), summary.classes[label]]
        classes.add_row(Text(label), *(f"{n:,}" if n else Text("none", style="red") for n in counts))
    if len(shown) < len(summary.classes):
        classes.add_row(
            f"… {len(summary.classes) - len(shown)} more classes", *[""] * (len(summary.splits) + 1)
        )
    parts: list[RenderableType] = [whole, classes]
    if summary.leak:
        parts.append(Text(summary.leak, style="red"))
    for title, faults in (("unreadable videos", summary.unreadable), ("segments outside", summary.outside)):
        if faults:
            table = Table(
                title=f"{len(faults)} {title}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1)
            )
            for column in ("where", "error", "what"):
                table.add_column(column, overflow="fold")
            for fault in faults[:50]:
                table.add_row(Text(fault.where), Text(fault.kind), Text(fault.what))
            parts.append(table)
            if len(faults) > 50:
                parts.append(Text(f"… {len(faults) - 50} more"))
    return Group(*parts)


def _look(manifest: Manifest, rows: list[int]) -> _Seen:
    samples = [manifest.sample(row) for row in rows]
    path = samples[0].path
    try:
        size = disk_bytes(path)
        with open_video(path) as reader:
            lengths, outside = [], []
            for sample in samples:
                try:
                    span = segment_of(reader, sample.start, sample.end, where=sample.where)
                    lengths.append(span.end - span.start)
                except SegmentError as error:
                    outside.append(_fault(sample, error))
            return _Seen(reader.info, None, tuple(lengths), tuple(outside), size)
    except DataError as error:
        return _Seen(None, _fault(samples[0], error), (), (), size)
    except OSError as error:
        return _Seen(None, Fault(samples[0].where, path, type(error).__name__, str(error)), (), (), 0)


def _fault(sample: Sample, error: DataError) -> Fault:
    return Fault(sample.where, sample.path, type(error).__name__, " ".join([error.what, *error.details]))


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _whole(s: Summary) -> list[tuple[str, str]]:
    rows = [
        ("source", s.source),
        ("samples", f"{s.samples:,} in {s.videos:,} videos, {len(s.classes)} classes"
         + (", several labels a sample" if s.multi_label else "")),
        ("split", ", ".join(f"{k} {sum(v.values()):,}" for k, v in s.splits.items()) if s.splits else "none"),
        ("kept together", s.grouping),
    ]  # fmt: skip
    if s.seconds is not None and s.video_seconds is not None and s.frames is not None:
        rows += [
            ("sample length", _seconds(s.seconds)),
            ("video length", f"{_seconds(s.video_seconds)}; {s.video_seconds.total / 3600:.2f} h in all"),
            ("frames", f"{s.frames.least:,.0f} – {s.frames.most:,.0f}, median {s.frames.median:,.0f}"),
            (
                "frames/s",
                _most(s.rates) + (f"; {s.variable_rate:,} of variable rate" if s.variable_rate else ""),
            ),
            ("size", _most(s.sizes) + (f"; {s.rotated:,} turned upright" if s.rotated else "")),
            ("codec", _most(s.codecs)),
        ]
    rows.append(
        ("on disk", f"{s.bytes / 1e6:,.1f} MB" + (f"; {s.with_audio:,} with sound" if s.with_audio else ""))
    )
    rows.append(("unreadable", f"{len(s.unreadable):,} of {s.videos:,} videos" if s.unreadable else "none"))
    if s.outside:
        rows.append(("outside", f"{len(s.outside):,} of {s.samples:,} segments do not lie in their video"))
    return rows


def _seconds(x: Spread) -> str:
    return f"{x.least:.2f} – {x.most:.2f} s, median {x.median:.2f} s"


def _most(counts: dict[str, int], shown: int = 5) -> str:
    parts = [f"{name} ({n:,})" if len(counts) > 1 else name for name, n in list(counts.items())[:shown]]
    return ", ".join(parts) + (f", … {len(counts) - shown} more" if len(counts) > shown else "")
