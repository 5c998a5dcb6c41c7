"""`marey audit`: does the model use time?"""

from __future__ import annotations

from collections.abc import Sequence

from marey.cli import eval as judge


def run(args: Sequence[str]) -> int:
    """As `marey eval`, and on the same clips shuffled, reversed and frozen."""
    return judge.run(args, audit=True)
