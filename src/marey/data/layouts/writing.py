"""Writing a manifest in somebody else's format: what the format cannot say is refused, or counted and said."""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marey.data.layouts.layout import How
from marey.data.origin import DataWarning
from marey.errors import ConfigError, ManifestError
from marey.files import write_text

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

_OURS = ("path", "label", "start", "end", "split", "group")


class Outgoing:
    """The rows of a manifest as a writer wants them.

    Args:
        manifest: what to write.
        how: `root` is the folder that paths are written from; by default the manifest's own root.
        title: the format, for messages.
        segments: whether it can hold stretches of a video.
        several: whether a sample can have several labels.
        splits: the splits that it can hold; () where it has none.
        needs_split: whether every row must have one.
        group: whether groups survive, by the format's own rule.
        more: further columns that it holds.

    Raises:
        ManifestError: a row that the format cannot say, with its place.
    """

    def __init__(
        self,
        manifest: Manifest,
        how: How,
        title: str,
        *,
        segments: bool = False,
        several: bool = False,
        splits: Sequence[str] = (),
        needs_split: bool = False,
        group: bool = False,
        more: Sequence[str] = (),
    ) -> None:
        self.manifest, self.title = manifest, title
        self.class_names = manifest.class_names
        self.root = Path(how.root or manifest.root).resolve()
        columns = {name: manifest.table[name].to_pylist() for name in manifest.table.column_names}
        if manifest.multi_label and not several:
            self._refuse(0, "samples have several labels, and this format holds one each.")
        for row, (start, end) in enumerate(zip(columns["start"], columns["end"], strict=True)):
            if not segments and (start is not None or end is not None):
                self._refuse(
                    row, "the sample is a stretch of its video, and this format holds whole videos alone."
                )
        for row, split in enumerate(columns["split"]):
            if split is None and needs_split:
                self._refuse(
                    row, "no split, and this format is made of splits.", "make one: marey data split"
                )
            if split is not None and splits and split not in splits:
                self._refuse(row, f"the split {split!r} has no place in this format ({', '.join(splits)}).")
        lost = [n for n in manifest.table.column_names if n not in (*_OURS, *more)]
        lost += ["split"] if not splits and any(s is not None for s in columns["split"]) else []
        lost += ["group"] if not group and any(g is not None for g in columns["group"]) else []
        if lost:
            warnings.warn(
                f"{title} has no place for {', '.join(map(repr, lost))}: not written.",
                DataWarning,
                stacklevel=5,
            )
        self.columns = columns
        self.columns["path"] = [self._seen(row, path) for row, path in enumerate(columns["path"])]

    def rows(self) -> list[dict[str, Any]]:
        names = list(self.columns)
        rows = [dict(zip(names, cells, strict=True)) for cells in zip(*self.columns.values(), strict=True)]
        for number, row in enumerate(rows):
            row["row"] = number
        return rows

    def by_split(self) -> dict[str | None, list[dict[str, Any]]]:
        parts: dict[str | None, list[dict[str, Any]]] = {}
        for row in self.rows():
            parts.setdefault(row["split"], []).append(row)
        return parts

    def by_video(self) -> dict[str, list[dict[str, Any]]]:
        videos: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows():
            videos.setdefault(row["path"], []).append(row)
        return videos

    def numbers(self, label: str, first: int = 0) -> list[int]:
        """Class numbers of a row's labels."""
        return [self.class_names.index(name) + first for name in label.split("|")]

    def refuse_spaces(self) -> None:
        """Where cells are told apart by spaces, a path with one would be read as two."""
        for row, path in enumerate(self.columns["path"]):
            if any(letter.isspace() for letter in path):
                self._refuse(row, f"{path!r} has a space, at which readers of this format would cut it.")

    def refuse(self, row: Mapping[str, Any], what: str, *details: str) -> None:
        self._refuse(row["row"], what, *details)

    def _refuse(self, row: int, what: str, *details: str) -> None:
        sample = self.manifest.sample(row)
        raise ManifestError(f"cannot be written as {self.title}: {what}", *details, where=sample.where)

    def _seen(self, row: int, path: str) -> str:
        whole = Path(os.path.normpath(self.manifest.root / path))
        if not whole.is_relative_to(self.root):
            self._refuse(
                row, f"{str(whole)!r} lies outside {str(self.root)!r}.", "say where the videos are: --root"
            )
        return whole.relative_to(self.root).as_posix()


def put(path: Path, text: str) -> Path:
    """Write a new file; one that is there is never written over.

    Raises:
        ConfigError: it is there already.
    """
    if path.exists():
        raise ConfigError(
            "this file is there already; nothing was written over.", "name another one", where=str(path)
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path


def put_lines(path: Path, lines: Iterable[str]) -> Path:
    return put(path, "".join(line + "\n" for line in lines))


def put_csv(path: Path, rows: Iterable[Sequence[Any]], delimiter: str = ",") -> Path:
    """A CSV file; cells are quoted where they must be, None is an empty cell."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return put(path, text.getvalue())
