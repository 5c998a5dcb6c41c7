"""JSON whose members know their line, and in which a key that stands twice is found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marey.data.layouts.textfile import read_text
from marey.errors import ManifestError

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Member:
    """One element of a list or entry of an object: its key (or index), its value, and the line it begins on."""

    key: str
    value: Any
    line: int


class JsonFile:
    """A JSON file; `members("database")` goes through what the object under that key holds.

    Raises:
        ManifestError: what is not JSON, with its line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = read_text(path)
        try:
            self.value = json.loads(self.text, parse_constant=self._no_number)
        except json.JSONDecodeError as error:
            raise ManifestError(
                f"not readable as JSON: {error.msg}.", where=f"{path.name} line {error.lineno}"
            ) from None
        except RecursionError:
            raise ManifestError("not readable as JSON: nested too deeply.", where=path.name) from None

    def members(self, *keys: str) -> list[Member]:
        """The elements of the list or object that is reached by these keys.

        Raises:
            ManifestError: it is neither, or a key stands in it twice.
        """
        start = self._skip(0)
        for key in keys:
            start = next((at for name, at, _ in self._walk(start) if name == key), -1)
            if start < 0:
                raise ManifestError(f"there is no {key!r}.", where=self.path.name)
        if self.text[start] not in "[{":
            raise ManifestError(
                f"{'.'.join(keys) or 'the file'} is neither a list nor an object.",
                where=f"{self.path.name} line {self._line(start)}",
            )
        found: list[Member] = []
        line, counted = 1, 0
        seen: dict[str, int] = {}
        for key, at, value in self._walk(start):
            line, counted = line + self.text.count("\n", counted, at), at
            if key in seen:
                raise ManifestError(
                    f"{key!r} stands in line {seen[key]} already; JSON readers would drop one of the two.",
                    where=f"{self.path.name} line {line}",
                )
            seen[key] = line
            found.append(Member(key, value, line))
        return found

    def _walk(self, start: int) -> Iterator[tuple[str, int, Any]]:
        """Key, place of the value, and value, of each member of the container that opens at `start`."""
        text = self.text
        is_object = text[start] == "{"
        at = self._skip(start + 1)
        number = 0
        while text[at] not in "]}":
            if is_object:
                key, at = _DECODER.raw_decode(text, at)
                at = self._skip(self._skip(at) + 1)  # the colon
            else:
                key, number = str(number), number + 1
            value, end = _DECODER.raw_decode(text, at)
            yield key, at, value
            at = self._skip(end)
            if text[at] == ",":
                at = self._skip(at + 1)

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        assert match is not None
        return match.end()

    def _line(self, at: int) -> int:
        return self.text.count("\n", 0, at) + 1

    def _no_number(self, word: str) -> float:
        at = self.text.find(word)
        raise ManifestError(f"{word} is no number in JSON.", where=f"{self.path.name} line {self._line(at)}")
