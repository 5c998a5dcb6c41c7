"""Lucas-Kanade on tracked corners, spread to a dense field: the cheapest flow that is still motion.

In every cell of a grid the best corner (Shi, Tomasi 1994: the smaller eigenvalue of the gradient's structure
tensor) is tracked into the next frame by pyramidal Lucas-Kanade (Bouguet 2000), and from there back again.
A track that does not come home is dropped (Kalal et al. 2010, "Forward-backward error"). A cell of plain surface
that did not change did not move: it is not tracked, and keeps the motion of an object from running into the
wall behind it. Other cells without a track take what the coarser levels of a pyramid of the grid hold (pull-push,
Gortler et al. 1996); a 3×3 median drops strays, and bilinear interpolation makes the field dense. Motion smaller
than a cell is lost: that is the price.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.types import UInt8Array

CELL = 10  # pixels: one corner in each cell of this size
WINDOW = 9  # pixels: what Lucas-Kanade compares
LEVELS = 3  # of the image pyramid, above the full size: displacements up to about 4·2³ pixels
HOME = 1.0  # pixels: a track must come back to within this distance of where it started
_SURE = 1e-4  # a corner at least this strong outweighs what its surroundings say
PLAIN = 3e-4  # a cell whose best corner is weaker has no texture that could tell motion from stillness
UNCHANGED = 3  # gray levels, rounded: the mean change of a cell that sensor noise of σ = 2.7 makes by itself
_FAINT = 1e-6  # a corner weaker than this is sensor noise on a plain surface


def sparse_flow(first: UInt8Array, second: UInt8Array) -> NDArray[np.float32]:
    """Dense flow from tracked corners: gray uint8 `(H, W)` twice -> float32 `(H, W, 2)` in pixels.

    Where nothing at all can be tracked (frames without texture) the flow is zero.
    """
    import cv2

    height, width = first.shape
    corners, strength, cells = best_corners(first)
    rows, columns = -(-height // CELL), -(-width // CELL)
    still = still_cells(first, second)
    still[cells[strength > PLAIN]] = False
    there = ~still[cells]
    corners, strength, cells = corners[there], strength[there], cells[there]
    motion = np.zeros((rows, columns, 2), dtype=np.float32)
    trust = still.astype(np.float32).reshape(rows, columns)
    if len(corners):
        moved, home = track(first, second, corners)
        motion.reshape(-1, 2)[cells[home]] = moved[home]
        trust.reshape(-1)[cells[home]] = np.minimum(strength[home] / _SURE, 1.0)
    if not trust.any():
        return np.zeros((height, width, 2), dtype=np.float32)
    grid = fill(motion, trust)
    calm = np.stack([cv2.medianBlur(np.ascontiguousarray(grid[..., i]), 3) for i in (0, 1)], axis=-1)
    dense: NDArray[np.float32] = cv2.resize(
        calm, (columns * CELL, rows * CELL), interpolation=cv2.INTER_LINEAR
    )
    return dense[:height, :width]


def best_corners(
    gray: UInt8Array,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
    """The best corner of every cell that has one.

    Returns:
        positions float32 `(N, 2)` as (x, y), strengths `(N,)`, and the cells `(N,)` they lie in, row by row.
    """
    import cv2

    strength = cv2.cornerMinEigenVal(gray, 3)
    height, width = gray.shape
    rows, columns = -(-height // CELL), -(-width // CELL)
    strength = cv2.copyMakeBorder(
        strength, 0, rows * CELL - height, 0, columns * CELL - width, cv2.BORDER_CONSTANT, value=0
    )
    by_cell = strength.reshape(rows, CELL, columns, CELL).transpose(0, 2, 1, 3).reshape(-1, CELL * CELL)
    place = by_cell.argmax(axis=1)
    cells = np.arange(rows * columns)
    best = by_cell[cells, place]
    x = cells % columns * CELL + place % CELL
    y = cells // columns * CELL + place // CELL
    found = best > _FAINT
    return np.stack([x, y], axis=1)[found].astype(np.float32), best[found], cells[found]


def still_cells(first: UInt8Array, second: UInt8Array) -> NDArray[np.bool_]:
    """Which cells look the same in both frames, row by row: bool `(rows · columns,)`."""
    import cv2

    height, width = first.shape
    rows, columns = -(-height // CELL), -(-width // CELL)
    change = cv2.copyMakeBorder(
        cv2.absdiff(first, second), 0, rows * CELL - height, 0, columns * CELL - width, cv2.BORDER_REPLICATE
    )
    mean = cv2.resize(change, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.less_equal(mean, UNCHANGED).ravel()


def track(
    first: UInt8Array, second: UInt8Array, points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Track points `(N, 2)` into the second frame and back: displacements `(N, 2)`, and which came home."""
    import cv2

    settings: dict[str, Any] = {
        "winSize": (WINDOW, WINDOW),
        "maxLevel": LEVELS,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03),
    }
    start = np.ascontiguousarray(points[:, None])
    there, found, _ = cv2.calcOpticalFlowPyrLK(first, second, start, None, **settings)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(second, first, there, None, **settings)
    miss = np.square(back - start).sum(axis=(1, 2))
    home = (found[:, 0] > 0) & (found_back[:, 0] > 0) & (miss < HOME**2)
    return (there - start)[:, 0], home


def fill(motion: NDArray[np.float32], trust: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill the cells of a grid that are not trusted from those around that are.

    Args:
        motion: `(rows, columns, 2)`.
        trust: `(rows, columns)`, 0 (not known) to 1 (kept as it is); at least one is above 0.

    Returns:
        float32 `(rows, columns, 2)`: a weighted mean of known motions everywhere, so inside their range.
    """
    import cv2

    levels = [np.concatenate([motion * trust[..., None], trust[..., None]], axis=-1)]
    while max(levels[-1].shape[:2]) > 1:
        fine = levels[-1]
        rows, columns = fine.shape[:2]
        even = cv2.copyMakeBorder(fine, 0, rows % 2, 0, columns % 2, cv2.BORDER_CONSTANT, value=0)
        half = ((columns + 1) // 2, (rows + 1) // 2)
        levels.append(4 * cv2.resize(even, half, interpolation=cv2.INTER_AREA))
    filled: NDArray[np.float32] = _mean(levels[-1])
    for level in levels[-2::-1]:
        rows, columns = level.shape[:2]
        twice = (filled.shape[1] * 2, filled.shape[0] * 2)
        coarse = cv2.resize(filled, twice, interpolation=cv2.INTER_LINEAR)[:rows, :columns]
        known: NDArray[np.float32] = np.minimum(level[..., 2:], np.float32(1))
        filled = (known * _mean(level) + (1 - known) * coarse).astype(np.float32)
    return filled


def _mean(level: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.divide(level[..., :2], np.maximum(level[..., 2:], 1e-12), dtype=np.float32)
