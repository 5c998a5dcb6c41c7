"""When scores over time are an alarm: a state machine that is nothing but a function of a state and a score.

It has no clock and reads no file. Times come in, in seconds of a clock that runs forward; a time that lies before
the last one says that this clock was set anew (a machine that was started again), and is taken to be the moment of
the last one. The state is plain numbers: written down and read back at any moment, it goes on with the same events.

    quiet ── n of the last m scores reach `on` ──▶ rising ── for `minimum` seconds not below `off` ──▶ alarm
      ▲                                              │ below `off`                                      │
      └──────────────────────────────────────────────┴──────── `cooldown` ◀── below `off`, lost, disarmed
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from marey.errors import ConfigError, DataError

Kind = Literal["new", "update", "end"]
Reason = Literal["", "below", "lost", "disarmed"]


@dataclass(frozen=True, kw_only=True)
class TriggerConfig:
    """When scores are an alarm. Scores are probabilities, times are seconds."""

    on: float = 0.6
    """Score from which a look at the feed counts as a hit."""
    off: float = 0.4
    """Score below which an alarm ends; not above `on`."""
    smooth: float = 0.0
    """Time constant of the exponential mean that scores go through; 0 takes them as they come."""
    hits: int = 1
    """Hits among the last `of` scores that are needed."""
    of: int = 1
    """Scores that are looked back at."""
    minimum: float = 0.0
    """Seconds for which the score must stay at `off` or above before there is an alarm."""
    cooldown: float = 0.0
    """Seconds after an alarm in which no other begins."""
    gap: float = 10.0
    """Seconds without a score after which nothing is known any more: a running alarm ends as lost."""
    every: float = 10.0
    """Seconds between the updates of an alarm that goes on; 0 sends none."""

    def __post_init__(self) -> None:
        if not 0 <= self.off <= self.on <= 1:
            raise ConfigError(f"0 ≤ off ≤ on ≤ 1 must hold; got off {self.off}, on {self.on}.")
        if not 1 <= self.hits <= self.of:
            raise ConfigError(f"1 ≤ hits ≤ of must hold; got hits {self.hits}, of {self.of}.")
        for name in ("smooth", "minimum", "cooldown", "every"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is a number of seconds from 0 on; got {getattr(self, name)}.")
        if not 0 < self.gap < math.inf:
            raise ConfigError(f"gap is a number of seconds above 0; got {self.gap}.")


@dataclass(frozen=True)
class TriggerState:
    """All that a trigger remembers.

    Attributes:
        time: of the last score; None before the first.
        level: the smoothed score.
        hits: which of the last scores reached `on`, oldest first.
        since: since when the scores might be an alarm, or are one.
        alarmed: whether there is an alarm now.
        peak: the highest smoothed score since `since`.
        told: when the running alarm was last spoken of.
        rest_until: no alarm begins before it.
        number: alarms so far; the running or last one has this number.
    """

    time: float | None = None
    level: float = 0.0
    hits: tuple[bool, ...] = ()
    since: float | None = None
    alarmed: bool = False
    peak: float = 0.0
    told: float = 0.0
    rest_until: float | None = None
    number: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` is the inverse."""
        return {**asdict(self), "hits": list(self.hits)}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> TriggerState:
        """Rebuild from `to_dict`.

        Raises:
            DataError: not such a dictionary.
        """
        try:
            return cls(**{**plain, "hits": tuple(bool(hit) for hit in plain["hits"])})
        except (TypeError, KeyError) as error:
            raise DataError(f"this is not the state of a trigger: {error}.") from error

    def shifted(self, seconds: float) -> TriggerState:
        """The same on a clock that shows `seconds` more."""

        def move(time: float | None) -> float | None:
            return None if time is None else time + seconds

        return replace(
            self,
            time=move(self.time),
            since=move(self.since),
            told=self.told + seconds,
            rest_until=move(self.rest_until),
        )


@dataclass(frozen=True)
class Change:
    """What is to be told.

    Attributes:
        kind: an alarm began, goes on, or ended.
        number: which alarm of this trigger, from 1.
        time: seconds, now; of an alarm that was lost, when it was last seen.
        start: seconds, since when.
        score: the smoothed score now.
        peak: the highest so far.
        reason: why it ended.
    """

    kind: Kind
    number: int
    time: float
    start: float
    score: float
    peak: float
    reason: Reason = ""


def step(
    config: TriggerConfig, state: TriggerState, time: float, score: float, *, armed: bool = True
) -> tuple[TriggerState, tuple[Change, ...]]:
    """One score.

    Args:
        config: when scores are an alarm.
        state: what was remembered.
        time: seconds.
        score: 0…1.
        armed: False outside the hours in which there may be an alarm: a running one ends, none begins.
    """
    assert 0 <= score <= 1, f"a score of {score} is none"
    state, changes = pass_time(config, state, time)
    elapsed = math.inf if state.time is None else time - state.time
    keep = math.exp(-elapsed / config.smooth) if config.smooth else 0.0
    level = keep * state.level + (1 - keep) * score
    if not armed:
        state, ended = _end(config, state, time, level, "disarmed")
        return replace(state, time=time, level=level, hits=(), since=None), changes + ended
    hits = (*state.hits, level >= config.on)[-config.of :]
    state = replace(state, time=time, level=level, hits=hits)
    if level < config.off:
        state, ended = _end(config, state, time, level, "below")
        return replace(state, since=None), changes + ended
    if state.since is None:
        resting = state.rest_until is not None and time < state.rest_until
        if resting or sum(hits) < config.hits:
            return state, changes
        state = replace(state, since=time, peak=level)
    state = replace(state, peak=max(state.peak, level))
    assert state.since is not None
    if not state.alarmed:
        if time - state.since < config.minimum:
            return state, changes
        state = replace(state, alarmed=True, told=time, number=state.number + 1)
        return state, (*changes, _change("new", state, time))
    if config.every and time - state.told >= config.every:
        state = replace(state, told=time)
        return state, (*changes, _change("update", state, time))
    return state, changes


def pass_time(
    config: TriggerConfig, state: TriggerState, time: float
) -> tuple[TriggerState, tuple[Change, ...]]:
    """Time goes on without a score: what was seen too long ago is known no more.

    Called by `step`; call it by itself where no score comes, so that a running alarm of a dead feed ends as lost.
    """
    if state.time is None:
        return state, ()
    if time < state.time:
        state = state.shifted(time - state.time)
    assert state.time is not None
    if time - state.time <= config.gap:
        return state, ()
    state, changes = _end(config, state, state.time, state.level, "lost")
    return replace(state, time=None, level=0.0, hits=(), since=None), changes


def _end(
    config: TriggerConfig, state: TriggerState, time: float, level: float, reason: Reason
) -> tuple[TriggerState, tuple[Change, ...]]:
    if not state.alarmed:
        return state, ()
    change = replace(_change("end", state, time), score=level, reason=reason)
    rested = replace(state, alarmed=False, since=None, hits=(), rest_until=time + config.cooldown)
    return rested, (change,)


def _change(kind: Kind, state: TriggerState, time: float) -> Change:
    assert state.since is not None
    return Change(kind, state.number, time, state.since, state.level, state.peak)
