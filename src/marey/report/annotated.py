"""The annotated video: what runs now is named on the picture, and the lanes of the timeline stand under it with a
playhead that moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from marey.report.lanes import SURE, Lanes, certainty, clock_text, lanes
from marey.report.strips import _font
from marey.report.words import shorten_all
from marey.types import Segment, UInt8Array, VideoTimeline
from marey.video.players import Playing
from marey.video.redrawn import redraw, scaled

MAX_LANES = 12
"""Lanes under the picture; more would leave nothing of it."""
MAX_SAID = 6
"""Actions named on the picture at once."""
_PAPER, _INK, _RULE, _FOUND, _TRUE = (
    (24, 26, 29),
    (226, 224, 218),
    (52, 56, 61),
    (214, 96, 68),
    (96, 152, 190),
)
_HEAD, _TRACK = (250, 248, 240), (74, 79, 86)


def write_annotated(
    out: Path,
    timeline: VideoTimeline,
    playing: Playing,
    *,
    least: float = SURE,
    say: Callable[[str], None],
    advance: Callable[[int], None] = lambda n: None,
) -> Path:
    """Write the annotated MP4; `marey.video.redrawn.redraw` tells what becomes of the frames, times and sound.

    Args:
        least: found segments with a lower score are neither named nor drawn.
    """
    height, width = scaled(playing.info)
    shown = lanes(
        timeline.segments,
        timeline.truth,
        least=least,
        scores=(timeline.times, timeline.scores, timeline.class_names),
        most=MAX_LANES,
        columns=width,
    )
    still = [s for s in timeline.segments if certainty(s) >= least]
    board = _Board(shown, still, height, width, playing.info.start, playing.info.end)
    return redraw(
        Path(timeline.path), out, board.draw, canvas=board.canvas, playing=playing, say=say, advance=advance
    )


class _Board:
    """The picture with the strip under it. All that stands still is drawn once."""

    def __init__(
        self, shown: Lanes, found: list[Segment], height: int, width: int, start: float, end: float
    ) -> None:
        self._height, self._width = height, width
        self._found, self._start, self._end = found, start, max(end, start + 1e-3)
        self._text = _font(max(13, round(width / 48)))
        self._row = max(18, round(width / 52))
        self._small = _font(max(10, round(self._row * 0.66)))
        self._strip = self._lanes(shown)
        below = height + len(self._strip)
        self.canvas = below + below % 2, width + width % 2
        self._labels: tuple[tuple[str, ...], UInt8Array, UInt8Array] | None = None

    def draw(self, picture: UInt8Array, time: float) -> UInt8Array:
        board = np.zeros((*self.canvas, 3), np.uint8)
        board[: self._height, : self._width] = picture
        self._name(board, time)
        top = self._height
        strip = self._strip.copy()
        x = int(np.clip(self._x(time), self._left, self._width - 2))
        strip[self._row :, x : x + 2] = _HEAD
        self._say_clock(strip, x, time)
        board[top : top + len(strip), : self._width] = strip
        return board

    def _x(self, time: float) -> float:
        return self._left + (time - self._start) / (self._end - self._start) * (self._width - self._left - 4)

    def _lanes(self, shown: Lanes) -> UInt8Array:
        names = shorten_all([lane.name or "nothing happens" for lane in shown.lanes], 24)
        self._left = min(int(0.3 * self._width), round(max(map(self._small.getlength, names))) + 12)
        bands = [max(lane.true_rows, 1) * shown.annotated + max(lane.found_rows, 1) for lane in shown.lanes]
        thin = max(5, round(self._row / 3))
        heights = [max(self._row, 4 + thin * n) for n in bands]
        strip = Image.new("RGB", (self._width, self._row + sum(heights) + 3), _PAPER)
        pen = ImageDraw.Draw(strip)
        top = self._row
        for name, lane, height, rows in zip(names, shown.lanes, heights, bands, strict=True):
            fitted = _cut(name, self._small, self._left - 8)
            pen.text((6, top + height / 2), fitted, _INK, self._small, anchor="lm")
            if lane.scores is not None:
                x = [self._x(t) for t in shown.times.tolist()]
                y = (top + height - 2 - np.clip(lane.scores, 0, 1) * (height - 4)).tolist()
                floor = top + height - 2
                pen.polygon([(x[0], floor), *zip(x, y, strict=True), (x[-1], floor)], _TRACK)
            pen.line((self._left, top + height - 1, self._width, top + height - 1), _RULE)
            high = (height - 4) / rows
            above = max(lane.true_rows, 1) * shown.annotated
            for placed, offset, color in ((lane.true, 0, _TRUE), (lane.found, above, _FOUND)):
                for segment, row in placed:
                    y0 = top + 2 + (offset + row) * high
                    left, right = (
                        float(np.clip(self._x(t), self._left, self._width))
                        for t in (segment.start, segment.end)
                    )
                    solid = 0.35 + 0.65 * min(certainty(segment), 1.0)
                    shade = tuple(
                        round(solid * c + (1 - solid) * p) for c, p in zip(color, _PAPER, strict=True)
                    )
                    pen.rectangle((left, y0, max(left + 1, right), y0 + max(1, high - 2)), shade)
            top += height
        return np.array(strip)

    def _say_clock(self, strip: UInt8Array, x: int, time: float) -> None:
        text = clock_text(time)
        wide = round(self._small.getlength(text)) + 6
        left = int(np.clip(x - wide // 2, 0, self._width - wide))
        label = Image.new("RGB", (wide, self._row), _PAPER)
        ImageDraw.Draw(label).text((3, self._row / 2), text, _HEAD, self._small, anchor="lm")
        strip[: self._row, left : left + wide] = np.asarray(label)

    def _name(self, board: UInt8Array, time: float) -> None:
        """The actions that run, in the picture's upper left corner, the surest first."""
        running = sorted(
            (s for s in self._found if s.start <= time < s.end), key=lambda s: (-certainty(s), s.label)
        )
        best = {s.label: s for s in reversed(running)}
        ordered = sorted(best.values(), key=lambda s: (-certainty(s), s.label))
        lines = [
            s.label if s.score is None else f"{s.label}  {100 * s.score:.0f}%" for s in ordered[:MAX_SAID]
        ]
        if len(ordered) > MAX_SAID:
            lines.append(f"and {len(ordered) - MAX_SAID} more")
        if not lines:
            return
        key = tuple(lines)
        if self._labels is None or self._labels[0] != key:
            self._labels = (key, *self._plate(lines))
        _, text, opaque = self._labels
        high, wide = min(len(text), self._height), min(text.shape[1], self._width)
        under = board[:high, :wide].astype(np.uint16)
        alpha = opaque[:high, :wide, None].astype(np.uint16)
        board[:high, :wide] = ((255 - alpha) * under + alpha * text[:high, :wide]) // 255

    def _plate(self, lines: list[str]) -> tuple[UInt8Array, UInt8Array]:
        high = round(self._text.size * 1.5)
        fitted = [_cut(line, self._text, self._width - 24) for line in lines]
        wide = round(max(map(self._text.getlength, fitted))) + 20
        color = Image.new("RGB", (wide + 8, high * len(lines) + 8), _PAPER)
        opaque = Image.new("L", color.size, 0)
        pen, cover = ImageDraw.Draw(color), ImageDraw.Draw(opaque)
        for i, line in enumerate(fitted):
            top, right = 8 + i * high, 8 + round(self._text.getlength(line)) + 12
            cover.rectangle((8, top, right, top + high - 3), 200)
            pen.rectangle((8, top, 10, top + high - 3), _FOUND)
            pen.text((14, top + (high - 3) / 2), line, _HEAD, self._text, anchor="lm")
        return np.array(color), np.array(opaque)


def _cut(text: str, font: ImageFont.FreeTypeFont, wide: float) -> str:
    """As much of a text as a width holds, on one line."""
    text = "".join(c if c.isprintable() else " " for c in text)
    while text and font.getlength(text) > wide:
        text = text[:-2] + "…" if len(text) > 2 else ""
    return text
