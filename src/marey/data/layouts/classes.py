"""Lists of class names, and the numbers that annotation files use in their stead: from 0 or from 1."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marey.data.layouts.gather import Gathered
from marey.data.layouts.textfile import read_lines, read_text
from marey.errors import ManifestError


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names in their order: one a line, or JSON: a list, or an object of names to numbers without gaps.

    Raises:
        ManifestError: a name twice, numbers that are no numbering, or none at all.
    """
    if path.suffix.lower() == ".json":
        return _from_json(path)
    names: dict[str, int] = {}
    for line, name in read_lines(path):
        if name in names:
            raise ManifestError(
                f"the class {name!r} stands in line {names[name]} already.", where=f"{path.name} line {line}"
            )
        names[name] = line
    if not names:
        raise ManifestError("there are no classes.", where=path.name)
    return tuple(names)


def read_json(path: Path) -> Any:
    """JSON with the line of what is wrong."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ManifestError(
            f"not readable as JSON: {error.msg}.", where=f"{path.name} line {error.lineno}"
        ) from None


def numbered(content: dict[Any, Any], where: str) -> tuple[str, ...]:
    """The names of `{name: number}` in the order of their numbers, which must run without gaps from 0 or 1."""
    try:
        by_number = {int(number): str(name) for name, number in content.items()}
    except (TypeError, ValueError):
        raise ManifestError("expected an object of class names to numbers.", where=where) from None
    order = sorted(by_number)
    if (
        not order
        or len(by_number) != len(content)
        or order[0] not in (0, 1)
        or order[-1] - order[0] + 1 != len(order)
    ):
        raise ManifestError(
            f"{len(content)} classes with {len(by_number)} numbers from {min(order, default=0)} to"
            f" {max(order, default=0)}: they must run without gaps from 0 or from 1.",
            where=where,
        )
    return tuple(by_number[number] for number in order)


def _from_json(path: Path) -> tuple[str, ...]:
    content = read_json(path)
    if isinstance(content, dict):
        return numbered(content, path.name)
    if not isinstance(content, list) or not content or not all(isinstance(name, str) for name in content):
        raise ManifestError(
            "expected a list of class names, or an object of names to numbers.", where=path.name
        )
    if len(set(content)) < len(content):
        twice = next(name for name in content if content.count(name) > 1)
        raise ManifestError(f"the class {twice!r} is there twice.", where=path.name)
    return tuple(content)


@dataclass
class Numbers:
    """Class numbers of rows as they are gathered, turned into names once all of them are known.

    Attributes:
        names: the classes in their order, or None where there is no list: classes are then called by their numbers.
        listed: the file of `names`, for messages.
        first: the number of the first class: 0 or 1.
        told: whether `first` was said by the user and not by the format.
    """

    names: Sequence[str] | None
    listed: str
    first: int = 0
    told: bool = False
    _seen: list[tuple[Path, int, list[int]]] = field(default_factory=list)

    def see(self, file: Path, line: int, numbers: list[int]) -> None:
        self._seen.append((file, line, numbers))

    def resolve(self, rows: Gathered) -> tuple[list[str], tuple[str, ...]]:
        """The label of every row seen, `a|b` where it has several, and the classes in order.

        Numbers that no class has are faults. So is a numbering that could begin at 0 as well as at 1: no row has
        the first number, and all would have a class if it began one later.
        """
        used = sorted({number for _, _, numbers in self._seen for number in numbers})
        if self.names is None:
            names = {number: str(number) for number in used}
            return ["|".join(names[n] for n in numbers) for _, _, numbers in self._seen], tuple(
                names.values()
            )
        count, last = len(self.names), self.first + len(self.names) - 1
        beyond = [
            (f, line, n) for f, line, numbers in self._seen for n in numbers if not self.first <= n <= last
        ]
        other = 1 - self.first
        shifted = bool(used) and used[0] >= other and used[-1] <= other + count - 1
        hint = f"counted from {other}, every number has a class: if that is meant, say --first-class {other}"
        for file, line, number in beyond:
            rows.fault(
                file, line, f"class {number}, where {self.listed} has {count} classes ({self.first} to {last}).",
                *([hint] if shifted else []),
            )  # fmt: skip
        if not beyond and shifted and not self.told and self.first not in used and count > 1:
            file, line, _ = self._seen[0]
            rows.fault(
                file, line, f"no row has class {self.first}, so the numbers may run from {self.first} or from {other}.",
                f"{self.listed} has {count} classes; the numbers used run from {used[0]} to {used[-1]}",
                "say which: --first-class 0 or --first-class 1",
            )  # fmt: skip
        table = dict(enumerate(self.names, start=self.first))
        labels = ["|".join(table.get(n, "?") for n in numbers) for _, _, numbers in self._seen]
        return labels, tuple(self.names)


def whole_numbers(words: Sequence[str]) -> list[int] | None:
    """All of the words as whole numbers, or None."""
    try:
        return [int(word) for word in words] if all(word.isascii() for word in words) else None
    except ValueError:
        return None
