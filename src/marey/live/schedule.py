"""Hours of the week, as one writes them: `mon-fri 18:00-06:00`, `sat sun`, `08:00-20:00`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from marey.errors import ConfigError, did_you_mean

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 24 * 60


@dataclass(frozen=True)
class Hours:
    """Some hours of some days.

    Attributes:
        days: numbers of the days on which they begin, Monday is 0.
        start, end: minutes from midnight; an end that is not after the start lies on the next day.
    """

    days: frozenset[int]
    start: int
    end: int

    def hold(self, at: datetime) -> bool:
        """Whether a local time lies in them: the start does, the end does not."""
        minute, day = at.hour * 60 + at.minute, at.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or (
            (day - 1) % 7 in self.days and minute < self.end
        )


@dataclass(frozen=True)
class Schedule:
    """When a rule is armed: in any of these hours; always, where there are none."""

    hours: tuple[Hours, ...] = ()

    def armed(self, at: datetime) -> bool:
        """Whether a rule is armed at a local time, as the clock on the wall shows it."""
        return not self.hours or any(hours.hold(at) for hours in self.hours)

    @classmethod
    def parse(cls, lines: tuple[str, ...]) -> Schedule:
        """Read lines of days and hours.

        Raises:
            ConfigError: a line that is none.
        """
        return cls(tuple(_hours(line) for line in lines))


def _hours(line: str) -> Hours:
    words = line.lower().replace(",", " ").split()
    span = (0, _DAY)
    if words and words[-1][0].isdigit():
        first, dash, last = words.pop().partition("-")
        if not dash:
            raise ConfigError(f"{line!r} has no end.", 'hours are written "22:00-06:00"')
        span = _minute(first, line), _minute(last, line)
    days: set[int] = set()
    for word in words:
        first, dash, last = word.partition("-")
        begin = _day(first)
        length = (_day(last) - begin) % 7 if dash else 0
        days |= {(begin + i) % 7 for i in range(length + 1)}
    return Hours(frozenset(days or range(7)), *span)


def _day(word: str) -> int:
    if word[:3] not in DAYS or len(word) < 3:
        raise ConfigError(
            f"{word!r} is not a known day.{did_you_mean(word, DAYS)}", f"days: {', '.join(DAYS)}"
        )
    return DAYS.index(word[:3])


def _minute(word: str, line: str) -> int:
    hour, colon, minute = word.partition(":")
    if colon and hour.isdigit() and minute.isdigit():
        at = int(hour) * 60 + int(minute)
        if int(minute) < 60 and at <= _DAY:
            return at
    raise ConfigError(f"{word!r} in {line!r} is no time of day.", "write 00:00 to 24:00")
