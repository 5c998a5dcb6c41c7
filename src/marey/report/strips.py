"""Film strips: a few frames of a video in a row, the time under each. What failed is drawn as a stated blank."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from marey.report.words import shorten

HEIGHT = 96  # pixels of a frame
FRAMES = 6
_GAP, _BAND, _FILM = 2, 18, (20, 21, 24)


def film_strip(
    path: str | Path,
    *,
    start: float | None = None,
    end: float | None = None,
    sampler: Mapping[str, Any] | None = None,
    frames: int = FRAMES,
    height: int = HEIGHT,
) -> Image.Image:
    """Frames that the model saw (or as many of them as fit), with their times in seconds.

    Args:
        path: the video.
        start, end: the stretch, seconds on the video's own clock (None: the whole).
        sampler: the InputSpec's sampler; None, and samplers that must first look at motion: frames spread evenly.
        frames: at most so many.
        height: of a frame, in pixels; very wide frames are cut to 2.4:1.

    Raises:
        VideoError, SegmentError: as `open_video` and the sampler raise them.
    """
    from marey.video import open_video
    from marey.video.sampling import Uniform, sampler_from_dict

    with open_video(path) as reader:
        first = float(reader.times[0]) if start is None else start
        last = float(reader.info.end) if end is None else end
        rule: Any = sampler_from_dict(dict(sampler)) if sampler else Uniform(frames)
        cues = reader.keyframes if rule.cue == "keyframes" else None
        if rule.cue not in (None, "keyframes"):
            rule = Uniform(frames)
        times, mask = rule.times(reader.times, first, last, cues=cues)
        shown = np.unique(times[mask])
        shown = shown[np.unique(np.linspace(0, len(shown) - 1, min(frames, len(shown))).round().astype(int))]
        width = round(height * min(2.4, reader.info.width / reader.info.height))
        clip = reader.frames_at(shown, size=(height, max(1, width)))
    return draw_strip(clip.frames, clip.times)


def draw_strip(frames: NDArray[np.uint8], times: NDArray[np.float64]) -> Image.Image:
    """Frames `(T, H, W, 3|1)` in a row on film black, `times` in seconds under them."""
    t, h, w, c = frames.shape
    strip = Image.new("RGB", (t * (w + _GAP) + _GAP, h + 2 * _GAP + _BAND), _FILM)
    draw, font = ImageDraw.Draw(strip), _font(11)
    digits = 2 if len(times) < 2 or float(np.diff(times).min(initial=1.0)) < 0.1 else 1
    for i in range(t):
        picture = frames[i] if c == 3 else np.repeat(frames[i], 3, axis=2)
        left = _GAP + i * (w + _GAP)
        strip.paste(Image.fromarray(np.ascontiguousarray(picture)), (left, _GAP))
        text = f"{times[i]:.{digits}f} s"
        draw.text(
            (left + w / 2, h + 2 * _GAP + _BAND / 2 - 1), text, fill=(205, 205, 200), font=font, anchor="mm"
        )
    return strip


def placeholder(message: str, *, width: int = 560, height: int = HEIGHT) -> Image.Image:
    """A blank strip that says why there is no picture."""
    blank = Image.new("RGB", (width, height), (236, 233, 227))
    draw, font = ImageDraw.Draw(blank), _font(12)
    draw.rectangle((0, 0, width - 1, height - 1), outline=(201, 195, 184))
    lines = ["no picture", *_wrapped(message, 80)[:4]]
    for i, line in enumerate(lines):
        draw.text((14, 12 + 16 * i), line, fill=(110, 60, 45) if i == 0 else (70, 68, 64), font=font)
    return blank


def strip_or_placeholder(path: str | Path, **options: Any) -> tuple[Image.Image, str | None]:
    """A film strip, or the blank that states the error; and the error. A picture never costs the report."""
    try:
        return film_strip(path, **options), None
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        return placeholder(message), message


def run_sampler(folder: str | Path, metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """The sampler of a run: from its protocol, else from the metadata of weights/best.safetensors, else None."""
    sampler = (metrics.get("protocol") or {}).get("sampler")
    if isinstance(sampler, dict) and sampler.get("name"):
        return sampler
    weights = Path(folder) / "weights" / "best.safetensors"
    if not weights.is_file():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(weights), framework="np") as file:
            about = json.loads((file.metadata() or {}).get("marey", "{}"))
    except (SafetensorError, OSError, ValueError):
        return None
    found = (about.get("spec") or {}).get("sampler")
    return found if isinstance(found, dict) and found.get("name") else None


def jpeg(image: Image.Image, quality: int = 82) -> bytes:
    """The image as JPEG bytes, for a page that carries many."""
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=quality, optimize=True)
    return out.getvalue()


def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib ships this font; the system may have none
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


def _wrapped(message: str, length: int) -> list[str]:
    lines = [""]
    for word in message.split():
        word = shorten(word, length)
        if lines[-1] and len(lines[-1]) + 1 + len(word) > length:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
