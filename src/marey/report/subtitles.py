"""What happens as subtitles: WebVTT, where actions that overlap are cues that overlap, and SubRip (SRT).

WebVTT is https://www.w3.org/TR/webvtt1/ (§4.1 for the file, §4.2.2 for what must be escaped). SubRip has no
standard: numbered blocks with `00:00:01,000 --> 00:00:02,000`, as https://www.matroska.org/technical/subtitles.html
tells. In SRT overlapping cues are drawn over each other by some players, so there a cue is a stretch in which the
same actions run.

Times are those of a player, whose clock begins with the file: `begins` is where that is on the video's own clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from marey.report.lanes import certainty
from marey.types import Segment

SHORTEST = 0.5
"""Seconds that a cue stays at least: a shorter one cannot be seen, so it stays longer than its action."""
_APART = 0.1  # seconds: changes of an SRT cue that are nearer to each other are one change

Cue = tuple[int, int, tuple[Segment, ...]]
"""Start and end in milliseconds of the player's clock, and what runs."""


def vtt(segments: Sequence[Segment], *, begins: float, end: float, title: str = "") -> str:
    """The text of a `.vtt` file.

    Args:
        segments: in seconds on the video's own clock; what lies outside the video has no cue.
        begins, end: the video, on the same clock.
        title: a note at the head of the file.
    """
    lines = ["WEBVTT", ""]
    if title:
        lines += [f"NOTE {_line(title).replace('-->', '→')}", ""]
    for number, (first, last, shown) in enumerate(cues(segments, begins=begins, end=end), start=1):
        text = "\n".join(_escaped(said(segment)) for segment in shown)
        lines += [f"{number}", f"{_stamp(first, '.')} --> {_stamp(last, '.')}", text, ""]
    return "\n".join(lines)


def srt(segments: Sequence[Segment], *, begins: float, end: float) -> str:
    """The text of an `.srt` file; the arguments are those of `vtt`. Markup has no escape there, so the signs
    that begin it (`<`, `{`) are replaced by look-alikes."""
    blocks = []
    for number, (first, last, shown) in enumerate(stretches(segments, begins=begins, end=end), start=1):
        text = "\n".join(said(segment).translate(_PLAIN) for segment in shown)
        blocks.append(f"{number}\n{_stamp(first, ',')} --> {_stamp(last, ',')}\n{text}\n")
    return "\n".join(blocks)


def cues(segments: Sequence[Segment], *, begins: float, end: float) -> list[Cue]:
    """A cue a segment, by start: cut to the video, and at least `SHORTEST` long where the video is."""
    length = max(0, round(1000 * (end - begins)))
    made = []
    for segment in segments:
        if outside(segment, begins=begins, end=end):
            continue
        first, last = (round(1000 * (t - begins)) for t in (segment.start, segment.end))
        first = max(first, 0)
        last = min(max(last, first + round(1000 * SHORTEST)), length)
        made.append((min(first, max(0, last - round(1000 * SHORTEST))), last, (segment,)))
    return sorted(made, key=lambda cue: (cue[0], -cue[1], cue[2][0].label))


def outside(segment: Segment, *, begins: float, end: float) -> bool:
    """Whether nothing of a segment is within the video, so that it has no cue."""
    return segment.end < begins or segment.start >= end


def stretches(segments: Sequence[Segment], *, begins: float, end: float) -> list[Cue]:
    """A cue a stretch in which the same labels run; none where nothing does."""
    single = cues(segments, begins=begins, end=end)
    edges: list[int] = []
    for edge in sorted({t for first, last, _ in single for t in (first, last)}):
        if not edges or edge - edges[-1] >= 1000 * _APART:
            edges.append(edge)
    made: list[Cue] = []
    for first, last in pairwise(edges):
        middle = (first + last) / 2
        running: dict[str, Segment] = {}
        for start, stop, (segment,) in single:
            best = running.get(segment.label)
            if start <= middle < stop and (best is None or certainty(best) < certainty(segment)):
                running[segment.label] = segment
        shown = tuple(running[label] for label in sorted(running))
        if shown and made and made[-1][1] == first and made[-1][2] == shown:
            made[-1] = (made[-1][0], last, shown)
        elif shown:
            made.append((first, last, shown))
    return made


def said(segment: Segment) -> str:
    """A segment in a subtitle: its label, and its score in percent where it has one."""
    label = _line(segment.label)
    return label if segment.score is None else f"{label} · {100 * segment.score:.0f}%"


_PLAIN = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")"})


def _line(text: str) -> str:
    """On one line: an empty one would end the cue."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "?"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _stamp(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"
