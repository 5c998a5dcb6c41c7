"""What a video is known by, however it was re-encoded: sixteen small grey pictures, evenly over its length.

Places in time are shares of the video's length, so a copy that plays faster, or at another frame rate, has the
same fingerprint. What a cropped or trimmed copy shares with its original is found in `duplicates`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from marey.types import Clip, FloatArray, UInt8Array
from marey.video.picture import Decode, Size

PICTURES = 16
SIDE = 32
_DECODED = 2 * SIDE


class _Reader(Protocol):
    @property
    def times(self) -> FloatArray: ...

    def frames_at(self, times: ArrayLike, *, size: Size = None, decode: Decode = "rgb") -> Clip: ...


def instants(start: float, end: float) -> FloatArray:
    """The times `(16,)` of a fingerprint's pictures: the middles of sixteen equal parts of `[start, end)`."""
    return start + (np.arange(PICTURES) + 0.5) / PICTURES * (end - start)


def fingerprint(reader: _Reader, end: float) -> UInt8Array:
    """The fingerprint of an open video: grey pictures uint8 `(16, 32, 32)` of the whole upright frame.

    Args:
        reader: an open video.
        end: where it ends, in seconds (`reader.info.end`).

    Raises:
        VideoError: the video is damaged where the pictures come from.
    """
    times = instants(float(reader.times[0]), end)
    frames = reader.frames_at(times, size=(_DECODED, _DECODED), decode="gray").frames
    return small(frames[..., 0])


def small(frames: UInt8Array) -> UInt8Array:
    """Grey pictures `(T, H, W)` as they stand in a fingerprint: `(T, 32, 32)`, the shape of the frame given up."""
    import cv2

    return np.stack([cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for frame in frames])
