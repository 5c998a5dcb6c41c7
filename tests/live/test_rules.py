"""Rules as people write them, and the mistakes that they make."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from marey.errors import ConfigError, UnknownNameError
from marey.live.rules import Zone, read_rules, rules_from
from marey.live.schedule import Schedule

TEXT = """
zones:
  door: [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]
rules:
  - name: fight
    label: fight
    on: 0.8
    off: 0.5
    hits: 2
    of: 3
    feeds: ["yard-*"]
    zone: door
    schedule: [mon-fri 18:00-06:00, sat sun]
  - {name: fall, label: fall, minimum: 2}
"""


def test_a_file_as_people_write_it(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(TEXT)
    rules = read_rules(path)
    fight, fall = rules.rules
    assert (fight.on, fight.off, fight.hits, fight.of) == (0.8, 0.5, 2, 3)
    assert fight.on_feed("yard-2")
    assert not fight.on_feed("hall")
    assert fall.on_feed("hall")
    rules.check(("fight", "fall"), ("yard-1", "hall"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("minimum: 2", "minimun: 2"), r"rule 2 \(fall\): unknown setting 'minimun'. Did you mean 'minimum'"),
        (("zone: door", "zone: dor"), "'dor' is not a known zone. Did you mean 'door'"),
        (("off: 0.5", "off: 0.9"), r"rule 1 \(fight\): 0 ≤ off ≤ on ≤ 1"),
        (("mon-fri", "mon-fry"), "'fry' is not a known day"),
        (("18:00-06:00", "18:00"), "has no end"),
        (("06:00", "6:73"), "'6:73' in 'mon-fri 18:00-6:73' is no time of day"),
        (("name: fall", "name: fight"), "two rules are called 'fight'"),
        (("[0.5, 1]]", "[0.5, 2]]"), "'door' leaves the picture"),
        (("[[0.5, 0], [1, 0], ", "[7, "), "no list of corners"),
        (("label: fall, ", ""), "'label' is missing"),
        (("zones:", "zone:"), "unknown setting 'zone'. Did you mean 'zones'"),
        (("hits: 2", "hits: two"), "hits must be a whole number; got 'two'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(tmp_path, change, words):
    assert change[0] in TEXT
    path = tmp_path / "rules.yaml"
    path.write_text(TEXT.replace(*change))
    with pytest.raises((ConfigError, UnknownNameError), match=words) as caught:
        read_rules(path)
    assert str(path) in str(caught.value)


def test_rules_are_held_against_model_and_feeds():
    rules = rules_from({"rules": [{"name": "a", "label": "fight", "feeds": ["yard"]}]})
    with pytest.raises(UnknownNameError, match="Did you mean 'figth'"):
        rules.check(("figth", "normal"), ("yard",))
    with pytest.raises(ConfigError, match=r"no feed is called so. Did you mean 'yards'"):
        rules.check(("fight",), ("yards",))
    with pytest.raises(ConfigError, match="'hall': it could never alarm"):
        rules.check(("fight",), ("yard", "hall"))


def test_a_zone_is_the_pixels_whose_middle_it_holds():
    inside = Zone("right", ((0.5, 0), (1, 0), (1, 1), (0.5, 1))).inside(6, 8)
    assert not inside[:, :3].any()
    assert inside[:, 4:].all()
    triangle = Zone("corner", ((0, 0), (1, 0), (0, 1))).inside(100, 100)
    assert abs(triangle.mean() - 0.5) < 0.02
    assert triangle[5, 5]
    assert not triangle[95, 95]


def test_hours_over_midnight():
    night = Schedule.parse(("fri 22:00-06:00",))
    friday, saturday = datetime(2026, 11, 27, 23, 0), datetime(2026, 11, 28, 5, 59)
    assert night.armed(friday)
    assert night.armed(saturday)
    assert not night.armed(datetime(2026, 11, 28, 6, 0))
    assert not night.armed(datetime(2026, 11, 28, 23, 0))
    assert not night.armed(datetime(2026, 11, 27, 5, 0))
    assert Schedule().armed(friday)
    week = Schedule.parse(("mon-fri 08:00-18:00", "sat-mon 00:00-24:00"))
    assert [week.armed(datetime(2026, 11, 23 + d, 20, 0)) for d in range(7)] == [True] + [False] * 4 + [
        True
    ] * 2
    assert np.mean([night.armed(datetime(2026, 11, 23 + h // 24, h % 24)) for h in range(168)]) == 8 / 168
