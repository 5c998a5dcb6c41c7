"""What every layout hands over: cells as they stand in the file, with the place of each row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from marey.data.origin import Origin


@dataclass(frozen=True, eq=False)
class RawRows:
    """Unchecked rows.

    Attributes:
        table: any columns; those of the manifest by their own names, as text or already typed.
        origin: the place of each row.
        root: the folder that relative paths are meant from.
        class_names: the format's own list of classes, in its order; None where it has none.
        multi_label: None where the rows decide.
        read_as: "UCF101, split 1", for the line that says how a folder was understood; "" for our own forms.
        hints: lines for the message that a video is missing.
    """

    table: pa.Table
    origin: Origin
    root: Path
    class_names: tuple[str, ...] | None = None
    multi_label: bool | None = None
    read_as: str = ""
    hints: tuple[str, ...] = ()
