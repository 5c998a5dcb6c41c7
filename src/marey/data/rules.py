"""What makes rows a manifest: the checks, one function each, over whole columns at a time.

Every check raises a `ManifestError` that names the first bad row and where the others like it are.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marey.data.layouts.folders import SPLIT_NAMES
from marey.data.origin import DataWarning, Index, Origin
from marey.errors import ManifestError, did_you_mean
from marey.video.packed.names import is_address, is_there

COLUMNS = ("path", "label", "start", "end", "split", "group")
SPLITS = ("train", "val", "test")
_WORTH_LISTING = 64  # files of one folder from which on the folder is listed
_LISTED_AT_ONCE = 1 << 16  # paths that are Python's at once


def refuse(
    origin: Origin, rows: Index | Sequence[int], paths: pa.ChunkedArray | None, what: str, *details: str
) -> ManifestError:
    """The error for `rows`, told at the first of them."""
    first = int(rows[0])
    path = None if paths is None else paths[first].as_py()
    return ManifestError(what, *details, *origin.others(rows), where=origin.where(first, path))


def named_columns(table: pa.Table, origin: Origin) -> pa.Table:
    """Our columns under our names whatever their case, all of them present, ours first; others kept after them."""
    names = [
        name.strip().lower() if name.strip().lower() in COLUMNS else name.strip()
        for name in table.column_names
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ManifestError(f"the column {twice[0]!r} is there twice.", where=origin.name)
    for needed in ("path", "label"):
        if needed not in names:
            near = difflib.get_close_matches(needed, names, n=1, cutoff=0.6)
            raise ManifestError(
                f"there is no column {needed!r}." + (f" Is {near[0]!r} meant?" if near else ""),
                f"columns found: {', '.join(names)}",
                "a manifest needs path and label; start, end, split and group are known besides",
                where=origin.name,
            )
    table = table.rename_columns(names)
    for name in COLUMNS:
        if name not in names:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return table.select([*COLUMNS, *(name for name in names if name not in COLUMNS)])


def text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Trimmed text; an empty cell is null. A list of names becomes `a|b`. What is so already is not copied."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = pc.binary_join(column.cast(pa.list_(pa.string())), "|")
    column = column.cast(pa.string())
    if not all(map(_no_space, column.chunks)):
        column = pc.utf8_trim_whitespace(column)
    empty = pc.equal(pc.binary_length(column), 0)
    if not pc.any(empty).as_py():
        return column
    if pc.all(pc.fill_null(empty, True)).as_py():
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    return pc.if_else(empty, pa.scalar(None, pa.string()), column)


def _no_space(chunk: pa.StringArray) -> bool:
    """Whether there is surely nothing to trim: no space, control character or other script in any cell."""
    offsets, data = (chunk.buffers()[i] for i in (1, 2))
    if data is None or not len(chunk):
        return True
    first, last = np.frombuffer(offsets, np.int32)[[chunk.offset, chunk.offset + len(chunk)]]
    raw = np.frombuffer(data, np.uint8)[first:last]
    return not len(raw) or bool(raw.min() > 32 and raw.max() < 128)


def paths_and_labels(table: pa.Table, origin: Origin) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Paths with `./`, `//` and `a/../` taken out, so that one file has one spelling; labels without gaps."""
    path, label = text(table["path"]), text(table["label"])
    empty = where_true(pc.is_null(path))
    if len(empty):
        raise refuse(origin, empty, None, "the path is empty.")
    odd = where_true(pc.match_substring_regex(path, r"(^|/)\.{0,2}/|/\.{0,2}$"))
    if len(odd):
        spelled = path.to_pylist()
        for row in odd:
            if not is_address(spelled[row]):
                spelled[row] = os.path.normpath(spelled[row])
        path = pa.chunked_array([pa.array(spelled, pa.string())])
    empty = where_true(pc.is_null(label))
    if len(empty):
        raise refuse(origin, empty, path, "the label is empty.", "every row needs the name of a class")
    gaps = where_true(pc.match_substring_regex(label, r"^\s*\||\|\s*\||\|\s*$"))
    if len(gaps):
        got = label[int(gaps[0])].as_py()
        raise refuse(origin, gaps, path, f"{got!r} has an empty label between its '|'.")
    spaced = where_true(pc.match_substring_regex(label, r"\s\||\|\s"))
    if len(spaced):
        label = pc.replace_substring_regex(label, r"\s*\|\s*", "|")
    several = where_true(pc.match_substring(label, "|"))
    repeated = [r for r in several if len(set(names := label[int(r)].as_py().split("|"))) < len(names)]
    if repeated:
        got = label[int(repeated[0])].as_py()
        raise refuse(origin, repeated, path, f"{got!r} names a label twice.")
    return path, label


def seconds(table: pa.Table, name: str, origin: Origin, path: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of times as float64, null where the cell is empty."""
    column = table[name]
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        column = text(column)
        if column.null_count == len(column):
            return pa.chunked_array([pa.nulls(len(column), pa.float64())])
        bad = [i for i, cell in enumerate(column.to_pylist()) if cell is not None and not _is_number(cell)]
        if bad:
            raise refuse(
                origin, bad, path, f"{name} is {column[bad[0]].as_py()!r}, which is no time.",
                "times are seconds, with a point: 12.5",
            )  # fmt: skip
    numbers = column.cast(pa.float64())
    numbers = pc.if_else(
        pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers
    )  # a data frame's empty cell
    bad_rows = where_true(pc.or_(pc.is_inf(numbers), pc.less(numbers, 0)))
    if len(bad_rows):
        got = numbers[int(bad_rows[0])].as_py()
        raise refuse(origin, bad_rows, path, f"{name} is {got:g} s; times cannot be negative or infinite.")
    return numbers


def ordered(start: pa.ChunkedArray, end: pa.ChunkedArray, origin: Origin, path: pa.ChunkedArray) -> None:
    """Every segment ends after it starts."""
    bad = where_true(pc.less_equal(end, pc.fill_null(start, 0.0)))
    if len(bad):
        s, e = start[int(bad[0])].as_py() or 0.0, end[int(bad[0])].as_py()
        kind = "empty" if s == e else "reversed"
        raise refuse(origin, bad, path, f"the segment from {s:g} s to {e:g} s is {kind}.")


def split_names(column: pa.ChunkedArray, origin: Origin, path: pa.ChunkedArray) -> pa.ChunkedArray:
    """`train`, `val` or `test`, whatever case and spelling (validation, training, …); all rows or none."""
    column = text(column)
    known: dict[str, str | None] = {}
    for name in pc.unique(column).to_pylist():
        if name is None:
            continue
        if name.lower() not in SPLIT_NAMES:
            bad = where_true(pc.equal(column, name))
            raise refuse(
                origin, bad, path, f"{name!r} is not a known split.{did_you_mean(name.lower(), SPLIT_NAMES)}",
                f"known splits: {', '.join(SPLITS)}",
            )  # fmt: skip
        known[name] = SPLIT_NAMES[name.lower()]
    empty = where_true(pc.is_null(column))
    if known and len(empty):
        present = ", ".join(sorted(set(map(str, known.values()))))
        raise refuse(
            origin, empty, path, f"no split, where others have one ({present}).",
            "a row without a split would be in no part of the data: name one, or leave the whole column empty",
        )  # fmt: skip
    if all(name == meant for name, meant in known.items()):
        return column
    written, meant = list(known), [known[name] for name in known]
    return pc.take(pa.array(meant, pa.string()), pc.index_in(column, pa.array(written, pa.string())))


def known_classes(
    label: pa.ChunkedArray, classes: Sequence[str], origin: Origin, path: pa.ChunkedArray
) -> None:
    """Every label is in the list of classes that was given."""
    names, rows = each_label(label)
    unknown = where_true(pc.invert(pc.is_in(names, value_set=pa.array(classes, pa.string()))))
    if len(unknown):
        got = names[int(unknown[0])].as_py()
        bad = np.unique(rows[where_true(pc.equal(names, got))])
        listed = ", ".join(classes[:20]) + (f", … ({len(classes)} in all)" if len(classes) > 20 else "")
        raise refuse(
            origin,
            bad,
            path,
            f"{got!r} is not a known class.{did_you_mean(got, classes)}",
            f"known classes: {listed}",
        )


def likely_slips(label: pa.ChunkedArray, origin: Origin, path: pa.ChunkedArray) -> None:
    """Warn of a label in one or two rows that is nearly one of many rows, or differs from another by case alone."""
    names, rows = each_label(label)
    counts = {item["values"]: item["counts"] for item in pc.value_counts(names).to_pylist()}
    common = sorted(name for name, count in counts.items() if count >= 5)
    for name in sorted(counts):
        twins = [other for other in counts if other != name and other.casefold() == name.casefold()]
        near = [t for t in twins if (counts[t], t) > (counts[name], name)]
        if not near and counts[name] <= 2 and not twins:
            near = [
                n for n in difflib.get_close_matches(name, common, n=3, cutoff=0.75)
                if _letters(n) != _letters(name) and counts[n] >= 5 * counts[name]
            ]  # fmt: skip
        if near:
            where = int(rows[where_true(pc.equal(names, name))][0])
            warnings.warn(
                f"{origin.where(where, path[where].as_py())}: {name!r} stands in {counts[name]} row"
                f"{'s' if counts[name] > 1 else ''}, {near[0]!r} in {counts[near[0]]}. Is it a slip?"
                " They are taken as two classes.",
                DataWarning,
                stacklevel=5,
            )


def files_exist(
    path: pa.ChunkedArray, origin: Origin, resolve: Callable[[str], str], more: Sequence[str] = ()
) -> None:
    """Every file is there; `more` says besides what to do where one is not."""
    missing, count = missing_files(path, resolve)
    if not len(missing):
        return
    rows = where_true(pc.is_in(path, value_set=missing))
    first = path[int(rows[0])].as_py()
    hints = [f"looked for {resolve(first)}"]
    if "\\" in first and os.sep == "/" and Path(resolve(first.replace("\\", "/"))).exists():
        hints.append(f"it is there as {first.replace(chr(92), '/')!r}: write paths with '/'")
    if len(missing) > 1:
        hints.append(f"{len(missing)} of {count} files are missing")
    raise refuse(origin, rows, path, f"{first!r} is not there.", *hints, *more)


def missing_files(path: pa.ChunkedArray, resolve: Callable[[str], str]) -> tuple[pa.Array, int]:
    """The paths at which there is nothing, and how many different paths there are.

    A folder of which many files are named is listed, which is much less work than to ask for each of them.
    """
    unique = pc.unique(path)
    folders = pc.replace_substring_regex(unique, r"[^/]*$", "").dictionary_encode()
    of, names = folders.indices.to_numpy(), folders.dictionary.to_pylist()
    order = np.argsort(of, kind="stable")
    begins = np.searchsorted(of[order], np.arange(len(names) + 1))
    missing: list[str] = []
    for folder, begin, end in zip(names, begins[:-1], begins[1:], strict=True):
        for some in range(begin, end, _LISTED_AT_ONCE):
            asked = unique.take(pa.array(order[some : min(some + _LISTED_AT_ONCE, end)]))
            if len(asked) >= _WORTH_LISTING:
                if some == begin:
                    there = _plain_files(resolve(folder))
                bare = pc.utf8_slice_codeunits(asked, len(folder))
                asked = asked.filter(pc.invert(pc.is_in(bare, value_set=there)))
            missing += [p for p in asked.to_pylist() if not is_there(resolve(p))]
    return pa.array(missing, pa.string()), len(unique)


def _plain_files(folder: str) -> pa.Array:
    """Names in a folder that are surely files. Links may lead nowhere, and are asked for one by one."""
    try:
        with os.scandir(folder or ".") as found:
            return pa.array([e.name for e in found if not e.is_symlink()], pa.string())
    except (OSError, UnicodeEncodeError, pa.ArrowException):
        return pa.array([], pa.string())


def each_label(label: pa.ChunkedArray) -> tuple[pa.Array, Index]:
    """Every single label name of every row, and the row of each."""
    if not pc.any(pc.match_substring(label, "|")).as_py():
        return label.combine_chunks(), np.arange(len(label), dtype=np.int64)
    parts = pc.split_pattern(label, "|").combine_chunks()
    return pc.list_flatten(parts), pc.list_parent_indices(parts).to_numpy(zero_copy_only=False)


def where_true(mask: pa.Array | pa.ChunkedArray) -> Index:
    """Indices where a boolean column is true; null counts as false."""
    return np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False)).astype(np.int64)


def _letters(name: str) -> str:
    """Class names that differ by a number alone (left1, left2) are no slips."""
    return re.sub(r"\d", "", name)


def _is_number(cell: str) -> bool:
    try:
        return not math.isnan(float(cell)) and "_" not in cell
    except ValueError:
        return False
