"""From a decoded picture to upright RGB or gray pixels of the size asked for, in one pass of swscale.

Colours are converted as FFmpeg does it: by the matrix and range that the stream names (BT.601, BT.709,
BT.2020; limited or full); an unnamed matrix is taken for BT.601 and an unnamed range for limited, whatever the
picture's size. Transfer curves are left alone: HDR (PQ, HLG) is not tone-mapped. Alpha is dropped.

Scaling is by area (every source pixel counts, so nothing flickers or aliases); enlarging is bilinear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from marey.errors import ConfigError
from marey.types import UInt8Array

Size = int | tuple[int, int] | None
Decode = Literal["rgb", "gray"]
Box = tuple[int, int, int, int]
"""(top, left, height, width) in pixels of the upright picture, scaled."""


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: swap the axes, then mirror; from the container's display matrix.

    The matrix sends a stored pixel `(x, y)` to `(a·x + c·y, b·x + d·y)` (ISO/IEC 14496-12 §6.2.2). Angles that
    are no quarter turn are left as they are stored.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: Any) -> Orientation:
        """The orientation that a decoded frame carries."""
        if not frame.rotation and not len(frame.side_data):
            return cls()
        from av.sidedata.sidedata import Type

        data = frame.side_data.get(Type.DISPLAYMATRIX)
        if data is None:
            return cls()
        a, b, _, c, d = (int(value) for value in np.frombuffer(data, np.int32)[:5])
        if a == d == 0 and b and c:
            return cls(transpose=True, flip_x=c < 0, flip_y=b < 0)
        if b == c == 0:
            return cls(flip_x=a < 0, flip_y=d < 0)
        return cls()

    @property
    def rotation(self) -> int:
        """Degrees clockwise that are applied: 0, 90, 180 or 270."""
        if self.transpose:
            return 270 if self.flip_y else 90
        return 180 if self.flip_x and self.flip_y else 0

    @property
    def mirrored(self) -> bool:
        """Whether the picture is mirrored besides."""
        return self.transpose == (self.flip_x == self.flip_y)

    def upright(self, picture: UInt8Array) -> UInt8Array:
        """A view of `(H, W)` or `(H, W, C)` with the axes swapped and mirrored."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def stored(self, height: int, width: int) -> tuple[int, int]:
        """Upright height and width as the stored picture has them (and the other way round)."""
        return (width, height) if self.transpose else (height, width)


def target_size(size: Size, height: int, width: int) -> tuple[int, int]:
    """Height and width of the upright result: None keeps them, an int is the short side, a pair is exact.

    The long side is rounded to the nearest pixel, ties up.
    """
    if size is None:
        return height, width
    if isinstance(size, int):
        if size < 1:
            raise ConfigError(
                f"size {size} is not a number of pixels; give the short side, or (height, width)."
            )
        short = min(height, width)
        return tuple(max(1, (2 * side * size + short) // (2 * short)) for side in (height, width))  # type: ignore[return-value]
    if len(size) != 2 or min(size) < 1:
        raise ConfigError(f"size {size} is not a size in pixels; give the short side, or (height, width).")
    return int(size[0]), int(size[1])


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Height and width times `scale`, to the nearest pixel."""
    return round(height * scale), round(width * scale)


def box_slices(box: Box | None) -> tuple[slice, slice]:
    """Rows and columns of a box; all of them without one."""
    if box is None:
        return slice(None), slice(None)
    top, left, height, width = box
    return slice(top, top + height), slice(left, left + width)


class Painter:
    """Converts decoded frames to pixels; keeps swscale's tables between frames of one kind."""

    def __init__(self) -> None:
        import cv2
        from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

        self._merge = cv2.merge  # NumPy takes ten times as long to set three planes side by side
        self._scaler = VideoReformatter()
        self._full = int(ColorRange.JPEG)
        self._area, self._bicubic = int(Interpolation.AREA), int(Interpolation.BICUBIC)

    def paint(
        self,
        frame: Any,
        out: UInt8Array,
        decode: Decode,
        orientation: Orientation,
        size: tuple[int, int] | None = None,
        box: Box | None = None,
    ) -> None:
        """Fill `out` (H, W, C) with the upright picture, scaled to it; or scaled to `size`, and a box of that."""
        rows, columns = box_slices(box)
        height, width = orientation.stored(*(out.shape[:2] if size is None else size))
        scaled = (height, width) != (frame.height, frame.width)
        # swscale scales to planes of red, green and blue with vector instructions and with every pixel's own
        # chroma; to packed RGB it does neither. Unscaled pictures have a fast way of their own.
        layout = "gray" if decode == "gray" else "gbrp" if scaled else "rgb24"
        picture = self._scaler.reformat(
            frame, width=width, height=height, format=layout, dst_color_range=self._full, threads=1,
            interpolation=self._area if scaled else self._bicubic,
        )  # fmt: skip
        planes = picture.planes
        if layout == "gbrp":
            upright = [orientation.upright(_rows(plane, height, width))[rows, columns] for plane in planes]
            self._merge([upright[2], upright[0], upright[1]], out)
        elif layout == "gray":
            out[..., 0] = orientation.upright(_rows(planes[0], height, width))[rows, columns]
        else:
            whole = orientation.upright(_rows(planes[0], height, 3 * width).reshape(height, width, 3))
            out[:] = whole[rows, columns]


def _rows(plane: Any, height: int, length: int) -> UInt8Array:
    """A plane's bytes (height, length), without the padding at the end of its lines."""
    return np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[:, :length]
