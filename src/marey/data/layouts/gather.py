"""Gathering rows from annotation files: every row with its file and line, every fault kept until all are found."""

from __future__ import annotations

import itertools
import math
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from marey.data.layouts.layout import How, Source
from marey.data.layouts.raw import RawRows
from marey.data.origin import DataWarning, Origin
from marey.errors import ManifestError

_TOLD = 8
_TRIED = 100
_FOLDERS = 400
_COLUMNS = ("path", "label", "start", "end", "split", "group")


class Gathered:
    """Rows as they are found. `done` raises for the faults, or gives the `RawRows`."""

    def __init__(self, source: Source, how: How) -> None:
        self.source, self.how = source, how
        self._cells: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        self._lines: list[int] = []
        self._files: list[Path] = []
        self._faults: list[tuple[str, str, tuple[str, ...]]] = []

    def __len__(self) -> int:
        return len(self._lines)

    def name(self, file: Path) -> str:
        """A file as messages call it: from the folder that was given."""
        return (
            file.relative_to(self.source.folder).as_posix()
            if file.is_relative_to(self.source.folder)
            else file.name
        )

    def fault(self, file: Path, line: int, what: str, *details: str) -> None:
        """Keep a fault; reading goes on, so that all of them are told at once."""
        self._faults.append((f"{self.name(file)} line {line}", what, details))

    def add(
        self,
        file: Path,
        line: int,
        path: str,
        label: str,
        *,
        start: float | None = None,
        end: float | None = None,
        split: str | None = None,
        group: str | None = None,
        **more: str | None,
    ) -> None:
        """A row; a path that leads out of the videos' folder and times that cannot be are faults."""
        if not self.allowed(file, line, path):
            return None
        if start is not None and start < 0:
            return self.fault(file, line, f"the segment starts at {start:g} s; times cannot be negative.")
        if end is not None and end <= (start or 0.0):
            kind = "empty" if end == (start or 0.0) else "reversed"
            return self.fault(file, line, f"the segment from {start or 0:g} s to {end:g} s is {kind}.")
        if "|" in label:
            return self.fault(
                file, line, f"the class {label!r} holds a '|', which separates classes in a manifest.",
                "name the class without it",
            )  # fmt: skip
        values = {
            "path": path,
            "label": label,
            "start": start,
            "end": end,
            "split": split,
            "group": group,
            **more,
        }
        for name in values:
            if name not in self._cells:
                self._cells[name] = [None] * len(self)
        for name, column in self._cells.items():
            column.append(values.get(name))
        self._lines.append(line)
        self._files.append(file)
        return None

    def number(self, file: Path, line: int, cell: str | float | None, what: str) -> float | None:
        """A number, written as one or as text; None and a fault where it is none."""
        try:
            value = math.nan if isinstance(cell, bool) or cell is None else float(cell)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            self.fault(file, line, f"{what} is {cell!r}, which is no number.")
            return None
        return value

    def raise_faults(self) -> None:
        if not self._faults:
            return
        (where, what, details), *rest = self._faults
        told = [f"{at}: {sentence}" for at, sentence, _ in rest[:_TOLD]]
        if len(rest) > _TOLD:
            told.append(f"… {len(self._faults)} faults in all")
        raise ManifestError(what, *details, *told, where=where)

    def done(
        self,
        read_as: str,
        *,
        class_names: Sequence[str] | None = None,
        multi_label: bool | None = None,
        root: Path | None = None,
    ) -> RawRows:
        """The rows; `root` is the videos' folder where the caller has found it already.

        A group that the format's own split has on both sides cannot be what its makers kept apart: then no group
        is set, so that each video is one, and this is said.

        Raises:
            ManifestError: the first fault, and the others below it.
        """
        self.raise_faults()
        self._say_overlaps()
        self._drop_crossing_groups()
        root = root or videos_folder(self.source, self.how, self._cells["path"])
        types = {"start": pa.float64(), "end": pa.float64()}
        table = pa.table({n: pa.array(c, types.get(n, pa.string())) for n, c in self._cells.items()})
        order = list(dict.fromkeys(self._files))
        number = {file: i for i, file in enumerate(order)}
        origin = Origin(
            str(self.source.path) if len(order) != 1 else self.name(order[0]),
            "line",
            np.asarray(self._lines, dtype=np.int64),
            tuple(self.name(file) for file in order),
            np.asarray([number[file] for file in self._files], dtype=np.int64),
        )
        hints = (
            "say where the videos are: --root FOLDER; or leave out what is missing: marey data import --missing skip",
        )
        return RawRows(
            table,
            origin,
            root,
            None if class_names is None else tuple(class_names),
            multi_label,
            read_as,
            hints,
        )

    def _drop_crossing_groups(self) -> None:
        sides: dict[str, set[str]] = {}
        for group, split in zip(self._cells["group"], self._cells["split"], strict=True):
            if group is not None and split is not None:
                sides.setdefault(group, set()).add(split)
        crossing = sorted(group for group, splits in sides.items() if len(splits) > 1)
        if crossing:
            self._cells["group"] = [None] * len(self)
            warnings.warn(
                f"{self.source.path}: the official split has {len(crossing)} of {len(sides)} groups on both sides (the"
                f" first is {crossing[0]!r}), so that groups are left out: each video is one.",
                DataWarning,
                stacklevel=4,
            )

    def _say_overlaps(self) -> None:
        """Two segments of one class that overlap in one video are probably one that was marked twice."""
        spans: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
        for row, (path, label, start, end) in enumerate(
            zip(*(self._cells[name] for name in ("path", "label", "start", "end")), strict=True)
        ):
            if start is not None or end is not None:
                spans.setdefault((path, label), []).append(
                    (start or 0.0, math.inf if end is None else end, row)
                )
        both = []
        for here in spans.values():
            here.sort()
            for (_, end, one), (start, other_end, two) in itertools.pairwise(here):
                if start < end - 1e-6 and (start, other_end) != here[0][:2]:
                    both.append((min(one, two), max(one, two)))
        if both:
            one, two = min(both)
            at = f"{self.name(self._files[two])} line {self._lines[two]}"
            warnings.warn(
                f"{at}: the segment overlaps another of the same class ({self._cells['label'][two]!r}) in line"
                f" {self._lines[one]}. {len(both)} of {len(self)} are like this; all are kept as they are.",
                DataWarning,
                stacklevel=4,
            )

    def allowed(self, file: Path, line: int, path: str) -> bool:
        """Whether a path stays in the folder of the videos and is written with '/'; a fault where not."""
        if "\\" in path or re.match(r"[A-Za-z]:/", path):
            self.fault(
                file, line, f"{path!r} is a path as Windows writes it.",
                "write paths with '/', from the folder of the videos: sed -i 's#\\\\#/#g' FILE",
            )  # fmt: skip
            return False
        if leaves(path) and not self.how.outside:
            # an absolute path that points into the folder of the videos is no harm
            if os.path.isabs(path) and self.how.root and Path(path).is_relative_to(self.how.root.resolve()):  # noqa: PTH117
                return True
            self.fault(
                file, line, f"{path!r} leads out of the folder of the videos.",
                "allow it with --outside, if the file can be trusted",
            )  # fmt: skip
            return False
        return True


def leaves(path: str) -> bool:
    """Whether a path is absolute or climbs above the folder it starts from."""
    normal = os.path.normpath(path)
    return os.path.isabs(path) or normal == ".." or normal.startswith("../")  # noqa: PTH117


def videos_folder(source: Source, how: How, paths: Iterable[str]) -> Path:
    """The folder from which the paths lead to files: the one given, the annotations', or the only one in it.

    Raises:
        ManifestError: several folders would do.
    """
    if how.root is not None:
        return how.root
    unique = list(dict.fromkeys(paths))
    tried = unique[:: max(1, len(unique) // _TRIED)]
    folder = source.folder
    if any((folder / path).exists() for path in tried):
        return folder
    below = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(below) > _FOLDERS:
        return folder
    fitting = [inner for inner in below if any((inner / path).exists() for path in tried)]
    if len(fitting) > 1:
        raise ManifestError(
            f"the videos could be those in {' or in '.join(repr(f.name) for f in fitting)}.",
            "say which: --root FOLDER",
            where=str(folder),
        )
    return fitting[0] if fitting else folder
