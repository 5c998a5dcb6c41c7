"""A timeline as one page that plays its video: lanes on the video's own clock, and a jump to wherever one clicks.

The page is one file that fetches nothing but the video beside it (or holds it itself). It shows every segment that
was found; a slider hides the weaker ones.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from marey.report.lanes import SURE, Lane, Lanes, certainty, clock_text, lanes
from marey.report.page import Markup, cell, document, join, note, tag
from marey.types import FloatArray, Segment, VideoTimeline
from marey.video.players import MIME, Playing

_BAND, _ROW = 17, 10  # pixels of a band with one row of segments, and of each row more


def relative_address(target: Path, folder: Path) -> str:
    """The URL of a file as a page in `folder` names it; absolute where no relative path leads there."""
    try:
        path = Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return target.resolve().as_uri()
    return "/".join(quote(os.fsencode(part), safe="") for part in path.split("/"))


def data_address(video: Path) -> str:
    """The video itself, as a `data:` URL."""
    import base64

    return f"data:{MIME[video.suffix.lower()]};base64,{base64.b64encode(video.read_bytes()).decode('ascii')}"


def timeline_page(
    timeline: VideoTimeline, address: str, playing: Playing, *, begins: float, least: float = SURE
) -> str:
    """The whole page.

    Args:
        address: URL of the video that it plays.
        playing: the source.
        begins: where the clock of the played video begins, seconds on the source's own clock.
        least: where the slider stands at first.
    """
    found = sorted(timeline.segments, key=lambda s: (s.start, s.end, s.label))
    shown = lanes(
        found,
        timeline.truth,
        least=-math.inf,
        scores=(timeline.times, timeline.scores, timeline.class_names),
        most=10**6,
    )
    start, end = timeline.start, max(timeline.end, timeline.start + 1e-3)
    info = playing.info
    about = {
        "start": start,
        "end": end,
        "begins": begins,
        "until": info.end,
        "frame": info.duration / max(info.frames, 1),
    }
    name = Path(timeline.path).name
    body = join(
        [
            tag("div", "marey · what happens when", class_="kicker"),
            tag("h1", name),
            tag("p", _summary(timeline), class_="soft"),
            tag("video", src=address, controls="", preload="metadata", playsinline=""),
            tag(
                "p",
                "The video does not play: it is not where it was, or this browser lacks its codec. "
                "Lanes and table are whole.",
                class_="note",
                id="failed",
                hidden="hidden",
            ),
            _tools(timeline, least),
            _field(shown, start, end),
            tag(
                "p",
                "Click on the lanes or on a row to jump there. With the lanes in focus: arrows 1 s, with Shift one "
                "frame; Page Up and Down 10 s; N and P the next and previous segment; space plays.",
                class_="soft",
            ),
            note(
                f"The video's own clock begins at {begins:.3f} s, which most players call 0. "
                "All times on this page are the video's own."
            )
            if abs(begins) > 5e-4
            else "",
            tag("h2", "Segments"),
            _table(found, timeline.truth),
            tag("footer", "Made by marey."),
            Markup(f'<script type="application/json" id="about">{json.dumps(about)}</script>'),
        ]
    )
    files = resources.files("marey.report")
    return document(
        f"{name} · what happens when",
        body,
        style=files.joinpath("timeline.css").read_text(encoding="utf-8"),
        script=files.joinpath("timeline.js").read_text(encoding="utf-8"),
        media=True,
    )


def _summary(timeline: VideoTimeline) -> str:
    parts = [
        f"{clock_text(timeline.start)} to {clock_text(timeline.end)}",
        f"{len(timeline.segments)} segments found",
    ]
    if timeline.truth is not None:
        parts.append(f"{len(timeline.truth)} annotated")
    return " · ".join([*parts, *filter(None, [timeline.protocol])])


def _tools(timeline: VideoTimeline, least: float) -> Markup:
    scored = any(s.score is not None for s in timeline.segments)
    key = [tag("span", tag("span", class_="key"), "found")]
    if timeline.truth is not None:
        key.append(tag("span", tag("span", class_="key true"), "annotated"))
    if len(timeline.times):
        key.append(tag("span", tag("span", class_="key score"), "score over time"))
    slider = Markup(
        f"<label{'' if scored else ' hidden'}>least score "
        f'<input type="range" id="least" min="0" max="1" step="0.01" value="{least:.2f}">'
        f'<output id="least-is" for="least">{least:.2f}</output></label>'
    )
    zoom = Markup(
        '<label>stretch <input type="range" id="zoom" min="0" max="6" step="0.25" value="0">'
        '<output id="zoom-is" for="zoom">1.0×</output></label>'
    )
    return join(
        [
            tag("p", class_="now"),
            tag("div", *key, class_="tools"),
            tag("div", slider, tag("span", id="shown"), zoom, class_="tools"),
        ]
    )


def _field(shown: Lanes, start: float, end: float) -> Markup:
    cells: list[Markup] = [tag("div", "", class_="name"), tag("div", class_="ruler")]
    for lane in shown.lanes:
        cells += [
            tag("div", tag("span", lane.name or "nothing happens"), class_="name", title=lane.name or None),
            _lane(lane, shown, start, end),
        ]
    head = tag("div", tag("div", class_="head"), class_="over")
    return tag(
        "div",
        tag("div", *cells, head, class_="field"),
        class_="lanes", tabindex="0", role="slider", **{
            "aria-label": "position in the video", "aria-valuemin": f"{start:.2f}", "aria-valuemax": f"{end:.2f}",
            "aria-valuenow": f"{start:.2f}",
        },
    )  # fmt: skip


def _lane(lane: Lane, shown: Lanes, start: float, end: float) -> Markup:
    def band(rows: int) -> int:
        return _BAND + _ROW * (rows - 1) if rows > 1 else _BAND

    above = band(lane.true_rows) if shown.annotated else 0
    height = above + band(lane.found_rows) + 6
    parts = [_area(lane.scores, shown.times, start, end)] if lane.scores is not None else []
    for kind, placed, rows, top in (
        ("true", lane.true, lane.true_rows, 3),
        ("found", lane.found, lane.found_rows, 3 + above),
    ):
        high = (band(rows) - 2) / max(rows, 1)
        for segment, row in placed:
            left, wide = (
                100 * (t / (end - start)) for t in (segment.start - start, segment.end - segment.start)
            )
            parts.append(
                tag(
                    "div",
                    class_=f"seg {kind}", title=_title(segment, kind), **_data(segment, kind),
                    style=f"left:{left:.4f}%;width:{wide:.4f}%;top:{top + row * high:.1f}px;height:{high - 1:.1f}px;"
                    f"--o:{0.3 + 0.65 * certainty(segment):.2f}",
                )
            )  # fmt: skip
    return tag("div", *parts, class_="lane", style=f"--h:{height}px")


def _area(scores: NDArray[np.float32], times: FloatArray, start: float, end: float) -> Markup:
    x = 1000 * (times - start) / (end - start)
    y = 100 - 100 * np.clip(scores, 0, 1)
    points = "".join(f"L{a:.1f} {b:.0f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    path = f"M{x[0]:.1f} 100{points}L{x[-1]:.1f} 100Z"
    return Markup(
        f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true"><path d="{path}"/></svg>'
    )


def _title(segment: Segment, kind: str) -> str:
    score = "" if segment.score is None else f", score {segment.score:.2f}"
    about = "annotated" if kind == "true" else "found"
    return f"{segment.label}: {clock_text(segment.start)}–{clock_text(segment.end)}, {about}{score}"


def _data(segment: Segment, kind: str) -> dict[str, object]:
    return {
        "data-start": f"{segment.start:.4f}",
        "data-end": f"{segment.end:.4f}",
        "data-score": None if segment.score is None else f"{segment.score:.4f}",
        "data-kind": kind,
    }


def _table(found: Sequence[Segment], true: Sequence[Segment] | None) -> Markup:
    """A row a segment, by time; what was annotated stands among what was found."""
    rows = [("found", s) for s in found] + [("true", s) for s in true or ()]
    rows.sort(key=lambda row: (row[1].start, row[1].end, row[0]))
    if not rows:
        return note("Nothing was found.")
    columns = ["label", "start", "end", "seconds", "score"]
    if true is not None:
        columns.insert(1, "")
    right = {"start", "end", "seconds", "score"}
    top = tag(
        "tr", *(tag("th", name, class_="n" if name in right else None, scope="col") for name in columns)
    )
    body = []
    for kind, s in rows:
        cells = [
            cell(tag("button", s.label, class_="at", type="button"), class_="name"),
            cell(clock_text(s.start, 2), numeric=True),
            cell(clock_text(s.end, 2), numeric=True),
            cell(f"{s.duration:.2f}", numeric=True),
            cell("–" if s.score is None else f"{s.score:.2f}", numeric=True, bar=s.score),
        ]
        if true is not None:
            cells.insert(1, cell("annotated" if kind == "true" else "found"))
        body.append(tag("tr", *cells, class_="go", **_data(s, kind), **{"data-label": s.label}))
    inner = tag("table", tag("thead", top), tag("tbody", *body))
    return tag("div", inner, class_="wide tall" if len(rows) > 14 else "wide")
