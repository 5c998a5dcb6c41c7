"""Videos without labels that a student learns from beside the labelled ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from marey.data.manifest import Manifest
from marey.data.origin import Origin
from marey.errors import CheckpointError, ConfigError
from marey.files import write_text
from marey.jobs.predict import find_videos

LIST = "unlabelled.txt"


def find_unlabelled(manifest: Manifest, folder: str) -> tuple[list[str], int]:
    """The videos below a folder, and how many were left out because the manifest has them: there they may judge.

    Raises:
        UsageError: a folder without videos. ConfigError: none that the manifest has not.
    """
    known = {str(Path(manifest.sample(row).path).resolve()) for row in range(len(manifest))}
    found = [str(Path(path).resolve()) for path in find_videos((folder,))]
    new = [path for path in found if path not in known]
    if not new:
        raise ConfigError("every video there is in the data already.", where=folder)
    return new, len(found) - len(new)


def with_unlabelled(manifest: Manifest, paths: list[str], folder: str) -> Manifest:
    """The manifest with further rows, in the split `train`. They carry the first class's name, since a row has one;
    whoever uses them must know that rows from `len(manifest)` on have no label."""
    rows = {
        name: pa.nulls(len(paths), field.type)
        for name, field in zip(manifest.table.column_names, manifest.table.schema, strict=True)
    }
    rows["path"] = pa.array(paths, manifest.table.schema.field("path").type)
    first = [manifest.class_names[0]] * len(paths)
    rows["label"] = pa.array(first, manifest.table.schema.field("label").type)
    table = pa.concat_tables([manifest.table, pa.table(rows, schema=manifest.table.schema)])
    origin = manifest.origin
    before = np.zeros(len(manifest), dtype=np.int64) if origin.file_of is None else origin.file_of
    files = (*(origin.files or (origin.name,)), folder)
    numbers = np.concatenate([origin.numbers, np.arange(1, len(paths) + 1)])
    file_of = np.concatenate([before, np.full(len(paths), len(files) - 1)])
    unit = "row" if origin.unit == "file" else origin.unit
    return replace(
        manifest, table=table.combine_chunks(), origin=Origin(origin.name, unit, numbers, files, file_of)
    )


def longer_targets(targets: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Targets of the rows that `with_unlabelled` adds, which mean nothing."""
    return np.concatenate([targets, np.zeros((count, *targets.shape[1:]), dtype=np.int64)])


def keep_list(run: Path, paths: list[str], *, resume: bool) -> None:
    """Write the videos' names into the run, or see that it goes on with those that it began with.

    Raises:
        CheckpointError: it would go on with others.
    """
    text = "".join(f"{path}\n" for path in paths)
    file = run / LIST
    if not resume:
        write_text(file, text)
    elif not file.is_file() or file.read_text(encoding="utf-8") != text:
        raise CheckpointError(
            "the unlabelled videos have changed since this run began; going on would mix two trainings.",
            "start a new run, or put the videos back",
            where=str(file),
        )
