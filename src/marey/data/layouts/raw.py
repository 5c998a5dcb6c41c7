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
    """

    table: pa.Table
    origin: Origin
    root: Path
