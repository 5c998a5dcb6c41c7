"""Pictures of flow for people: the colour wheel, and arrows over the frame.

The wheel is that of Baker et al., "A Database and Evaluation Methodology for Optical Flow" (IJCV 2011):
direction is hue, length is saturation. Motion to the right is red, down yellow, left cyan-blue, up violet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marey.errors import ConfigError
from marey.types import FloatArray, UInt8Array
from marey.video.flow.methods import Flow

Field = NDArray[np.float32]

# Hue runs through six pure colours; the numbers of steps between them make differences look even.
_CORNERS = np.array(
    [[255, 0, 0], [255, 255, 0], [0, 255, 0], [0, 255, 255], [0, 0, 255], [255, 0, 255], [255, 0, 0]], float
)
_STEPS = np.array([15, 6, 4, 11, 13, 6])


def colour_wheel() -> FloatArray:
    """The 55 hues of the wheel, `(55, 3)` RGB on the 0…255 scale, starting at red."""
    places = np.concatenate([[0], np.cumsum(_STEPS)])
    hues = np.arange(places[-1])
    return np.stack([np.interp(hues, places, _CORNERS[:, c]) for c in range(3)], axis=1)


def flow_to_color(field: Field, *, longest: float | None = None) -> UInt8Array:
    """Colour one field: hue is direction, saturation is length, white is standing still.

    Args:
        field: `(2, H, W)` in pixels.
        longest: the length in pixels that gets full saturation; longer motion is darkened. None takes the
            field's own longest. Give the same number for pictures that are to be compared.

    Returns:
        uint8 RGB `(H, W, 3)`. Values that are not finite are black.
    """
    known: NDArray[np.bool_] = np.asarray(np.isfinite(field).all(axis=0))
    u, v = np.where(known, field, 0).astype(np.float64)
    length = np.hypot(u, v)
    if longest is None:
        longest = float(length.max(initial=0))
    if longest < 0:
        raise ConfigError(f"longest is a length in pixels; got {longest}.")
    length = length / longest if longest > 0 else length
    wheel = colour_wheel()
    # the wheel's first hue lies to the right, and the angle grows towards down, as y does
    place = (np.arctan2(v, u) / (2 * np.pi)) % 1 * len(wheel)
    below = np.floor(place).astype(int) % len(wheel)
    part = (place % 1)[..., None]
    hue = (1 - part) * wheel[below] + part * wheel[(below + 1) % len(wheel)]
    inside = 255 - np.minimum(length, 1)[..., None] * (255 - hue)
    colour = np.where(np.asarray(length <= 1 + 1e-9)[..., None], inside, 0.75 * hue)
    return np.rint(np.where(known[..., None], colour, 0)).astype(np.uint8)


def wheel_picture(side: int) -> UInt8Array:
    """The wheel itself, on white: uint8 RGB `(side, side, 3)`. Its rim is the longest motion."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    disc = np.stack(np.meshgrid(axis, axis))
    wheel = flow_to_color(disc, longest=1.0)
    wheel[np.hypot(*disc) > 1] = 255
    return wheel


def draw_arrows(
    frame: UInt8Array, field: Field, *, every: int = 16, scale: float = 1.0, shortest: float = 0.5
) -> UInt8Array:
    """The frame with an arrow from every `every`-th pixel to where it goes.

    Args:
        frame: uint8 `(H, W, 3)` or `(H, W, 1)`; it is not changed.
        field: `(2, H, W)` in pixels.
        scale: arrows are drawn this many times as long as the motion.
        shortest: motion below this many pixels gets no arrow.

    Returns:
        uint8 RGB `(H, W, 3)`. An arrow's value is the mean of the field over its cell.
    """
    import cv2

    if frame.shape[:2] != field.shape[1:]:
        raise ConfigError(f"the frame is {frame.shape[:2]} and the field {field.shape[1:]}; they must agree.")
    picture = np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3))).copy()
    height, width = frame.shape[:2]
    for y in range(every // 2, height, every):
        for x in range(every // 2, width, every):
            cell = field[:, max(0, y - every // 2) : y + every // 2, max(0, x - every // 2) : x + every // 2]
            u, v = cell.reshape(2, -1).mean(axis=1)
            if np.hypot(u, v) < shortest:
                continue
            tip = (round(x + scale * float(u)), round(y + scale * float(v)))
            for colour, thick in (((0, 0, 0), 3), ((255, 220, 0), 1)):  # a dark rim reads on any ground
                cv2.arrowedLine(picture, (x, y), tip, colour, thick, cv2.LINE_AA, tipLength=0.3)
    return picture


def write_flow_picture(
    path: str | Path, frames: UInt8Array, flow: Flow, *, titles: list[str] | None = None, columns: int = 4
) -> Path:
    """One PNG: above, frames with arrows; below, the same fields on the colour wheel; at the right the wheel.

    Args:
        path: where to; written beside and moved into place when whole.
        frames: uint8 `(T, H, W, C)`; frame i is the one that field i sets out from.
        flow: T or T−1 fields; at most `columns` of them, evenly spread, are shown, on one scale.
        titles: a line for each field, over its column; by default the interval.
    """
    import cv2

    if not len(flow):
        raise ConfigError("there is no flow to show: it takes two frames at least.")
    assert len(frames) >= len(flow)
    chosen = np.unique(np.linspace(0, len(flow) - 1, min(columns, len(flow))).round().astype(int))
    # one scale for all, and not the single longest vector, which is often a stray
    length = np.hypot(flow.fields[chosen, 0], flow.fields[chosen, 1])
    longest = max(float(np.percentile(length, 99.5)), 1.0)
    height, width = frames.shape[1:3]
    strip, gap = 22, 6
    side = max(96, min(160, height // 2))
    canvas = np.full(
        (strip + 2 * height + 3 * gap, len(chosen) * (width + gap) + side + 2 * gap, 3), 255, dtype=np.uint8
    )
    for column, index in enumerate(chosen):
        left = gap + column * (width + gap)
        title = titles[index] if titles else f"{flow.intervals[index] * 1000:.1f} ms"
        cv2.putText(
            canvas, title, (left, strip - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA
        )
        field = flow.fields[index]
        every = max(8, min(height, width) // 16)
        arrows = draw_arrows(frames[index], field, every=every)
        canvas[strip : strip + height, left : left + width] = arrows
        below = strip + height + gap
        canvas[below : below + height, left : left + width] = flow_to_color(field, longest=longest)
    wheel = wheel_picture(side)
    left = canvas.shape[1] - side - gap
    canvas[strip : strip + side, left : left + side] = wheel
    cv2.putText(
        canvas,
        f"rim: {longest:.1f} px",
        (left, strip + side + 16),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.42,
        (0, 0, 0),
        1,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    done, encoded = cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))
    assert done
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(encoded.tobytes())
    temporary.replace(path)
    return path
