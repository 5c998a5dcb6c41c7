"""Levels, ranges and window for a localizer, from the lengths of the segments it is to find.

The one thing that users of such models get wrong most: with ranges made for another data set's lengths, points
are never asked for the segments that there are, and nothing warns. So they are proposed from the data, and what
no level would be asked for is counted and said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marey.errors import DataError
from marey.localize.targets import Range

FloatArray = NDArray[np.float64]
_MOST_LEVELS = 8
_OPEN = 1e9  # in place of infinity, which JSON does not have
_RATIO = 1.5  # of neighbouring anchor lengths; a segment in between overlaps one of them by 1/√1.5 = 0.82
_MOST_SCALES = 10


@dataclass(frozen=True)
class Proposal:
    """What suits a data set.

    Attributes:
        ranges: of each level, in grid steps; the last is open.
        window: training window in grid positions, a multiple of the coarsest stride.
        step: the grid step in seconds that was proposed, or is given.
        lengths: 1st, 50th and 99th percentile of the segments' lengths, in grid steps.
        too_short: share of the segments shorter than one grid step, which hardly any point can find.
    """

    ranges: tuple[Range, ...]
    window: int
    step: float
    lengths: tuple[float, float, float]
    too_short: float

    def words(self, scales: Sequence[float] | None = None) -> str:
        """A sentence for people; of a localizer with anchors it says how long these are."""
        low, middle, high = self.lengths
        levels = f"{len(self.ranges)} levels up to {self.ranges[-1][0]:g}"
        if scales is not None:
            levels = f"anchors of {', '.join(f'{scale:.3g}' for scale in scales)} steps"
        words = (
            f"segments of {low:.1f} to {high:.1f} grid steps (median {middle:.1f}) of {self.step:.3g} s: "
            f"{levels}, windows of {self.window}"
        )
        if self.too_short:
            words += f"; {self.too_short:.1%} are shorter than a step: a finer grid would find them"
        return words


def propose(durations: FloatArray, videos: FloatArray, step: float) -> Proposal:
    """Levels and window for segments of these lengths.

    A level λ looks for segments whose farther end is 2^(λ+1)…2^(λ+2) steps away, as in ActionFormer; levels go
    on until the longest segments (99 in 100) lie inside the last closed range. The window holds the longest
    segment twice, so that most segments lie in it whole, and no more than the longest video needs.

    Args:
        durations: of all training segments, in seconds.
        videos: durations of the videos, in seconds.
        step: of the feature grid, in seconds.

    Raises:
        DataError: no segment to learn from.
    """
    if not len(durations):
        raise DataError("there is no segment to learn from.", "give rows with start, end and label")
    steps = np.asarray(durations, dtype=np.float64) / step
    low, middle, high = (float(x) for x in np.percentile(steps, (1, 50, 99)))
    # The farther end of a segment of d steps is d/2…d steps from a point near its centre.
    levels = int(np.clip(math.ceil(math.log2(max(high, 4.0))) - 1, 2, _MOST_LEVELS))
    ranges: list[Range] = [(0.0, 4.0)]
    ranges += [(2.0 ** (level + 1), 2.0 ** (level + 2)) for level in range(1, levels)]
    ranges[-1] = (ranges[-1][0], _OPEN)
    coarsest = 2 ** (levels - 1)
    wanted = max(2.0 * float(steps.max()), 64.0)
    longest = float(np.max(videos)) / step if len(videos) else wanted
    window = math.ceil(min(wanted, max(longest, 1.0)) / coarsest) * coarsest
    return Proposal(tuple(ranges), window, step, (low, middle, high), float((steps < 1).mean()))


def propose_step(durations: FloatArray, *, finest: float = 1 / 16, coarsest: float = 2.0) -> float:
    """A grid step in seconds at which the shorter segments (1 in 20) still have four positions."""
    if not len(durations):
        raise DataError("there is no segment to learn from.", "give rows with start, end and label")
    return float(np.clip(np.percentile(durations, 5) / 4, finest, coarsest))


def propose_scales(steps: FloatArray) -> tuple[float, ...]:
    """Anchor lengths for segments of these lengths, both in grid steps: even on a logarithmic scale, at most 1.5
    times the one before, from the 5th to the 95th percentile."""
    low, high = np.maximum(np.percentile(steps, (5, 95)), 1.0)
    count = int(np.clip(math.ceil(math.log(high / low) / math.log(_RATIO)) + 1, 1, _MOST_SCALES))
    return tuple(float(x) for x in np.geomspace(low, high, count))
