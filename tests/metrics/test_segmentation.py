from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.errors import DataError, UsageError
from marey.metrics.segmentation import edit_score, segmentation_scores
from tests.metrics import oracles

FRAMES = st.lists(st.tuples(st.sampled_from("abcN"), st.integers(1, 5)), max_size=7).map(
    lambda runs: [label for label, n in runs for _ in range(n)]
)


@st.composite
def videos(draw):
    """Label sequences of several videos, the predictions near the truth or far from it."""
    truth, predictions = {}, {}
    for i in range(draw(st.integers(1, 4))):
        y = draw(FRAMES)
        p = list(y)
        for _ in range(draw(st.integers(0, 3))):
            if y:
                at, n = draw(st.integers(0, len(y) - 1)), draw(st.integers(1, 6))
                p[at : at + n] = [draw(st.sampled_from("abcN"))] * len(p[at : at + n])
        truth[f"v{i}"], predictions[f"v{i}"] = y, p
    return predictions, truth


@settings(max_examples=200, deadline=None)
@given(videos(), st.sampled_from([set(), {"N"}, {"N", "a"}]), st.sampled_from(["ms-tcn", "lea"]))
def test_scores_equal_their_oracle(case, background, rule):
    predictions, truth = case
    overlaps = [0.10, 0.25, 0.50, 1.0]
    if not any(truth.values()):
        with pytest.raises(DataError, match="no frame"):
            segmentation_scores(predictions, truth)
        return
    got = segmentation_scores(predictions, truth, background=background, overlaps=overlaps, rule=rule)
    expected = oracles.segmentation(predictions, truth, background, overlaps, rule)
    assert got["frame_accuracy"] == pytest.approx(expected["frame_accuracy"])
    assert got["edit"] == pytest.approx(expected["edit"])
    assert [got["f1"][k] for k in ("10", "25", "50", "100")] == pytest.approx(
        [expected["f1"][k] for k in overlaps]
    )
    # numbers in place of names are the same
    code = {"a": 3, "b": 0, "c": 7, "N": 1}
    numbers = [{v: np.array([code[x] for x in labels], int) for v, labels in side.items()} for side in case]
    ignored = [code[x] for x in background]
    assert segmentation_scores(*numbers, background=ignored, overlaps=overlaps, rule=rule) == got


@settings(max_examples=100)
@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
def test_edit_score_equals_the_table(a, b):
    longest = max(len(a), len(b))
    assert edit_score(a, b) == pytest.approx(1 - oracles.levenshtein(a, b) / longest if longest else 1)
    assert edit_score(a, b) == edit_score(b, a)


def test_worked_by_hand():
    y = {"v": list("aaaabbbbcccc")}
    p = {"v": list("aaaaaabbcccc")}  # a is too long by two, b too short
    got = segmentation_scores(p, y)
    assert got["frame_accuracy"] == pytest.approx(10 / 12)
    assert got["edit"] == 1
    # IoU: a 4/6, b 2/4, c 1
    assert got["f1"] == {"10": 1, "25": 1, "50": 1}
    assert segmentation_scores(p, y, overlaps=[0.6])["f1"]["60"] == pytest.approx(2 / 3)
    split = {"v": list("aabaabbbcccc")}  # over-segmented: a b a b c
    got = segmentation_scores(split, y)
    assert got["edit"] == pytest.approx(1 - 2 / 5)
    # a: two halves point at one truth, the first takes it; b: one frame within a overlaps no b
    assert got["precision"]["10"] == pytest.approx(3 / 5)
    assert got["recall"]["10"] == 1


def test_of_equal_overlaps_the_first_true_segment_is_taken():
    y, p = {"v": list("aabaaaaaa")}, {"v": list("aaaaaabaa")}
    # The first a overlaps both true ones by a third and takes the earlier, which leaves the later to the last a
    assert segmentation_scores(p, y, overlaps=[0.25])["precision"]["25"] == pytest.approx(2 / 3)


def test_the_two_rules_differ_where_videos_do():
    y = {"long": list("a" * 90 + "b" * 10), "short": list("ab")}
    p = {"long": list("a" * 90 + "b" * 10), "short": list("ba")}
    pooled, mean = (segmentation_scores(p, y, rule=rule) for rule in ("ms-tcn", "lea"))
    assert pooled["frame_accuracy"] == pytest.approx(100 / 102)
    assert mean["frame_accuracy"] == pytest.approx(0.5)
    assert pooled["f1"]["50"] == pytest.approx(0.5)
    assert mean["f1"]["50"] == pytest.approx(0.5)
    assert pooled["evaluator"] != mean["evaluator"]


def test_background_only():
    got = segmentation_scores({"v": ["N"] * 5}, {"v": ["N"] * 5}, background=["N"])
    assert (got["frame_accuracy"], got["edit"], got["f1"]["50"]) == (1, 1, 0)
    assert got["n_segments"] == 0


def test_wrong_calls_and_wrong_data():
    y = {"v": list("aab")}
    with pytest.raises(DataError, match="v: there is no prediction"):
        segmentation_scores({}, y)
    with pytest.raises(DataError, match=r"v: predicted labels of shape \(2,\)"):
        segmentation_scores({"v": list("aa")}, y)
    with pytest.raises(DataError, match="some labels are names"):
        segmentation_scores({"v": [1, 1, 2]}, y)
    with pytest.raises(UsageError, match="no evaluator"):
        segmentation_scores(y, y, rule="i3d")
    with pytest.raises(UsageError, match="overlaps"):
        segmentation_scores(y, y, overlaps=[0])
