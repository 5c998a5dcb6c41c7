"""`rules.yaml`: what is an alarm, where in the picture, at what hours, and to whom it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from marey.config import from_tree
from marey.errors import ConfigError, UnknownNameError, did_you_mean
from marey.live.recorder import ClipsConfig
from marey.live.schedule import Schedule
from marey.live.trigger import TriggerConfig
from marey.types import BoolArray

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Rule(TriggerConfig):
    """One kind of alarm: a class, on some feeds, in a zone, at some hours, and when its scores are an alarm."""

    name: str
    """How the alarm is called."""
    label: str
    """The class whose score is looked at."""
    feeds: tuple[str, ...] = ("*",)
    """Names of feeds, or patterns of them ("yard-*")."""
    zone: str | None = None
    """A zone: what moves outside of it is not seen."""
    schedule: tuple[str, ...] = ()
    """Local hours in which it is armed ("mon-fri 18:00-06:00"); always, where none are given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name or not self.feeds:
            raise ConfigError("a rule has a name, and at least one feed.")
        Schedule.parse(self.schedule)

    def on_feed(self, feed: str) -> bool:
        """Whether a feed of this name is watched for it."""
        return any(fnmatchcase(feed, pattern) for pattern in self.feeds)

    @property
    def hours(self) -> Schedule:
        """When it is armed."""
        return Schedule.parse(self.schedule)


@dataclass(frozen=True)
class Zone:
    """A polygon in the picture.

    Attributes:
        name: how rules call it.
        corners: `(x, y)` as shares of width and height, from the top left of the upright picture.
    """

    name: str
    corners: tuple[Point, ...]

    def __post_init__(self) -> None:
        if len(self.corners) < 3:
            raise ConfigError(f"the zone {self.name!r} has {len(self.corners)} corners; a polygon has three.")
        if not all(0 <= share <= 1 for corner in self.corners for share in corner):
            raise ConfigError(
                f"the zone {self.name!r} leaves the picture.",
                "corners are [x, y] as shares of width and height, from 0 to 1",
            )

    def inside(self, height: int, width: int) -> BoolArray:
        """`(height, width)`, True for pixels whose middle lies inside."""
        import cv2

        shift = 8  # OpenCV takes corners in 1/256 of a pixel; pixel (0, 0) has its middle at 0
        corners = np.array([(x * width - 0.5, y * height - 0.5) for x, y in self.corners])
        drawn = np.zeros((height, width), np.uint8)
        cv2.fillPoly(drawn, [np.rint(corners * (1 << shift)).astype(np.int32)], 1, shift=shift)
        return drawn.astype(bool)


@dataclass(frozen=True)
class Rules:
    """A file of rules.

    Attributes:
        rules: in the order of the file.
        zones: by name.
        sinks: where events go, as the file has it: `marey.live.sinks.table` reads it.
        clips: what is kept of an alarm.
        where: the file.
    """

    rules: tuple[Rule, ...]
    zones: dict[str, Zone] = field(default_factory=dict)
    sinks: dict[str, Any] = field(default_factory=dict)
    clips: ClipsConfig = field(default_factory=ClipsConfig)
    where: str = "rules"

    def check(self, class_names: Sequence[str], feeds: Sequence[str]) -> None:
        """Hold the rules against a model and the feeds.

        Raises:
            UnknownNameError: a class that the model does not know.
            ConfigError: a rule for which there is no feed, or a feed for which there is no rule.
        """
        for rule in self.rules:
            if rule.label not in class_names:
                raise UnknownNameError(
                    "class", rule.label, class_names, f"rule {rule.name!r} of {self.where}"
                )
            if not any(rule.on_feed(feed) for feed in feeds):
                raise ConfigError(
                    f"the rule {rule.name!r} is for {', '.join(rule.feeds)}, and no feed is called so."
                    f"{did_you_mean(rule.feeds[0], feeds)}",
                    f"feeds: {', '.join(feeds)}",
                    where=self.where,
                )
        for feed in feeds:
            if not any(rule.on_feed(feed) for rule in self.rules):
                raise ConfigError(
                    f"no rule is for the feed {feed!r}: it could never alarm.", where=self.where
                )


def read_rules(path: str | Path) -> Rules:
    """Read a file of rules.

    Raises:
        ConfigError: not there, not YAML, an unknown key (names the nearest), a value that cannot be; names file and
            rule.
    """
    import yaml

    path = Path(path)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"the rules cannot be read: {error.strerror}.", where=str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"this is not YAML: {problem}.", where=f"{path}{line}") from error
    return rules_from(tree, where=str(path))


def rules_from(tree: Any, *, where: str = "rules") -> Rules:
    """As `read_rules`, from what YAML gives."""
    keys = ("rules", "zones", "sinks", "clips")
    if not isinstance(tree, dict):
        raise ConfigError(f"rules are a table of {', '.join(keys)}; got {tree!r}.", where=where)
    for key in tree:
        if key not in keys:
            raise ConfigError(
                f"unknown setting {key!r}.{did_you_mean(str(key), keys)}",
                f"known settings: {', '.join(keys)}",
                where=where,
            )
    zones = _zones(tree.get("zones") or {}, where)
    given = tree.get("rules")
    if not isinstance(given, list) or not given:
        raise ConfigError("there are no rules.", "rules: a list, each with name and label", where=where)
    rules = tuple(_rule(item, number, where) for number, item in enumerate(given, 1))
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two rules are called {name!r}.", where=where)
    for rule in rules:
        if rule.zone is not None and rule.zone not in zones:
            raise UnknownNameError("zone", rule.zone, zones, f"rule {rule.name!r} of {where}")
    sinks = tree.get("sinks") or {}
    if not isinstance(sinks, dict):
        raise ConfigError(f"sinks are a table of sinks by name; got {sinks!r}.", where=where)
    clips = tree.get("clips") or {}
    if not isinstance(clips, dict):
        raise ConfigError(f"clips are a table of settings; got {clips!r}.", where=where)
    return Rules(rules, zones, sinks, from_tree(ClipsConfig, clips, where=f"{where} clips"), where)


def _rule(item: Any, number: int, where: str) -> Rule:
    spot = f"{where} rule {number}"
    if not isinstance(item, dict):
        raise ConfigError(f"a rule is a table of settings; got {item!r}.", where=spot)
    # YAML 1.1 reads the words on and off as true and false, and so does every key that is called so.
    item = {{True: "on", False: "off"}.get(key, key) if isinstance(key, bool) else key: value
            for key, value in item.items()}  # fmt: skip
    return from_tree(Rule, item, where=spot + (f" ({item['name']})" if item.get("name") else ""))


def _zones(tree: Any, where: str) -> dict[str, Zone]:
    if not isinstance(tree, dict):
        raise ConfigError(f"zones are a table of polygons by name; got {tree!r}.", where=where)
    zones = {}
    for name, corners in tree.items():
        try:
            points = tuple((float(x), float(y)) for x, y in corners)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"the zone {str(name)!r} is no list of corners [x, y]; got {corners!r}.", where=where
            ) from error
        try:
            zones[str(name)] = Zone(str(name), points)
        except ConfigError as error:
            raise ConfigError(error.what, *error.details, where=where) from error
    return zones
