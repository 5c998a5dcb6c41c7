"""Stretches of time that overlap, laid into rows in which none do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def stacked(spans: Sequence[tuple[Any, Any]]) -> list[int]:
    """The row of each span, from 0: as few rows as there are spans at one moment, the earliest in the first.

    Args:
        spans: start and end of each, `[start, end)`, in any order. An empty span takes its row up for its moment.
    """
    rows = [0] * len(spans)
    free: list[Any] = []  # when each row ends
    for i in sorted(range(len(spans)), key=lambda i: (spans[i][0], -spans[i][1])):
        start, end = spans[i]
        row = next((r for r, until in enumerate(free) if until <= start), len(free))
        free[row:] = [max(end, start), *free[row + 1 :]]
        rows[i] = row
    return rows
