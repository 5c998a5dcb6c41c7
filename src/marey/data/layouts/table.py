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
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS = (",", ";", "\t")
_BLOCK = 1 << 20  # bytes read at once
_PIECE = 1 << 18  # bytes parsed at once; many pieces are read ahead
_LONGEST = 1 << 30  # bytes of a column in one piece; its offsets are 32 bits wide


def read_csv(path: Path, root: Path) -> RawRows:
    """Every cell as text. UTF-8 with or without BOM; LF, CRLF or CR; quoted cells may hold newlines; blank
    lines are passed over. The separator is the one of `,` `;` tab that the header holds most often.

    The file is read in blocks and never held whole. One with any fault is read a second time, slowly, to say
    where the fault is.

    Raises:
        ManifestError: not UTF-8, no header, or a row with more or fewer cells than the header.
    """
    lines, quotes = _record_lines(path)
    with path.open("rb") as file:
        head = file.read(_BLOCK)
    first = head.removeprefix(_BOM).lstrip(b"\r\n").split(b"\n", 1)
    plain = len(first) == 2 and head[:2] not in _UTF16 and b"\0" not in first[0]
    if plain:
        try:
            header = first[0].decode("utf-8")
            separator = max(_SEPARATORS, key=header.count)
            table = _read_in_blocks(path, header, separator, quotes)
        except (UnicodeDecodeError, pa.ArrowInvalid):
            return _read_carefully(path, root)
        if len(lines) == table.num_rows + 1:  # else a quoted cell holds a newline
            return RawRows(table, Origin(path.name, "line", lines[1:]), root)
    return _read_carefully(path, root)


def _read_in_blocks(path: Path, header: str, separator: str, quotes: bool) -> pa.Table:
    """The cells, gathered column by column: a block's own memory goes back before the next is read, on one thread.
    A table of the blocks themselves would leave holes between them, more than the cells take."""
    reader = pacsv.open_csv(
        path,
        read_options=pacsv.ReadOptions(block_size=_PIECE, use_threads=False),
        parse_options=pacsv.ParseOptions(delimiter=separator, newlines_in_values=quotes),
        convert_options=_as_text(header, separator),
    )
    gathered = [_Column() for _ in reader.schema]
    for block in reader:
        for column, cells in zip(gathered, block.columns, strict=True):
            column.add(cells)
    pa.default_memory_pool().release_unused()
    return pa.table([column.whole() for column in gathered], names=reader.schema.names)


class _Column:
    """Text without nulls that grows at its end."""

    def __init__(self) -> None:
        self.chunks: list[pa.Array] = []
        self._start()

    def _start(self) -> None:
        self.ends, self.data = bytearray(4), bytearray()  # the first offset is 0

    def add(self, cells: pa.StringArray) -> None:
        offsets = np.frombuffer(cells.buffers()[1], np.int32)[cells.offset : cells.offset + len(cells) + 1]
        if len(self.data) > _LONGEST - (offsets[-1] - offsets[0]):
            self._close()
        self.ends += (offsets[1:] + np.int32(len(self.data) - offsets[0])).data
        if cells.buffers()[2] is not None:
            self.data += memoryview(cells.buffers()[2])[offsets[0] : offsets[-1]]

    def _close(self) -> None:
        ends, data = pa.py_buffer(self.ends), pa.py_buffer(self.data)
        self.chunks.append(pa.StringArray.from_buffers(len(self.ends) // 4 - 1, ends, data))
        self._start()

    def whole(self) -> pa.ChunkedArray:
        self._close()
        return pa.chunked_array(self.chunks)


def _read_carefully(path: Path, root: Path) -> RawRows:
    """The same from memory, on one thread: only then does a bad row know its number."""
    data = path.read_bytes()
    if data[:2] in _UTF16:
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
    lines = _parsed_lines(data, separator)
    bad: list[pacsv.InvalidRow] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    try:
        table = pacsv.read_csv(
            pa.BufferReader(data),
            read_options=pacsv.ReadOptions(use_threads=False),
            parse_options=pacsv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=_as_text(header, separator),
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


def _as_text(header: str, separator: str) -> pacsv.ConvertOptions:
    names = next(csv.reader(io.StringIO(header), delimiter=separator))
    return pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)


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


def _record_lines(path: Path) -> tuple[Index, bool]:
    """The lines (from 1) that are not blank, the header first, and whether there is a double quote anywhere.
    Where no quoted cell holds a newline, these are the lines on which the records begin."""
    found: list[Index] = []
    quotes, line, open_length, after_cr = False, 1, 0, False
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            quotes = quotes or b'"' in block
            raw = np.frombuffer(block, dtype=np.uint8)
            ends = np.flatnonzero(raw == 10)
            if len(ends):
                length = np.diff(ends, prepend=-1) - 1
                before_cr = (
                    raw[np.maximum(ends - 1, 0)] == 13
                )  # of an empty line it is another line's, or none
                before_cr[0] = before_cr[0] if ends[0] else after_cr
                length[0] += open_length
                found.append(np.flatnonzero(length - ((length > 0) & before_cr)) + line)
                line += len(ends)
                open_length = 0
            rest = len(raw) - (int(ends[-1]) + 1 if len(ends) else 0)
            open_length += rest
            after_cr = bool(raw[-1] == 13)
    if open_length > int(after_cr):
        found.append(np.array([line]))
    return (np.concatenate(found).astype(np.int64, copy=False) if found else np.zeros(0, np.int64)), quotes


def _parsed_lines(data: bytes, separator: str) -> Index:
    """The line on which each record begins, by parsing: a quoted cell may hold newlines."""
    reader = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=separator)
    starts, line = [], 1
    for record in reader:
        if record:
            starts.append(line)
        line = reader.line_num + 1
    return np.asarray(starts, dtype=np.int64)
