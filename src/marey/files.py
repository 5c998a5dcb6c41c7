"""Writing files and folders whole or not at all, and what goes with it: hashes, leftovers, room on the disk."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import platform
import secrets
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from marey.errors import NoRoomError


def write_atomically(path: Path, content: bytes) -> None:
    """Write through a neighbour file, force it to the disk, rename: safe against a kill and a power cut.

    A reader finds the old file or the new one, never half of one.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the rename itself must reach the disk; Windows has no such handle
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_text(path: Path, text: str) -> None:
    """UTF-8 text, newlines as they are."""
    write_atomically(path, text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Indented JSON; NaN and infinity are refused, since JSON has none."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes: a file that was moved or renamed is known again by it."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key_of(made_of: dict[str, Any]) -> str:
    """Sixteen hexadecimal digits that stand for all that decides a result: content and settings, plain JSON."""
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]


def plain_stem(path: Path) -> str:
    """A video's name without its suffix, in letters, digits, dots and underscores alone, for names of results."""
    return "".join(c if c.isalnum() or c in "._" else "_" for c in path.stem)[:80].lstrip(".") or "video"


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file as text; none where it is not there."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def renew_table(
    path: Path, columns: Sequence[str], rows: Iterable[dict[str, str]], identity: Sequence[str]
) -> None:
    """Rows of a CSV file are replaced by those that agree with them in the columns `identity`; others stay."""

    def name(row: dict[str, str]) -> tuple[str, ...]:
        return tuple(row.get(column) or "" for column in identity)

    table = {name(row): row for row in read_table(path)}
    table.update({name(row): row for row in rows})
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", restval="")
    writer.writeheader()
    writer.writerows(table.values())
    write_text(path, text.getvalue())


def partial_path(path: Path) -> Path:
    """Where a file or folder is written before it is renamed to `path`; tells which process of which machine."""
    return path.with_name(f".partial-{platform.node()}-{os.getpid()}-{path.name}")


def sweep_partials(folder: Path) -> None:
    """Remove what killed processes of this machine left half-written under names of `partial_path`."""
    if os.name != "posix":  # elsewhere a process cannot be asked for without harm
        return
    mine = platform.node()
    for left in folder.glob(f".partial-{mine}-*"):
        number = left.name.removeprefix(f".partial-{mine}-").split("-")[0]
        if not number.isdigit() or int(number) == os.getpid():
            continue
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        except PermissionError:
            pass


def size_words(count: float) -> str:
    """A number of bytes as people write it: 1.4 GB."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def require_room(thing: str, need: int, folder: Path) -> None:
    """Raise where a folder's disk has fewer than `need` bytes free.

    Raises:
        NoRoomError: names the thing, what it needs, and what there is.
    """
    free = shutil.disk_usage(folder).free
    if need > free:
        raise NoRoomError(
            f"{thing} needs about {size_words(need)}, and {size_words(free)} are free.",
            "make room, name another folder, or lower the size (--size).",
            where=str(folder),
        )
