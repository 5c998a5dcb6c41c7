"""Training windows of long videos: which stretch of the grid is seen, and what of the segments is left in it. NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def choose_window(
    rng: np.random.Generator, positions: int, window: int, segments: FloatArray, *, keep: float = 0.5
) -> int:
    """First position of a window that keeps at least `keep` of some segment.

    A segment is drawn, then a place among all those that keep as much of it (of a segment longer than the window:
    as much as there is room for). Without segments every place is as good.

    Args:
        positions: T. window: positions in a window; not more than T.
        segments: `(N, 2)` on the grid.
    """
    last = positions - window
    if last <= 0:
        return 0
    if not len(segments):
        return int(rng.integers(0, last + 1))
    start, end = segments[rng.integers(len(segments))]
    inside = keep * min(end - start, float(window))
    # The window is the stretch [first − ½, first + window − ½) of the grid: every position is one step wide.
    low = np.ceil(np.clip(start + inside - window + 0.5, 0, last))
    high = np.floor(np.clip(end - inside + 0.5, 0, last))
    return int(rng.integers(min(low, high), max(low, high) + 1))


def cut(
    segments: FloatArray, labels: IntArray, first: int, window: int, *, keep: float = 0.5
) -> tuple[FloatArray, IntArray]:
    """Segments as they are in a window, counted from its first position; less than `keep` of one is none of it."""
    low, high = first - 0.5, first + window - 0.5
    inside = segments.clip(low, high)
    kept = inside[:, 1] - inside[:, 0] >= keep * np.minimum(segments[:, 1] - segments[:, 0], window) - 1e-9
    kept &= inside[:, 1] > inside[:, 0]
    return inside[kept] - first, labels[kept]


def stretches(positions: int, window: int) -> list[tuple[int, int, int, int]]:
    """Overlapping windows over a whole video, and the part of each that counts: `(first, stop, from, to)`.

    Windows follow each other by half a window, and of each its middle half counts, so that every position is seen
    with at least a quarter of a window on either side, except at the ends of the video. The counted parts
    follow each other without a gap.
    """
    if positions <= window:
        return [(0, positions, 0, positions)]
    hop = max(window // 2, 1)
    firsts = [*range(0, positions - window, hop), positions - window]
    found = []
    before = 0
    for i, first in enumerate(firsts):
        # Where two windows overlap, the border is in the middle of what they share
        to = positions if i == len(firsts) - 1 else (firsts[i + 1] + first + window) // 2
        found.append((first, first + window, before, to))
        before = to
    return found
