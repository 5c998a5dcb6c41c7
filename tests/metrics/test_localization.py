"""Every evaluator against its slow oracle: ties, overlaps, duplicates, empty videos, unknown classes."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from marey.errors import DataError, UsageError
from marey.metrics import activitynet as anet
from marey.metrics.localization import (
    ACTIVITYNET,
    EPIC,
    THUMOS,
    activitynet_map,
    average_recall,
    false_positives,
    thumos14_map,
)
from marey.metrics.segments import Choice, SegmentTable, overlapping_pairs, temporal_iou
from marey.types import Segment
from tests.metrics import oracles

# A coarse grid and few scores make equal tIoU, equal scores and exact thresholds frequent.
TIMES = st.integers(0, 10)
VIDEOS, LABELS = ("v", "w", "x"), ("run", "jump", "sit")


@st.composite
def truths(draw, labels=LABELS):
    row = st.tuples(st.sampled_from(VIDEOS), st.sampled_from(labels), TIMES, st.integers(1, 6))
    rows = draw(st.lists(row, min_size=1, max_size=9))
    return [(v, c, float(s), float(s + d)) for v, c, s, d in rows]


@st.composite
def guesses(draw, labels=LABELS):
    """Predictions, some in an unknown video or class, of no length, or twice."""
    score = st.sampled_from([0.1, 0.5, 0.5, 0.9])
    video = st.sampled_from([*VIDEOS, "elsewhere"])
    row = st.tuples(video, st.sampled_from([*labels, "unknown"]), TIMES, st.integers(0, 6), score)
    rows = draw(st.lists(row, max_size=24))
    rows += rows[: draw(st.integers(0, 4))]
    return [(v, c, float(s), float(s + d), x) for v, c, s, d, x in rows]


def table(rows, *, scored: bool, videos=(), labels=()) -> SegmentTable:
    columns = list(zip(*rows, strict=True)) or [[], [], [], [], []]
    return SegmentTable.of(*columns[:4], columns[4] if scored else None, videos=videos, labels=labels)


@settings(max_examples=150, deadline=None)
@given(guesses(), truths())
def test_activitynet_equals_its_oracle(p, y):
    for thresholds in (ACTIVITYNET, EPIC, (1.0,)):
        got = activitynet_map(table(p, scored=True), table(y, scored=False, videos=["empty"]), thresholds)
        for i, threshold in enumerate(thresholds):
            expected = oracles.activitynet(p, y, threshold)
            assert {k: v["ap"][i] for k, v in got["per_class"].items()} == pytest.approx(expected)
            assert got["map"][i] == pytest.approx(np.mean(list(expected.values())))
        assert got["average_map"] == pytest.approx(np.mean(got["map"]))
    assert "ActivityNet" in got["evaluator"]
    known = {g[1] for g in y}
    assert got["n_unknown_class"] == sum(row[1] not in known for row in p)
    assert got["n_unknown_video"] == sum(row[1] in known and row[0] not in {g[0] for g in y} for row in p)


@settings(max_examples=150, deadline=None)
@given(guesses(), truths(labels=(*LABELS, "Ambiguous")))
def test_thumos14_equals_its_oracle(p, y):
    if all(g[1] == "Ambiguous" for g in y):
        with pytest.raises(DataError, match="no segment"):
            thumos14_map(table(p, scored=True), table(y, scored=False))
        return
    got = thumos14_map(table(p, scored=True), table(y, scored=False), EPIC)
    for i, threshold in enumerate(EPIC):
        expected = oracles.thumos14(p, y, threshold)
        assert {k: v["ap"][i] for k, v in got["per_class"].items()} == pytest.approx(expected)
        assert got["map"][i] == pytest.approx(np.mean(list(expected.values())))


@settings(max_examples=60, deadline=None)
@given(guesses(), truths(), st.sampled_from([1.0, 2.5, 4, 100]))
def test_average_recall_equals_its_oracle(p, y, most):
    got = average_recall(table(p, scored=True), table(y, scored=False, videos=["empty"]), THUMOS, most=most)
    recalls, numbers = oracles.average_recall(p, y, list(THUMOS), most)
    assert got["average_recall"] == pytest.approx(recalls)
    assert got["proposals_per_video"] == pytest.approx(numbers)
    assert 0 <= got["auc"] <= 1
    assert got["average_recall"] == sorted(got["average_recall"])


@settings(max_examples=100, deadline=None)
@given(guesses(), truths(), st.sampled_from([0.3, 0.5, 0.75]))
def test_false_positives_equal_their_oracle(p, y, threshold):
    got = false_positives(table(p, scored=True), table(y, scored=False), threshold, groups=4)
    assert got["counts"] == oracles.detad(p, y, threshold, 0.1, 4)
    assert sum(got["total"]) == sum(row[1] in {g[1] for g in y} for row in p)
    for counts, shares in zip(got["counts"], got["shares"], strict=True):
        assert sum(shares) == pytest.approx(1 if sum(counts) else 0)


@settings(max_examples=60, deadline=None)
@given(guesses(), truths(), st.randoms(use_true_random=False))
def test_what_the_order_of_rows_may_change(p, y, random):
    """Distinct scores and a shuffled table: the same numbers."""
    p = [(*row[:4], row[4] + i / 1000) for i, row in enumerate(p)]
    shuffled = random.sample(p, len(p))
    for evaluate in (activitynet_map, thumos14_map):
        a, b = (evaluate(table(rows, scored=True), table(y, scored=False)) for rows in (p, shuffled))
        assert a["map"] == b["map"]


@given(guesses(), truths())
@settings(max_examples=40, deadline=None)
def test_higher_thresholds_are_never_easier(p, y):
    maps = activitynet_map(table(p, scored=True), table(y, scored=False), (0.1, 0.3, 0.5, 0.7, 0.9))["map"]
    # Not a theorem for greedy matching in general, but it is one where each prediction fits one truth only
    fits = [sum(oracles.tiou(a, b) > 0 for b in y if b[:2] == a[:2]) for a in p]
    if all(n <= 1 for n in fits):
        assert all(a >= b - 1e-12 for a, b in itertools.pairwise(maps))


def test_worked_by_hand():
    y = [("v", "run", 0.0, 10.0), ("v", "run", 20.0, 30.0)]
    p = [
        ("v", "run", 0.0, 9.0, 0.9),  # tIoU 0.9 with the first
        ("v", "run", 0.0, 10.0, 0.8),  # a second one on it: false
        ("v", "run", 20.0, 26.0, 0.7),  # tIoU 0.6 with the second
    ]
    got = activitynet_map(table(p, scored=True), table(y, scored=False), (0.5, 0.7))
    # 0.5: true, false, true -> ½·1 + ½·⅔; 0.7: true, false, false -> ½·1
    assert got["map"] == pytest.approx([5 / 6, 0.5])
    # The kit lets the truth choose: the exact one (rank 2) and the third -> ½·½ + ½·⅔; then ½·½
    assert thumos14_map(table(p, scored=True), table(y, scored=False), (0.5, 0.7))["map"] == pytest.approx(
        [0.25 + 1 / 3, 0.25]
    )


def test_a_threshold_met_exactly_counts_for_activitynet_and_not_for_thumos():
    y, p = [("v", "run", 0.0, 4.0)], [("v", "run", 0.0, 2.0, 1.0)]
    assert activitynet_map(table(p, scored=True), table(y, scored=False), (0.5,))["map"] == [1.0]
    assert thumos14_map(table(p, scored=True), table(y, scored=False), (0.5,))["map"] == [0.0]


def test_a_class_without_predictions_counts_zero():
    y = [("v", "run", 0.0, 4.0), ("v", "jump", 0.0, 4.0)]
    got = activitynet_map(table([("v", "run", 0.0, 4.0, 1.0)], scored=True), table(y, scored=False))
    assert got["average_map"] == 0.5
    assert got["per_class"]["jump"]["average"] == 0
    nothing = table([], scored=True)
    for evaluate in (activitynet_map, thumos14_map):
        assert evaluate(nothing, table(y, scored=False))["average_map"] == 0
    assert average_recall(nothing, table(y, scored=False))["auc"] == 0
    assert sum(false_positives(nothing, table(y, scored=False))["total"]) == 0


def test_a_class_that_the_truth_only_names_is_unknown():
    y = table([("v", "run", 0.0, 4.0)], scored=False, labels=["jump", "run"])
    p = table([("v", "run", 0.0, 4.0, 0.5), ("v", "jump", 0.0, 4.0, 0.9)], scored=True)
    for evaluate in (activitynet_map, thumos14_map):
        got = evaluate(p, y)
        assert got["average_map"] == 1
        assert list(got["per_class"]) == ["run"]
        assert got["n_unknown_class"] == 1
    assert false_positives(p, y)["total"] == [1, 0, 0, 0, 0, 0]


def test_of_equal_overlaps_the_first_truth_names_the_error():
    twice = [("v", "run", 0.0, 4.0, 0.9), ("v", "run", 0.0, 4.0, 0.8)]
    run, jump = ("v", "run", 0.0, 4.0), ("v", "jump", 0.0, 4.0)
    kinds = [
        false_positives(table(twice, scored=True), table(y, scored=False))["total"]
        for y in ([run, jump], [jump, run])
    ]
    assert kinds == [[1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0]]  # double; wrong label


def test_the_best_proposals_come_first():
    y = [("v", "run", 0.0, 4.0)]
    p = [("v", "any", 10.0, 12.0, 0.2), ("v", "any", 0.0, 4.0, 0.9), ("v", "any", 20.0, 22.0, 0.1)]
    got = average_recall(table(p, scored=True), table(y, scored=False), most=1)
    assert got["average_recall"][-1] == 1
    p[1] = (*p[1][:4], 0.15)
    assert average_recall(table(p, scored=True), table(y, scored=False), most=1)["average_recall"][-1] == 0


def test_wrong_calls_and_wrong_data():
    y = table([("v", "run", 0.0, 4.0)], scored=False)
    p = table([("v", "run", 0.0, 4.0, 1.0)], scored=True)
    with pytest.raises(UsageError, match="no scores"):
        activitynet_map(y, y)
    for thresholds in ((), (0.0,), (1.1,)):
        with pytest.raises(UsageError, match="thresholds"):
            activitynet_map(p, y, thresholds)
    with pytest.raises(DataError, match="no segment"):
        activitynet_map(p, table([], scored=False, videos=["v"], labels=["run"]))
    with pytest.raises(DataError, match="no length"):
        activitynet_map(p, table([("v", "run", 1.0, 1.0)], scored=False))
    with pytest.raises(DataError, match=r"v, run, row 0: segment 5–4 s is reversed"):
        table([("v", "run", 5.0, 4.0)], scored=False)
    with pytest.raises(DataError, match="not finite"):
        table([("v", "run", 0.0, float("nan"))], scored=False)
    with pytest.raises(DataError, match="score of segment 0 is nan"):
        table([("v", "run", 0.0, 1.0, float("nan"))], scored=True)
    with pytest.raises(UsageError, match="background"):
        false_positives(p, y, 0.5, background=0.6)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 10_000))
@example(8, 8, 0)
def test_the_choice_is_the_sequential_one(choosers, choices, seed):
    """Deferred acceptance in rounds against one chooser after the other, with many ties."""
    rng = np.random.default_rng(seed)
    liked = np.argwhere(rng.random((choosers, choices)) < 0.7)
    tiou = rng.integers(1, 5, len(liked)) / 4
    shuffled = rng.permutation(len(liked))
    a, b = liked[:, 0], liked[:, 1]
    made = Choice(a[shuffled], b[shuffled], tiou[shuffled], choosers, choices)
    for threshold in (0.25, 0.5, 1.0):
        for strict in (False, True):
            holder = [choosers] * choices
            for i in range(choosers):
                wishes = [(-tiou[k], b[k]) for k in range(len(liked)) if a[k] == i]
                for overlap, j in sorted(wishes):
                    allowed = -overlap > threshold if strict else -overlap >= threshold
                    if allowed and holder[j] == choosers:
                        holder[j] = i
                        break
            assert made.at(threshold, strict=strict).tolist() == holder


def test_pairs_in_chunks_are_the_same(monkeypatch):
    rng = np.random.default_rng(0)

    def random_table(n):
        start = rng.integers(0, 50, n).astype(float)
        return SegmentTable.of([f"v{i}" for i in rng.integers(0, 5, n)], ["c"] * n, start, start + 3)

    a, b = random_table(200), random_table(60)
    whole = overlapping_pairs(a, a.video, b, b.video, least=0.2)
    monkeypatch.setattr("marey.metrics.segments._CHUNK", 37)
    parts = overlapping_pairs(a, a.video, b, b.video, least=0.2)
    for name in ("a", "b", "tiou"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert (whole.tiou >= 0.2).all()


@given(*[st.floats(-5, 5) for _ in range(2)], *[st.floats(0, 5) for _ in range(2)])
def test_tiou_lies_between_0_and_1_and_is_symmetric(s, t, d, e):
    forth, back = temporal_iou(s, s + d, t, t + e), temporal_iou(t, t + e, s, s + d)
    assert forth == pytest.approx(back, abs=1e-12)
    assert 0 <= forth <= 1 + 1e-9
    assert temporal_iou(s, s + d, s, s + d) == pytest.approx(1.0 if (s + d) > s else 0.0)


def test_activitynet_json_there_and_back():
    p = [("v", "run", 0.5, 4.0, 0.75), ("w", "jump", 1.0, 2.0, 0.5), ("v", "run", 3.0, 5.0, 0.25)]
    given_table = table(p, scored=True, videos=["silent"])
    written = json.loads(json.dumps(anet.predictions_to_json(given_table)))
    assert written["results"]["silent"] == []
    read = anet.predictions_from_json(written)
    assert set(read.videos) == {"silent", "v", "w"}
    rows = {
        (read.videos[v], read.labels[c], s, e, x)
        for v, c, s, e, x in zip(read.video, read.label, read.start, read.end, read.score, strict=True)
    }
    assert rows == set(p)
    truth = {
        "database": {
            "v": {"subset": "validation", "annotations": [{"segment": [0.5, 4.0], "label": "run"}]},
            "w": {"subset": "training", "annotations": [{"segment": [0, 1], "label": "jump"}]},
            "silent": {"subset": "validation", "annotations": []},
        }
    }
    y = anet.truth_from_json(truth, subset="validation")
    assert (y.videos, y.labels, len(y), y.score) == (("v", "silent"), ("run",), 1, None)
    assert activitynet_map(read, y)["average_map"] == 1
    assert len(anet.truth_from_json(truth)) == 2
    with pytest.raises(DataError, match="subsets: training, validation"):
        anet.truth_from_json(truth, subset="test")
    with pytest.raises(DataError, match="it holds: results, version"):
        anet.truth_from_json({"results": {}, "version": 1})
    with pytest.raises(DataError, match=r'hold "results"'):
        anet.predictions_from_json(truth)
    for bad in (
        {"segment": [1]},
        {"segment": [0, 1], "label": "x"},
        {"segment": "ab", "label": "x", "score": 1},
        3,
    ):
        with pytest.raises(DataError, match="v: segment 0 cannot be read"):
            anet.predictions_from_json({"results": {"v": [bad]}})


def test_tables_from_segments():
    made = SegmentTable.from_segments(
        {"v": [Segment(0, 1, "run", 0.5), Segment(1, 2, "sit", 0.25)], "empty": []}, labels=["jump"]
    )
    assert made.videos == ("v", "empty")
    assert made.labels == ("jump", "run", "sit")
    assert made.score.tolist() == [0.5, 0.25]
    assert SegmentTable.from_segments({"v": [Segment(0, 1, "run")]}).score is None
