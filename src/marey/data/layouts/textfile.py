"""Text as annotation files hold it: UTF-8 with or without BOM, LF or CRLF, every line with its number."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from marey.errors import ManifestError, did_you_mean


def read_text(path: Path) -> str:
    """The text, with LF alone.

    Raises:
        ManifestError: not UTF-8, with the line.
    """
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ManifestError("the file is UTF-16.", "save it in UTF-8.", where=path.name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"byte {data[error.start]:#04x} is not UTF-8.",
            "save the file in UTF-8.",
            where=f"{path.name} line {line}",
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line that is not blank, without spaces at its ends, with its number from 1."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


@dataclass(frozen=True)
class Row:
    """A row of a CSV file: `row["label"]`, and the line on which it begins."""

    line: int
    cells: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.cells[name]

    def get(self, name: str) -> str:
        return self.cells.get(name, "")


def header_of(text: str) -> list[str]:
    """The cells of the first line, in lower case."""
    first = text.lstrip("\n").split("\n", 1)[0]
    try:
        cells = next(csv.reader(io.StringIO(first), delimiter=separator(first)), [])
    except csv.Error:
        return []
    return [cell.strip().lower() for cell in cells]


def separator(line: str) -> str:
    """The one of `,` `;` tab that a header holds most often."""
    return max((",", ";", "\t"), key=line.count)


def read_table(path: Path, needed: tuple[str, ...], delimiter: str | None = None) -> list[Row]:
    """Rows of a CSV file with a header; names of columns in lower case, cells without spaces at their ends.

    Raises:
        ManifestError: a column of `needed` is not there, or a row has more or fewer cells than the header.
    """
    text = read_text(path)
    first = text.lstrip("\n").split("\n", 1)[0]
    delimiter = delimiter or separator(first)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names: list[str] = []
    rows: list[Row] = []
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise ManifestError(f"not readable as CSV: {error}.", where=f"{path.name} line {line}") from None
        here, line = line, reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = [cell.strip().lower() for cell in cells]
            for name in needed:
                if name not in names:
                    raise ManifestError(
                        f"there is no column {name!r}.{did_you_mean(name, names)}",
                        f"columns found: {', '.join(names)}",
                        where=path.name,
                    )
            continue
        if len(cells) != len(names):
            raise ManifestError(
                f"{len(cells)} cells where the header has {len(names)}: {delimiter.join(cells)[:80]!r}.",
                f"a cell that holds {delimiter!r} must stand in double quotes.",
                where=f"{path.name} line {here}",
            )
        rows.append(Row(here, dict(zip(names, (cell.strip() for cell in cells), strict=True))))
    return rows
