"""Whether anything moves: the cheapest look at a feed, before any network is asked."""

from __future__ import annotations

import math

from marey.types import BoolArray, UInt8Array

_LEVELS = 15  # of 255: noise of a camera stays below


class Gate:
    """Motion in one picture after another.

    Args:
        share: of the pixels, how many must change by more than 15 levels; 0 takes everything for motion.
        hold: seconds for which motion keeps the gate open: what a network looks at has just moved.
    """

    def __init__(self, share: float, hold: float) -> None:
        self._share, self._hold = share, hold
        self._before: UInt8Array | None = None
        self._moved = -math.inf

    def see(self, picture: UInt8Array, time: float, inside: BoolArray | None = None) -> None:
        """A picture, uint8 `(H, W, 3)`, at `time` seconds; of a zone, where one is given `(H, W)`."""
        import cv2

        if self._share == 0:
            self._moved = time
            return
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        before, self._before = self._before, gray
        if before is None or before.shape != gray.shape:
            return  # of a first picture nobody knows whether it moves
        changed = cv2.absdiff(gray, before) > _LEVELS
        if inside is not None:
            changed &= inside
        if changed.sum() > self._share * (changed.size if inside is None else max(1, inside.sum())):
            self._moved = time

    def open(self, time: float) -> bool:
        """Whether something moved not long ago."""
        return time - self._moved <= self._hold
