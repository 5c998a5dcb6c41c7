"""The one table of samples. Every format reads into it; everything after it knows nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as papq
from numpy.typing import NDArray

from marey.data import rules
from marey.data.layouts.folders import read_folders
from marey.data.layouts.known import read_detected
from marey.data.layouts.raw import RawRows
from marey.data.layouts.table import read_csv, read_parquet
from marey.data.merge import merge_rows
from marey.data.origin import Index, Origin
from marey.errors import ManifestError, UnknownNameError, did_you_mean
from marey.video.packed.names import is_address
from marey.video.packed.remote import refuse_secrets

SPLITS = rules.SPLITS
_FOLDER_MANIFESTS = ("manifest.csv", "manifest.parquet")
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Sample:
    """A row of a manifest: a video or a segment of one, with its labels.

    Attributes:
        id: the row, from 0. It names the sample wherever a number must.
        path: absolute path of the video.
        labels: the names of its classes; one, unless the manifest is multi-label.
        start, end: the segment in seconds on the video's own clock; None is the video's beginning or end.
        split: "train", "val", "test", or None where nothing is split yet.
        group: what must never be split between train and test, or None.
        where: the row's place, for messages: "fight.csv line 14".
    """

    id: int
    path: str
    labels: tuple[str, ...]
    start: float | None = None
    end: float | None = None
    split: str | None = None
    group: str | None = None
    where: str = ""


@dataclass(frozen=True, eq=False)
class Manifest:
    """An Arrow table of samples; a row becomes a `Sample` only when asked for.

    Attributes:
        table: columns `path` (as written: relative to `root`, or absolute), `label` (`|` between several),
            `start`, `end` (float64 seconds or null), `split`, `group` (text or null), then any others.
        root: the folder that relative paths are resolved against.
        class_names: every class, sorted, made once: `select` keeps them, so that indices never shift.
        multi_label: whether a sample may have several labels.
        origin: the place of every row in its source.
        read_as: how a foreign format was understood, to be said aloud: "read as UCF101, split 1: 9,537 train,
            3,783 test"; "" for our own forms.
    """

    table: pa.Table
    root: Path
    class_names: tuple[str, ...]
    multi_label: bool
    origin: Origin
    read_as: str = ""

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        root: str | Path | None = None,
        class_names: Sequence[str] | None = None,
        multi_label: bool | None = None,
        files: bool = True,
    ) -> Manifest:
        """Read a CSV or Parquet file, class folders (`root/class/*`, `root/{train,val,test}/class/*`), or
        whatever layout of others fits a folder or file (`data/layouts/known.py`): exactly one, and `read_as` says it.

        A folder that holds `manifest.csv` or `manifest.parquet` is read from that file. `import_layout` takes the
        options that some formats need.

        Several labels a sample are written `a|b` in one cell, or as several rows with the same path, start
        and end; such rows become one sample with all the labels, and the whole manifest multi-label. Where
        only a few samples (5% or fewer) are like this, and no cell has a `|`, that is more likely a
        contradiction than an intention, and a `DataWarning` names the rows. The same label twice for the
        same sample is an error. `multi_label` settles the question: False refuses several labels, True makes
        a manifest multi-label in which every sample happens to have one.

        Args:
            path: the file or folder.
            root: where relative paths start; by default the manifest's own folder, and in other layouts the one
                folder that holds the videos. For a CSV or Parquet also the address that tars lie at
                (`s3://bucket/pack`).
            class_names: the classes that are allowed; by default those that occur, or the list that a layout has.
                Kept in the order given.
            multi_label: None decides by the rows, as above.
            files: whether to look if every file is on the disk.

        Raises:
            ManifestError: with the file and line of the first fault, and the lines of others like it.
        """
        path = Path(path)
        if path.is_dir():
            inner = [path / name for name in _FOLDER_MANIFESTS if (path / name).is_file()]
            if not inner:
                rows = read_detected(path, None if root is None else Path(root))
                if rows is None:
                    return cls.from_rows(read_folders(path), class_names, multi_label, files=False)
                return cls.from_rows(rows, class_names, multi_label, files)
            path = inner[0]
        if not path.is_file():
            near = (
                did_you_mean(path.name, [p.name for p in path.parent.iterdir()])
                if path.parent.is_dir()
                else ""
            )
            raise ManifestError(
                f"there is no such file or folder.{near}",
                "expected a CSV or Parquet file with path and label, or a folder of class folders",
                where=str(path),
            )
        if path.suffix.lower() not in _PARQUET:
            rows = read_detected(path, None if root is None else Path(root))
            if rows is not None:
                return cls.from_rows(rows, class_names, multi_label, files)
        read = read_parquet if path.suffix.lower() in _PARQUET else read_csv
        if isinstance(root, str) and is_address(root):
            rows = _at_address(read(path, path.parent), root)
            return cls.from_rows(rows, class_names, multi_label, files)
        base = Path(root) if root is not None else path.parent
        return cls.from_rows(read(path, base), class_names, multi_label, files)

    @classmethod
    def from_rows(
        cls,
        rows: RawRows,
        class_names: Sequence[str] | None = None,
        multi_label: bool | None = None,
        files: bool = True,
    ) -> Manifest:
        """Check raw rows of any layout and make the manifest of them; see `read`."""
        origin, root = rows.origin, rows.root.resolve()
        class_names = rows.class_names if class_names is None else class_names
        multi_label = rows.multi_label if multi_label is None else multi_label
        if rows.table.num_rows == 0:
            raise ManifestError("there are no rows.", where=origin.name)
        table = rules.named_columns(rows.table, origin)
        path, label = rules.paths_and_labels(table, origin)
        start = rules.seconds(table, "start", origin, path)
        end = rules.seconds(table, "end", origin, path)
        rules.ordered(start, end, origin, path)
        split = rules.split_names(table["split"], origin, path)
        if class_names is not None:
            rules.known_classes(label, class_names, origin, path)
        else:
            rules.likely_slips(label, origin, path)
        ours = dict(
            zip(rules.COLUMNS, (path, label, start, end, split, rules.text(table["group"])), strict=True)
        )
        for name, column in ours.items():
            table = table.set_column(table.column_names.index(name), name, column)
        table, origin, several = merge_rows(table, origin, multi_label)
        if files:
            rules.files_exist(table["path"], origin, lambda p: _resolve(root, p), rows.hints)
        names = tuple(class_names) if class_names is not None else _class_names(table["label"])
        made = cls(table, root, names, several, origin)
        return replace(made, read_as=f"read as {rows.read_as}: {made._parts()}") if rows.read_as else made

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        kind = "multi-label" if self.multi_label else "single-label"
        splits = f", splits {'/'.join(self.splits)}" if self.splits else ""
        return f"Manifest({self.origin.name}: {len(self)} samples, {len(self.class_names)} classes, {kind}{splits})"

    def _parts(self) -> str:
        counts = [(len(self.indices(name)), name) for name in self.splits] or [(len(self), "samples")]
        return ", ".join(f"{count:,} {name}" for count, name in counts)

    def sample(self, row: int) -> Sample:
        """The sample in a row."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a manifest with {len(self)} rows")
        cell = {name: self.table[name][row].as_py() for name in rules.COLUMNS}
        return Sample(
            id=int(row),
            path=_resolve(self.root, cell["path"]),
            labels=tuple(cell["label"].split("|")),
            start=cell["start"],
            end=cell["end"],
            split=cell["split"],
            group=cell["group"],
            where=self.origin.where(row, cell["path"]),
        )

    def resolve(self, path: str) -> str:
        """A path of the table as it can be opened: absolute, or an address."""
        return _resolve(self.root, path)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that occur, in the order train, val, test; empty where nothing is split."""
        present = set(pc.unique(self.table["split"]).to_pylist())
        return tuple(name for name in SPLITS if name in present)

    def indices(self, split: str | None = None) -> Index:
        """Rows of a split (none of them, if the split does not occur), or all rows."""
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        if split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
        return rules.where_true(pc.equal(self.table["split"], split))

    def targets(self, class_names: Sequence[str] | None = None) -> NDArray[np.int64]:
        """Class index `(N,)` of every row of a single-label manifest.

        Raises:
            ManifestError: a label that `class_names` (by default the manifest's own) does not have.
        """
        assert not self.multi_label, "a multi-label sample has no one index"
        names = tuple(class_names) if class_names is not None else self.class_names
        self.check_classes(names)
        found = pc.index_in(self.table["label"], value_set=pa.array(names, pa.string()))
        return found.to_numpy(zero_copy_only=False).astype(np.int64)

    def check_classes(self, class_names: Sequence[str]) -> None:
        """Raise the `ManifestError` that names the first row whose label is not in `class_names`."""
        rules.known_classes(self.table["label"], tuple(class_names), self.origin, self.table["path"])

    def select(self, rows: Sequence[int] | NDArray[Any]) -> Manifest:
        """These rows alone, in this order; classes stay as they are. A boolean mask is not a list of rows."""
        index = np.asarray(rows)
        assert index.dtype != bool, "give row numbers, not a mask"
        index = index.astype(np.int64)
        return replace(
            self, table=self.table.take(pa.array(index)).combine_chunks(), origin=self.origin.take(index)
        )

    def with_column(self, name: str, values: Sequence[Any] | NDArray[Any] | pa.Array) -> Manifest:
        """The same samples with a column set or replaced. `split` must hold train, val and test alone."""
        column = pa.chunked_array([values if isinstance(values, pa.Array) else pa.array(values)])
        if len(column) != len(self):
            raise ManifestError(
                f"{len(column)} values of {name!r} for {len(self)} samples.", where=self.origin.name
            )
        if name in ("path", "label", "start", "end"):
            raise ManifestError(
                f"{name!r} is what a sample is; read a new manifest instead.", where=self.origin.name
            )
        if name == "split":
            column = rules.split_names(column, self.origin, self.table["path"])
        elif name == "group":
            column = rules.text(column)
        if name in self.table.column_names:
            table = self.table.set_column(self.table.column_names.index(name), name, column)
        else:
            table = self.table.append_column(name, column)
        return replace(self, table=table)

    def write(self, path: str | Path) -> Path:
        """Write CSV, or Parquet where the name ends so. What was there before is replaced in one step.

        Paths stay relative if the file comes to stand in `root`, else become relative to its own folder where
        the videos lie beneath it, and absolute where they do not: the new file always reads back.
        """
        path = Path(path)
        folder = path.parent.resolve()
        table = self.table
        if folder != self.root:
            moved = pa.array([_seen_from(folder, _resolve(self.root, p)) for p in table["path"].to_pylist()])
            table = table.set_column(0, "path", moved)
        unused = [name for name in rules.COLUMNS[2:] if table[name].null_count == len(self)]
        table = table.drop_columns(unused) if unused else table
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        if path.suffix.lower() in _PARQUET:
            papq.write_table(table, part)
        else:
            pacsv.write_csv(table, part, pacsv.WriteOptions(quoting_style="needed"))
        part.replace(path)
        return path

    def counts(self) -> Mapping[str, int]:
        """Samples of each class, in the order of `class_names`; a sample with two labels counts in both."""
        names, _ = rules.each_label(self.table["label"])
        counted = {item["values"]: item["counts"] for item in pc.value_counts(names).to_pylist()}
        return {name: counted.get(name, 0) for name in self.class_names}


def _class_names(label: pa.ChunkedArray) -> tuple[str, ...]:
    names, _ = rules.each_label(label)
    return tuple(sorted(pc.unique(names).to_pylist()))


def _resolve(root: Path, path: str) -> str:
    if "://" in path and is_address(path):
        return path
    return os.path.join(root, path)  # noqa: PTH118  (a string is wanted, a million times)


def _at_address(rows: RawRows, address: str) -> RawRows:
    """The rows with relative paths set behind an address."""
    refuse_secrets(address)
    table = rules.named_columns(rows.table, rows.origin)
    paths = [
        path if not path or is_address(path) or path.startswith("/") else f"{address.rstrip('/')}/{path}"
        for path in table["path"].to_pylist()
    ]
    at = table.column_names.index("path")
    return replace(rows, table=table.set_column(at, "path", pa.array(paths, pa.string())))


def _seen_from(folder: Path, path: str) -> str:
    if is_address(path):
        return path
    target = Path(path)
    return target.relative_to(folder).as_posix() if target.is_relative_to(folder) else path
