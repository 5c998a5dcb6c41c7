"""Where rows came from, so that every message about one can point at it; and the warning of this room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
_LISTED = 8


class DataWarning(UserWarning):
    """Something in the data that is allowed and yet is probably not what was meant. Said once, with its place."""


@dataclass(frozen=True, eq=False)
class Origin:
    """The place of every row in the file that it was read from.

    Attributes:
        name: the file as a message shows it ("fight.csv"), or the folder.
        unit: what `numbers` count: "line" of a text file (from 1, the header included), "row" of a table
            without lines (from 1), or "file" of a folder (then the row's own path says it best).
        numbers: int64 `(N,)`.
        files: names of the files, where rows come from several; then
        file_of: int64 `(N,)` says which of them each row is from.
    """

    name: str
    unit: Literal["line", "row", "file"]
    numbers: Index
    files: tuple[str, ...] = ()
    file_of: Index | None = None

    def where(self, row: int, path: str | None = None) -> str:
        """`fight.csv line 14`; for folders `root/class/clip.mp4`."""
        if self.unit == "file":
            return f"{self.name}/{path}" if path else self.name
        name = self.name if self.file_of is None else self.files[self.file_of[row]]
        return f"{name} {self.unit} {self.numbers[row]}"

    def take(self, rows: Index) -> Origin:
        file_of = None if self.file_of is None else self.file_of[rows]
        return Origin(self.name, self.unit, self.numbers[rows], self.files, file_of)

    def others(self, rows: Sequence[int] | Index) -> tuple[str, ...]:
        """One further line for a message that names the first of several rows: where the rest are, or nothing."""
        if len(rows) < 2:
            return ()
        if self.unit == "file":
            return (f"and {len(rows) - 1} more like it",)
        more = f", … ({len(rows)} in all)" if len(rows) > 1 + _LISTED else ""
        if self.file_of is not None and len({int(self.file_of[r]) for r in rows[: 1 + _LISTED]}) > 1:
            listed = ", ".join(self.where(int(r)) for r in rows[1 : 1 + _LISTED])
            return (f"the same in {listed}{more}",)
        listed = ", ".join(str(self.numbers[r]) for r in rows[1 : 1 + _LISTED])
        return (f"the same in {self.unit}{'s' if len(rows) > 2 else ''} {listed}{more}",)
