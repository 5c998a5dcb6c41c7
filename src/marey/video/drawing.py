"""What generated videos are painted with: textures, textured objects, and where they are put."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marey.types import FloatArray


def placement(side: int, x: float, y: float, scale: float, angle: float) -> FloatArray:
    """The 2×3 affine that puts a sprite of `side` pixels at (x, y), `scale` pixels across, turned by `angle`."""
    ratio = scale / side
    cos, sin = ratio * np.cos(angle), ratio * np.sin(angle)
    centre = (side - 1) / 2
    return np.array(
        [[cos, -sin, x - cos * centre + sin * centre], [sin, cos, y - sin * centre - cos * centre]]
    )


def texture(rng: np.random.Generator, side: int, contrast: float, level: float) -> NDArray[np.float32]:
    """Smooth coloured noise of two grain sizes: float32 `(side, side, 3)` on the 0…255 scale."""
    import cv2

    image = np.zeros((side, side, 3), dtype=np.float32)
    for cells, weight in ((int(rng.integers(3, 6)), 0.6), (int(rng.integers(8, 15)), 0.4)):
        coarse = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        coarse = 0.6 * coarse.mean(axis=2, keepdims=True) + 0.4 * coarse
        image += weight * cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return level + contrast * 128 * image


def textured_object(
    rng: np.random.Generator, size: int, behind: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A textured shape before a background of brightness `behind`: its colours `(side, side, 3)`, and its
    coverage 0…1 `(side, side)`."""
    import cv2

    side = max(48, size)
    # darker or brighter than what is behind it: motion is to be learnt here, not camouflage
    apart = rng.uniform(40, 80) * (1 if behind < 90 else -1 if behind > 160 else rng.choice((-1, 1)))
    colours = texture(rng, side, rng.uniform(0.4, 0.8), behind + apart)
    # one end brighter than the other: without it the sense of a turn is hard to see on a few pixels
    along, across = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    tilt = rng.uniform(0, 2 * np.pi)
    colours += (rng.uniform(40, 70) * (np.cos(tilt) * along + np.sin(tilt) * across))[..., None].astype(
        np.float32
    )
    corners = int(rng.integers(3, 8))
    angles = (np.arange(corners) + rng.uniform(-0.25, 0.25, corners)) * 2 * np.pi / corners
    reach = rng.uniform(0.75, 1.0, corners) * (side / 2 - 2)
    slim = rng.uniform(0.45, 0.75)  # a round object would hide its turning
    points = np.stack([np.cos(angles) * reach, slim * np.sin(angles) * reach], axis=1) + (side - 1) / 2
    alpha = np.zeros((side, side), dtype=np.uint8)
    cv2.fillPoly(alpha, [np.round(points * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    return colours, cv2.GaussianBlur(alpha.astype(np.float32) / 255, (3, 3), 0)
