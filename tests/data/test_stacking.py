"""Rows in which nothing overlaps, and no row more than must be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from marey.data.stacking import stacked

SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12)).map(lambda s: (s[0], s[0] + s[1])), max_size=25
)


@given(SPANS)
def test_rows_do_not_overlap_and_are_as_few_as_can_be(spans):
    rows = stacked(spans)
    for i, (start, end) in enumerate(spans):
        for j, (other, until) in enumerate(spans):
            assert i == j or rows[i] != rows[j] or end <= other or until <= start
    most = max((sum(s <= t < e for s, e in spans) for t in range(50)), default=0)
    assert max(rows, default=-1) + 1 == most


def test_the_earliest_is_in_the_first_row():
    assert stacked([(5, 9), (0, 6), (6, 7), (6, 8)]) == [1, 0, 2, 0]
    assert stacked([]) == []
