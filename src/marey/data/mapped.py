"""A manifest's table in a file that several processes map into their memory, so that a million rows are there once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from marey.data.origin import Index

_NUMBERS, _TARGETS = "\0numbers", "\0targets"  # no column of a CSV is called so


def write_mapped(path: Path, table: pa.Table, numbers: Index, targets: NDArray[np.int64] | None) -> None:
    """Write a table in Arrow's own form, with the place of every row, and its class where it has one."""
    whole = table.append_column(_NUMBERS, pa.array(numbers))
    if targets is not None:
        whole = whole.append_column(_TARGETS, pa.array(targets))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, whole.schema) as writer:
        writer.write_table(whole.combine_chunks())


def mapped(path: Path) -> tuple[pa.Table, Index, NDArray[np.int64] | None]:
    """What `write_mapped` wrote, none of it copied. The file may be removed once it is mapped."""
    whole = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    numbers = whole[_NUMBERS].chunk(0).to_numpy()
    held = _TARGETS in whole.column_names
    targets = whole[_TARGETS].chunk(0).to_numpy() if held else None
    return whole.drop_columns([_NUMBERS, *([_TARGETS] if held else [])]), numbers, targets
