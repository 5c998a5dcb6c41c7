"""What predictions are worth from a score on: for all classes together, and for each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marey.metrics.segments import SegmentTable
from marey.metrics.timelines import class_choice, judge_timelines, score_curve
from marey.types import Segment

NAMES = ("run", "jump", "sit")
TRUTH = {
    "v": [Segment(0, 10, "run"), Segment(20, 30, "run"), Segment(5, 9, "jump")],
    "w": [Segment(0, 4, "jump")],
}
FOUND = {
    "v": [
        Segment(0, 9, "run", 0.9),
        Segment(1, 10, "run", 0.8),  # the same action again
        Segment(20, 30, "run", 0.3),
        Segment(5, 9, "jump", 0.6),
        Segment(0, 9, "sit", 0.99),  # of a class that is nowhere annotated
    ],
    "w": [],
}


def tables() -> tuple[SegmentTable, SegmentTable]:
    return SegmentTable.from_segments(FOUND, labels=NAMES), SegmentTable.from_segments(TRUTH, labels=NAMES)


def test_classes_by_hand():
    found, truth = tables()
    assert class_choice(found, truth, 0.5, 0.5) == {
        "run": {"n": 2, "said": 2, "right": 1, "precision": 0.5, "recall": 0.5, "f1": 0.5},
        "jump": {"n": 2, "said": 1, "right": 1, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)},
    }
    assert class_choice(found, truth, 0.5, 0.95)["run"] == {
        "n": 2, "said": 0, "right": 0, "precision": 1.0, "recall": 0.0, "f1": 0.0
    }  # fmt: skip


def test_a_judgement_tells_classes_at_the_best_score():
    found, truth = tables()
    made = judge_timelines(found, truth)
    best = max(made["score_curve"], key=lambda point: point["f1"])
    assert made["class_choice"]["score"] == best["score"]
    assert set(made["class_choice"]["classes"]) == {"run", "jump"}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("vw"),
            st.integers(0, 30),
            st.integers(1, 9),
            st.sampled_from(NAMES),
            st.integers(1, 9),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_classes_add_up_to_the_curve(rows):
    found = {"v": [], "w": []}
    for video, start, length, label, score in rows:
        found[video].append(Segment(start, start + length, label, score / 10))
    table, (_, truth) = SegmentTable.from_segments(found, labels=NAMES), tables()
    for point in score_curve(table, truth, 0.5)[4::20]:
        classes = class_choice(table, truth, 0.5, point["score"]).values()
        right = sum(c["right"] for c in classes)
        assert point["recall"] == pytest.approx(right / sum(c["n"] for c in classes))
