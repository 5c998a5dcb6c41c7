"""CSV and Parquet: the manifest's own forms."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as papq

from marey.data.layouts.raw import RawRows
from marey.data.origin import Index, Origin
from marey.errors import ManifestError

_BOM = b"\xef\xbb\xbf"
_SEPARATORS = (",", ";", "\t")


def read_csv(path: Path, root: Path) -> RawRows:
    """Every cell as text. UTF-8 with or without BOM; LF, CRLF or CR; quoted cells may hold newlines; blank
    lines are passed over. The separator is the one of `,` `;` tab that the header holds most often.

    Raises:
        ManifestError: not UTF-8, no header, or a row with more or fewer cells than the header.
    """
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ManifestError("the file is UTF-16.", "save it as CSV in UTF-8.", where=path.name)
    data = data.removeprefix(_BOM)
    if b"\r" in data and b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"byte {data[error.start]:#04x} is not UTF-8.",
            "save the file as CSV in UTF-8.",
            where=f"{path.name} line {line}",
        ) from None
    if not data.strip():
        raise ManifestError("the file is empty; a header with path,label was expected.", where=path.name)

    header = data.lstrip(b"\r\n").split(b"\n", 1)[0].decode("utf-8")
    separator = max(_SEPARATORS, key=header.count)
    lines = _record_lines(data, separator)
    bad: list[pacsv.InvalidRow] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    try:
        # one thread: only then does a bad row know its number
        names = next(csv.reader(io.StringIO(header), delimiter=separator))
        table = pacsv.read_csv(
            pa.BufferReader(data),
            read_options=pacsv.ReadOptions(use_threads=False),
            parse_options=pacsv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.string() for name in names}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise ManifestError(f"not readable as CSV: {error}", where=path.name) from None
    if bad:
        row = bad[0]
        at = f" line {lines[row.number - 1]}" if row.number is not None and row.number <= len(lines) else ""
        raise ManifestError(
            f"{row.actual_columns} cells where the header has {row.expected_columns}: {row.text[:80]!r}.",
            f"a cell that holds {separator!r} must stand in double quotes.",
            *([f"{len(bad)} rows are like this"] if len(bad) > 1 else []),
            where=f"{path.name}{at}",
        )
    assert len(lines) == table.num_rows + 1, "one line number a record"
    return RawRows(table, Origin(path.name, "line", lines[1:]), root)


def read_parquet(path: Path, root: Path) -> RawRows:
    """Columns with their types; a `label` that is a list of names is a sample with several labels.

    Raises:
        ManifestError: not a Parquet file.
    """
    try:
        table = papq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ManifestError(f"not readable as Parquet: {error}", where=path.name) from None
    return RawRows(table, Origin(path.name, "row", np.arange(1, table.num_rows + 1, dtype=np.int64)), root)


def _record_lines(data: bytes, separator: str) -> Index:
    """The line (from 1) on which each record begins, the header first; blank lines have none."""
    if b'"' in data:  # a quoted cell may hold newlines: only a parser knows
        reader = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=separator)
        starts, line = [], 1
        for record in reader:
            if record:
                starts.append(line)
            line = reader.line_num + 1
        return np.asarray(starts, dtype=np.int64)
    raw = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(raw == 10)
    begins = np.concatenate([[0], ends + 1])
    stops = np.concatenate([ends, [len(raw)]])
    length = stops - begins
    length -= (length > 0) & (raw[np.maximum(stops - 1, 0)] == 13)
    return (np.flatnonzero(length > 0) + 1).astype(np.int64)
