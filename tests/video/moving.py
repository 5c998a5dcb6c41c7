"""Frames whose true motion is known to a fraction of a pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from marey.types import UInt8Array


def texture(seed: int, height: int, width: int) -> NDArray[np.float32]:
    """A picture with detail at every scale, float32 `(H, W, 3)` on the 0…255 scale."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), dtype=np.float32)
    for grain, weight in ((3, 0.6), (6, 1.0), (16, 1.0), (40, 1.0)):
        coarse = rng.standard_normal((height // grain + 3, width // grain + 3, 3)).astype(np.float32)
        picture += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return 128 + 38 * (picture - picture.mean()) / picture.std()


def translation(
    shifts: list[tuple[float, float]], height: int = 96, width: int = 128, seed: int = 0
) -> UInt8Array:
    """Frames `(T, H, W, 3)` of one picture that stands at each of these (x, y) offsets in turn."""
    margin = 48
    picture = texture(seed, height + 2 * margin, width + 2 * margin)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    frames = [
        cv2.remap(picture, x + margin - float(dx), y + margin - float(dy), cv2.INTER_CUBIC).clip(0, 255)
        for dx, dy in shifts
    ]
    return np.rint(np.stack(frames)).astype(np.uint8)


def endpoint_error(field: NDArray[np.float32], truth: NDArray[np.float32] | tuple[float, float]) -> float:
    """Mean length of the difference in pixels, without a rim of 12 where new pixels come in."""
    true = np.broadcast_to(np.reshape(truth, (2, 1, 1)) if isinstance(truth, tuple) else truth, field.shape)
    return float(np.hypot(*(field - true)[:, 12:-12, 12:-12]).mean())
