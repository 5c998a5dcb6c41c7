"""The trigger over random scores, gaps and clock jumps. Times are eighths of a second, so that sums are exact."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.errors import ConfigError, DataError
from marey.live.trigger import Change, TriggerConfig, TriggerState, pass_time, step
from marey.localize.smoothing import HysteresisConfig, hysteresis

eighths = st.integers(0, 40).map(lambda n: n / 8)
scores = st.integers(0, 16).map(lambda n: n / 16)


@st.composite
def configs(draw: st.DrawFn) -> TriggerConfig:
    off, on = sorted((draw(scores), draw(scores)))
    hits, of = sorted((draw(st.integers(1, 4)), draw(st.integers(1, 4))))
    return TriggerConfig(
        on=on, off=off, hits=hits, of=of, smooth=draw(st.sampled_from([0.0, 0.5, 2.0])), minimum=draw(eighths),
        cooldown=draw(eighths), gap=draw(eighths) + 0.125, every=draw(eighths),
    )  # fmt: skip


Track = list[tuple[float, float, bool]]
tracks = st.lists(st.tuples(eighths, scores, st.sampled_from([True, True, True, False])), max_size=60).map(
    lambda rows: list(
        zip(np.cumsum([r[0] for r in rows]).tolist(), [r[1] for r in rows], [r[2] for r in rows], strict=True)
    )
)


def run(config: TriggerConfig, track: Track, state: TriggerState | None = None) -> list[Change]:
    state, told = state or TriggerState(), []
    for time, score, armed in track:
        state, changes = step(config, state, time, score, armed=armed)
        told += changes
    return told


@given(configs(), tracks)
def test_no_alarm_is_told_twice(config, track):
    told = run(config, track)
    open_number = None
    for change in told:
        if change.kind == "new":
            assert open_number is None
            open_number = change.number
        else:
            assert change.number == open_number
            open_number = None if change.kind == "end" else open_number
        assert change.start <= change.time
        assert change.peak >= change.score or change.kind == "end"
    begun = [change.number for change in told if change.kind == "new"]
    assert begun == list(range(1, len(begun) + 1))
    assert [c.time for c in told] == sorted(c.time for c in told)


@given(configs(), tracks, st.data())
def test_a_restart_at_any_moment_changes_nothing(config, track, data):
    cut = data.draw(st.sets(st.integers(0, len(track))))
    state, told = TriggerState(), []
    for number, (time, score, armed) in enumerate(track):
        if number in cut:
            state = TriggerState.from_dict(json.loads(json.dumps(state.to_dict())))
        state, changes = step(config, state, time, score, armed=armed)
        told += changes
    assert told == run(config, track)


@given(configs(), tracks, st.data())
def test_looking_at_the_clock_between_scores_changes_nothing_but_when_a_loss_is_told(config, track, data):
    state, told = TriggerState(), []
    for time, score, armed in track:
        if state.time is not None:
            state, changes = pass_time(config, state, data.draw(st.floats(state.time, time)))
            told += changes
        state, changes = step(config, state, time, score, armed=armed)
        told += changes
    assert told == run(config, track)


@given(configs(), tracks, st.data())
def test_a_clock_that_was_set_back_costs_no_alarm_and_gives_none_twice(config, track, data):
    """As though no time had passed at the jump."""
    at = data.draw(st.integers(0, len(track)))
    back = data.draw(st.integers(1, 8000)) / 8
    jumped, smooth = list(track), list(track)
    if 0 < at < len(track):
        step_at = track[at][0] - track[at - 1][0]
        jumped[at:] = [(t - step_at - back, s, a) for t, s, a in track[at:]]
        smooth[at:] = [(t - step_at, s, a) for t, s, a in track[at:]]
    assert [(c.kind, c.number, c.reason) for c in run(config, jumped)] == [
        (c.kind, c.number, c.reason) for c in run(config, smooth)
    ]


@given(configs(), tracks)
def test_an_alarm_lasts_exactly_until_the_off_threshold(config, track):
    """Held against the levels themselves: while it lasts none is below `off`, and where one is, it has ended."""
    state = TriggerState()
    for time, score, armed in track:
        before = state
        state, changes = step(config, state, time, score, armed=armed)
        if state.alarmed:
            assert armed
            assert state.level >= config.off
            assert time - state.since >= config.minimum
        ended = [change for change in changes if change.kind == "end"]
        if before.alarmed and ended and ended[0].reason == "below":
            assert state.level < config.off
        if before.alarmed and ended and ended[0].reason == "lost":
            assert time - before.time > config.gap
            assert ended[0].time == before.time
        for change in changes:
            if change.kind == "new" and before.rest_until is not None:
                assert change.start >= before.rest_until
    if config.smooth == 0:
        assert not track or state.level == track[-1][1]


@settings(max_examples=60)
@given(st.lists(scores, min_size=1, max_size=60), scores, scores)
def test_without_its_extras_it_is_the_hysteresis_of_the_localizer(values, a, b):
    off, on = sorted((a, b))
    edges = np.arange(len(values) + 1, dtype=float)
    segments, _, _ = hysteresis(np.array(values)[:, None], edges, HysteresisConfig(on=on, off=off))
    track = [(float(t), s, True) for t, s in enumerate(values)]
    told = run(TriggerConfig(on=on, off=off, every=0), track)
    starts = [change.time for change in told if change.kind == "new"]
    ends = [change.time for change in told if change.kind == "end"]
    assert starts == segments[:, 0].tolist()
    assert ends == [end for end in segments[:, 1].tolist() if end < len(values)]


def test_n_of_m_hits_and_a_minimum():
    config = TriggerConfig(on=0.5, off=0.25, hits=2, of=3, minimum=2, every=0)
    values = [0.6, 0.3, 0.6, 0.3, 0.3, 0.3, 0.1]  # two of three at 2 s, two seconds later it is an alarm
    told = run(config, [(float(t), s, True) for t, s in enumerate(values)])
    assert [(c.kind, c.time, c.start, c.reason) for c in told] == [
        ("new", 4.0, 2.0, ""),
        ("end", 6.0, 2.0, "below"),
    ]


def test_a_feed_that_dies_ends_its_alarm_as_lost_and_not_as_quiet():
    config = TriggerConfig(gap=5)
    state, told = step(config, TriggerState(), 100.0, 0.9)
    assert [c.kind for c in told] == ["new"]
    state, told = pass_time(config, state, 105.0)
    assert not told
    state, told = pass_time(config, state, 105.1)
    assert [(c.kind, c.reason, c.time) for c in told] == [("end", "lost", 100.0)]
    assert pass_time(config, state, 200.0)[1] == ()


def test_smoothing_knows_how_much_time_went_by():
    config = TriggerConfig(smooth=2.0)
    coarse, _ = step(config, step(config, TriggerState(), 0.0, 0.0)[0], 2.0, 1.0)
    fine = step(config, TriggerState(), 0.0, 0.0)[0]
    for number in range(1, 9):
        fine, _ = step(config, fine, number / 4, 1.0)
    assert coarse.level == pytest.approx(1 - np.exp(-1))
    assert fine.level == pytest.approx(coarse.level)


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="off ≤ on"):
        TriggerConfig(on=0.3, off=0.5)
    with pytest.raises(ConfigError, match="hits 3, of 2"):
        TriggerConfig(hits=3, of=2)
    with pytest.raises(ConfigError, match="cooldown"):
        TriggerConfig(cooldown=-1)
    with pytest.raises(DataError, match="not the state"):
        TriggerState.from_dict({"hits": [], "colour": 3})
