"""Rows that speak of the same sample: several labels of it, or the same row twice."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from marey.data.origin import DataWarning, Index, Origin
from marey.data.rules import refuse

_KEY = ["path", "start", "end"]
_ROWS = 4096  # rows looked at at once
_R = 0x2545F4914F6CDD1D  # any odd number


def merge_rows(table: pa.Table, origin: Origin, multi_label: bool | None) -> tuple[pa.Table, Origin, bool]:
    """One row a sample, and whether samples have several labels. The rule is told in `Manifest.read`.

    Raises:
        ManifestError: a row that says again what another said, rows of one sample with different splits or
            groups, or several labels where `multi_label` is False.
    """
    sets = _same_sample(table)
    several = np.flatnonzero(pc.match_substring(table["label"], "|").to_numpy(zero_copy_only=False))
    for rows in sets:
        _check_set(table, origin, rows)
    firsts = [int(rows[0]) for rows in sets]
    if multi_label is False and (len(several) or sets):
        first = min([*map(int, several[:1]), *firsts])
        rest = next((rows for rows in sets if rows[0] == first), np.array([first]))
        names = "|".join(table["label"][int(r)].as_py() for r in rest)
        raise refuse(
            origin, rest, table["path"], f"several labels ({names}) where each sample should have one.",
            "keep one of them, or read the manifest as multi-label",
        )  # fmt: skip
    if not sets:
        return table, origin, bool(multi_label or len(several))
    samples = table.num_rows - sum(len(rows) - 1 for rows in sets)
    if multi_label is None and not len(several) and len(sets) <= 0.05 * samples:
        at = " and ".join(origin.where(int(r), table["path"][int(r)].as_py()) for r in sets[0][:2])
        warnings.warn(
            f"{at}: one sample with different labels. {len(sets)} of {samples} samples are like this, so all of them"
            " are read as multi-label. If each should have one label, mend these rows.",
            DataWarning,
            stacklevel=5,
        )
    return *_merged(table, origin, sets), True


def _same_sample(table: pa.Table) -> list[Index]:
    """Sets of two rows or more with the same path, start and end."""
    marks = _marks(table)
    ranked = np.sort(marks)
    if not (ranked[1:] == ranked[:-1]).any():
        return []
    order = np.argsort(marks, kind="stable")
    again = np.flatnonzero(marks[order][1:] == marks[order][:-1])
    alike = np.unique(np.concatenate([order[again], order[again + 1]]))
    keys = table.select(_KEY).take(pa.array(alike)).append_column("row", pa.array(alike))
    grouped = keys.group_by(_KEY, use_threads=False).aggregate([("row", "list")])
    grouped = grouped.filter(pc.greater(pc.list_value_length(grouped["row_list"]), 1))
    return sorted(
        (np.sort(np.asarray(rows)) for rows in grouped["row_list"].to_pylist()), key=lambda r: int(r[0])
    )


def _marks(table: pa.Table) -> NDArray[np.uint64]:
    """A number a row, the same for the same path, start and end, and as good as never for others: a table of a
    million rows is not grouped to find out that no two are the same.

    Of a path it is the sum of its bytes b_j·r^j modulo 2^64; the powers run on over many paths at once, and
    each sum is brought back to r^0 at the end.
    """
    marks, done = np.empty(table.num_rows, np.uint64), 0
    forth = back = np.ones(0, np.uint64)
    for chunk in table["path"].chunks:
        for begin in range(0, len(chunk), _ROWS):
            some = chunk.slice(begin, _ROWS)
            offsets = np.frombuffer(some.buffers()[1], np.int32)[some.offset : some.offset + len(some) + 1]
            raw = np.frombuffer(some.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
            if len(raw) > len(forth):
                forth, back = _powers(_R, 2 * len(raw)), _powers(pow(_R, -1, 2**64), 2 * len(raw))
            at = offsets[:-1] - offsets[0]
            marks[done : done + len(some)] = np.add.reduceat(raw * forth[: len(raw)], at) * back[at]
            done += len(some)
    for name, factor in (("start", 0x9E3779B97F4A7C15), ("end", 0xC2B2AE3D27D4EB4F)):
        if table[name].null_count < len(marks):
            seconds = pc.fill_null(table[name], -1.0).to_numpy() + 0.0
            marks += seconds.view(np.uint64) * np.uint64(factor)
    return marks


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """1, base, base², …, modulo 2^64."""
    return np.multiply.accumulate(np.r_[np.uint64(1), np.full(count - 1, base, np.uint64)])


def _check_set(table: pa.Table, origin: Origin, rows: Index) -> None:
    """The rows of one sample add a label each and agree in split and group."""
    seen: dict[str, int] = {}
    for row in map(int, rows):
        for name in table["label"][row].as_py().split("|"):
            if name in seen:
                raise refuse(
                    origin, [row], table["path"],
                    f"this says again what {origin.where(seen[name], table['path'][row].as_py())} says:"
                    f" {table['path'][row].as_py()!r} is {name!r}.", "leave one of the two rows out",
                )  # fmt: skip
            seen[name] = row
    for column in ("split", "group"):
        values = table[column].take(pa.array(rows)).to_pylist()
        if len(set(values)) > 1:
            raise refuse(
                origin, rows, table["path"],
                f"rows of one sample have different {column}s: {', '.join(map(repr, dict.fromkeys(values)))}.",
            )  # fmt: skip


def _merged(table: pa.Table, origin: Origin, sets: list[Index]) -> tuple[pa.Table, Origin]:
    """All labels in the first row of each set; other columns joined by '|' where they disagree."""
    keep = np.ones(table.num_rows, dtype=bool)
    for rows in sets:
        keep[rows[1:]] = False
    for number, name in enumerate(table.column_names):
        if name in (*_KEY, "split", "group"):
            continue
        column = table[name]
        joined: dict[int, str] = {}
        for rows in sets:
            values = dict.fromkeys(str(v) for v in column.take(pa.array(rows)).to_pylist() if v is not None)
            if len(values) > 1:
                joined[int(rows[0])] = "|".join(values)
        if joined:
            cells = column.cast(pa.string()).to_pylist()
            for row, cell in joined.items():
                cells[row] = cell
            table = table.set_column(number, name, pa.array(cells, pa.string()))
    kept = np.flatnonzero(keep).astype(np.int64)
    return table.take(pa.array(kept)), origin.take(kept)
