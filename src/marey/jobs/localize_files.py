"""What a localized video leaves in its run: files in every form, and a JSON that says that they are whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from marey.errors import DataError
from marey.files import plain_stem, write_json, write_text
from marey.metrics.activitynet import predictions_to_json
from marey.metrics.segments import SegmentTable
from marey.predict.timeline import count_frames
from marey.types import Segment, VideoTimeline
from marey.video.players import playing


@dataclass(frozen=True)
class Found:
    """What is kept of a video.

    Attributes:
        path: the video. start, end: the stretch that was judged, seconds.
        segments: all of them, in order of time. least: the score from which on they are told to people.
        truth: what was annotated, or None.
    """

    path: str
    start: float
    end: float
    segments: tuple[Segment, ...]
    least: float
    truth: tuple[Segment, ...] | None = None

    @property
    def told(self) -> tuple[Segment, ...]:
        """The segments that people are told of."""
        return tuple(s for s in self.segments if s.score is None or s.score >= self.least)


def file_names(videos: Sequence[str]) -> dict[str, str]:
    """What each video's files are called: its own name; equal ones get a number."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for video in videos:
        stem = name = plain_stem(Path(video))
        number = 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        names[video] = name
    return names


def count_forms(video: str, forms: Sequence[str]) -> int:
    """Frames that are encoded for a video's forms: all where an annotated copy is made, also for a page whose browser
    would not play the video."""
    if "video" in forms:
        return count_frames(video)
    if "page" in forms:
        seen = playing(Path(video))
        return 0 if seen.in_browser else seen.info.frames
    return 0


def write_video(
    folder: Path,
    name: str,
    timeline: VideoTimeline,
    *,
    least: float,
    forms: Sequence[str],
    embed: bool = False,
    say: Callable[[str], None],
    advance: Callable[[int], None],
) -> Found:
    """A video's files; `NAME.json` is the last of them: where it is, all are whole.

    Args:
        forms: as in `marey.report.timeline_files`.
        say: told what was left out.
        advance: told of frames that were encoded.
    """
    from marey.report.timeline_files import write_timeline_files

    found = Found(
        timeline.path, timeline.start, timeline.end, timeline.segments, least, timeline.truth
    )  # fmt: skip
    if forms:
        write_timeline_files(
            folder, timeline, forms=forms, name=name, least=least, embed=embed, renew=True, say=say, advance=advance
        )  # fmt: skip
    write_json(
        folder / f"{name}.json",
        {
            "path": found.path,
            "start": found.start,
            "end": found.end,
            "protocol": timeline.protocol,
            "least": least,
            "segments": [[s.start, s.end, s.label, s.score] for s in found.segments],
            "truth": None if found.truth is None else [[s.start, s.end, s.label] for s in found.truth],
        },
    )
    return found


def read_video(folder: Path, name: str, video: str) -> Found | None:
    """What was found in a video, or None where it is not done.

    Raises:
        DataError: a file of another video, or one that was changed by hand.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        if tree["path"] != video:
            raise DataError(
                f"this is of {tree['path']}, and {video} was asked for: the videos have changed.",
                "start a new run",
                where=str(path),
            )
        truth = tree["truth"]
        return Found(
            video,
            float(tree["start"]),
            float(tree["end"]),
            tuple(Segment(float(s), float(e), str(label), float(x)) for s, e, label, x in tree["segments"]),
            float(tree["least"]),
            None
            if truth is None
            else tuple(Segment(float(s), float(e), str(label)) for s, e, label in truth),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"this cannot be read ({type(error).__name__}: {error}).",
            "remove it, and the video is done again",
            where=str(path),
        ) from error


def write_tables(run: Path, found: Mapping[str, Found], class_names: Sequence[str]) -> None:
    """segments.json, in ActivityNet's form, with all segments; timeline.csv with those that people are told of."""
    table = SegmentTable.from_segments({v: f.segments for v, f in found.items()}, labels=class_names)
    write_json(run / "segments.json", predictions_to_json(table))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "start", "end", "score"))
    for video, one in found.items():
        for s in one.told:
            writer.writerow((video, s.label, f"{s.start:.3f}", f"{s.end:.3f}", f"{s.score:.4f}"))
    write_text(run / "timeline.csv", text.getvalue())
