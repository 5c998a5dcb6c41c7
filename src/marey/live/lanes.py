"""What of a feed is judged by itself, and the triggers that hang on it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from marey.live.gate import Gate
from marey.live.rules import Rule, Zone
from marey.live.trigger import Change, TriggerState, pass_time, step
from marey.spec import InputSpec
from marey.types import BoolArray, UInt8Array


@dataclass
class Watched:
    """A rule on a feed, with what its trigger remembers."""

    rule: Rule
    feed: str
    state: TriggerState = field(default_factory=TriggerState)
    score: float | None = None

    @property
    def name(self) -> str:
        """Its name among all that are remembered."""
        return f"{self.feed}/{self.rule.name}"

    def score_now(self, now: float, score: float, at: datetime) -> tuple[Change, ...]:
        """A score; gives what is to be told."""
        armed = self.rule.hours.armed(at)
        self.score = score
        self.state, changes = step(self.rule, self.state, now, score, armed=armed)
        return changes

    def look(self, now: float) -> tuple[Change, ...]:
        """No score came; gives what is to be told."""
        self.state, changes = pass_time(self.rule, self.state, now)
        if self.state.time is None:
            self.score = None
        return changes

    def remembered(self) -> dict[str, Any]:
        """For the next start: with both clocks, since the monotonic one begins anew with the machine."""
        return {"trigger": self.state.to_dict(), "monotonic": time.monotonic(), "wall": time.time()}

    def recall(self, plain: dict[str, Any]) -> None:
        """The inverse of `remembered`: as much time has passed as the clock on the wall says."""
        passed = max(0.0, time.time() - plain["wall"])
        shift = time.monotonic() - passed - plain["monotonic"]
        self.state = TriggerState.from_dict(plain["trigger"]).shifted(shift)


class Lane:
    """A feed, or a zone of one.

    Args:
        feed: its name. zone: the part that is looked at, or None.
        spec: of the model. gate: whether anything moves.
        watched: the rules that look at it.
    """

    def __init__(
        self, feed: str, zone: Zone | None, spec: InputSpec, gate: Gate, watched: list[Watched]
    ) -> None:
        self.feed, self.zone, self.gate, self.watched = feed, zone, gate, watched
        self.name = feed if zone is None else f"{feed}/{zone.name}"
        self.scene: int | None = None
        # outside of the zone everything has the mean colour of what the network was trained on: it says nothing
        self._still = np.array([round(255 * m) for m in (*spec.mean, *spec.mean[-1:] * 2)[:3]], np.uint8)
        self._inside: BoolArray | None = None

    def part(self, picture: UInt8Array) -> tuple[UInt8Array, BoolArray | None]:
        """What of a picture is looked at, with the rest in one colour, and which pixels that is."""
        if self.zone is None:
            return picture, None
        if self._inside is None or self._inside.shape != picture.shape[:2]:
            self._inside = self.zone.inside(*picture.shape[:2])
        return np.where(self._inside[..., None], picture, self._still), self._inside
