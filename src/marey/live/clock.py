"""When a frame was, on the clock of this machine, from its own time stamp and the moment at which it came.

Time stamps of cameras are evenly apart, but begin anywhere, wrap (MPEG-TS after 26.5 hours, RTP after 13.3) and
jump when a camera sets its clock. Moments of arrival are right in the long run, but come in bursts. So the stamp
says how long after the one before a frame was, and arrival says when that cannot be.
"""

from __future__ import annotations

APART = 2.0
"""Seconds by which stamps may lead or lag behind arrival before they are no longer believed."""
_LEAST = 1e-4


class FeedClock:
    """Times of the frames of one feed, across its connections.

    Attributes:
        jumps: how often stamps were not believed.
    """

    def __init__(self) -> None:
        self.jumps = 0
        self._stamp: float | None = None
        self._time: float | None = None

    def at(self, stamp: float | None, arrival: float) -> float:
        """The time of a frame, later than that of the frame before.

        Args:
            stamp: seconds by the camera's clock, or None where it gives none.
            arrival: seconds by the monotonic clock of this machine.
        """
        before, last = self._stamp, self._time
        self._stamp = stamp
        if last is None:
            time = arrival
        elif stamp is None or before is None:
            time = max(arrival, last + _LEAST)
        else:
            time = last + (stamp - before)
            if (
                time <= last or abs(time - arrival) > APART
            ):  # also where stamps are apart by less than a float shows
                self.jumps += 1
                time = max(arrival, last + _LEAST)
        self._time = time
        return time

    def begin_anew(self) -> None:
        """A new connection: its stamps have nothing to do with those before."""
        self._stamp = None
