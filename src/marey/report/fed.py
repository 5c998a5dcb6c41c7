"""Clips as a model is fed them: every frame in its place with its time, padding hatched, flow and differences
beneath the frames that they lie between. One page, or one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from marey.report.page import Markup, document, facts, image, join, note, tag
from marey.report.strips import _FILM, _GAP, _font, _wrapped, jpeg, placeholder
from marey.types import BoolArray, FloatArray, UInt8Array
from marey.video.flow.picture import flow_to_color, wheel_picture

HEIGHT = 104  # pixels of a frame
COLUMNS = 16  # frames in a row, at most
_WHEEL = 72
_BAND, _INK, _SOFT, _PAPER = 18, (35, 38, 43), (104, 109, 116), (253, 252, 250)


@dataclass(frozen=True, eq=False)
class View:
    """One clip of a sample.

    Attributes:
        title: which: test time, or an epoch of training.
        words: what was drawn for it.
        strip: its picture.
    """

    title: str
    words: str
    strip: Image.Image


@dataclass(frozen=True, eq=False)
class Shown:
    """One sample: what it is, and its clips; or the error that it cannot be read with."""

    title: str
    label: str
    views: tuple[View, ...]
    error: str | None = None


def fed_strip(
    frames: UInt8Array,
    times: FloatArray,
    mask: BoolArray,
    *,
    flow: NDArray[np.float32] | None = None,
    longest: float = 1.0,
    difference: NDArray[np.float32] | None = None,
    height: int = HEIGHT,
) -> Image.Image:
    """One clip.

    Args:
        frames: uint8 `(T, H, W, 3)`.
        times: `(T,)` seconds on the video's own clock; read where the mask is True alone.
        mask: bool `(T,)`, False where there is padding.
        flow: `(T−1, 2, H, W)` in pixels. longest: the length that gets full colour.
        difference: `(T−1, 3, H, W)`, −1…1; no change is grey.
        height: of a frame in the picture.
    """
    width = max(1, round(height * frames.shape[2] / frames.shape[1]))
    between: list[UInt8Array] = []
    if flow is not None:
        between.append(np.stack([flow_to_color(field, longest=longest) for field in flow]))
    if difference is not None:
        grey = (difference.transpose(0, 2, 3, 1) + 1) * 127.5
        between.append(grey.round().clip(0, 255).astype(np.uint8))
    columns = min(COLUMNS, len(frames))
    rows = -(-len(frames) // columns)
    step, tall = width + _GAP, height + _GAP + _BAND + len(between) * (height + _GAP)
    wide = columns * step + _GAP + (step // 2 if between and rows > 1 else 0)
    strip = Image.new("RGB", (wide, rows * tall + _GAP), _FILM)
    draw, font = ImageDraw.Draw(strip), _font(11)
    digits = 3 if mask.sum() > 1 and float(np.diff(times[mask]).min()) < 0.03 else 2
    for i in range(len(frames)):
        left, top = _GAP + i % columns * step, _GAP + i // columns * tall
        if mask[i]:
            strip.paste(_scaled(frames[i], width, height), (left, top))
            text, ink = f"{times[i]:.{digits}f}", (205, 205, 200)
        else:
            strip.paste(_hatched(width, height), (left, top))
            text, ink = "padding", (150, 140, 120)
        draw.text((left + width / 2, top + height + _BAND / 2), text, fill=ink, font=font, anchor="mm")
        for line, pictures in enumerate(between):
            if i < len(frames) - 1:
                below = top + height + _BAND + line * (height + _GAP)
                known = bool(mask[i + 1])
                picture = _scaled(pictures[i], width, height) if known else _hatched(width, height)
                strip.paste(picture, (left + step // 2, below))
    return strip


def fed_page(
    title: str, settings: Sequence[tuple[str, str]], samples: Sequence[Shown], notes: Sequence[str] = ()
) -> str:
    """One self-contained HTML page: how to read it, the settings, the samples by class."""
    classes = list(dict.fromkeys(sample.label for sample in samples))
    body: list[object] = [
        tag("div", "marey · data show", class_="kicker"),
        tag("h1", title),
        facts(settings),
        *(note(words) for words in notes),
        _legend(),
        tag("nav", *(tag("a", name, href=f"#class-{i}") for i, name in enumerate(classes))),
    ]
    for i, name in enumerate(classes):
        body.append(tag("h2", name, id=f"class-{i}"))
        body += [_sample(sample) for sample in samples if sample.label == name]
    return document(title, join(body))


def fed_picture(
    title: str, settings: Sequence[tuple[str, str]], samples: Sequence[Shown], notes: Sequence[str] = ()
) -> Image.Image:
    """The same as one picture, to be looked at by itself."""
    blocks: list[Image.Image] = []
    widest = max([view.strip.width for sample in samples for view in sample.views] + [640])

    def say(words: str, size: int, ink: tuple[int, int, int], *, above: int = 4) -> None:
        for line in _wrapped(words, max(20, int(widest / (0.6 * size)))):
            block = Image.new("RGB", (widest, above + size + 6), _PAPER)
            ImageDraw.Draw(block).text((0, above), line, fill=ink, font=_font(size))
            blocks.append(block)

    say(title, 22, _INK)
    for name, value in settings:
        say(f"{name}: {value}", 12, _SOFT, above=2)
    for words in notes:
        say(words, 12, _SOFT, above=2)
    for sample in samples:
        say(f"{sample.label} · {sample.title}", 15, _INK, above=18)
        if sample.error is not None:
            blocks.append(placeholder(sample.error, width=widest))
        for view in sample.views:
            say(f"{view.title} · {view.words}" if view.words else view.title, 12, _SOFT, above=6)
            blocks.append(view.strip)
    margin = 16
    whole = Image.new("RGB", (widest + 2 * margin, sum(b.height for b in blocks) + 2 * margin), _PAPER)
    top = margin
    for block in blocks:
        whole.paste(block, (margin, top))
        top += block.height
    whole.paste(Image.fromarray(wheel_picture(_WHEEL)), (widest + margin - _WHEEL, margin))
    return whole


def _sample(sample: Shown) -> Markup:
    parts: list[object] = [tag("h3", sample.title)]
    if sample.error is not None:
        parts.append(image(jpeg(placeholder(sample.error)), "jpeg", "no picture"))
    for view in sample.views:
        words = tag("p", tag("b", view.title), f" · {view.words}" if view.words else "", class_="soft")
        picture = image(jpeg(view.strip, 90), "jpeg", f"{sample.title}, {view.title}")
        parts += [words, tag("div", picture, class_="wide")]
    return tag("section", *parts, class_="mistake")


def _legend() -> Markup:
    wheel, png = Image.fromarray(wheel_picture(_WHEEL)), io.BytesIO()
    wheel.save(png, format="PNG")
    return tag(
        "p",
        image(png.getvalue(), "png", "the wheel of directions"),
        "Under each frame its time in seconds, on the video's own clock. Hatched places are padding, which no answer"
        " depends on. Where there is flow, it stands under the two frames that it lies between: hue is the direction"
        " as on the wheel, white stands still. Differences are grey where nothing changes.",
        class_="soft",
    )


def _scaled(picture: UInt8Array, width: int, height: int) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(picture)).resize((width, height), Image.Resampling.BILINEAR)


def _hatched(width: int, height: int) -> Image.Image:
    """Not black, which a frame may be: oblique lines on brown."""
    y, x = np.mgrid[:height, :width]
    lines = ((x + y) % 12 < 3)[..., None]
    return Image.fromarray(np.where(lines, (120, 98, 66), (52, 46, 38)).astype(np.uint8))
