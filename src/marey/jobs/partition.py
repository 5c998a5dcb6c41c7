"""Which samples are learnt from and which judge; written into the run, and checked when it goes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marey.data.manifest import Manifest
from marey.data.splits import check_split, folds, grouping, split
from marey.errors import CheckpointError, ConfigError
from marey.training.config import TrainConfig


@dataclass(frozen=True, eq=False)
class Part:
    """One training: rows to learn from, rows to choose and calibrate by, rows to be judged on."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    judged: NDArray[np.int64]
    fold: int = 0


def parts_of(manifest: Manifest, config: TrainConfig) -> tuple[Manifest, list[Part], str]:
    """Which rows are learnt from and which judge: folds, the manifest's own split, or a grouped one made here."""
    none = np.empty(0, dtype=np.int64)
    if config.folds:
        pairs = folds(manifest, config.folds, config.seed)
        parts = [Part(np.asarray(t), np.asarray(v), np.asarray(v), k + 1) for k, (t, v) in enumerate(pairs)]
        return manifest, parts, f"{grouping(manifest).rule}, {config.folds} folds, pooled"
    if manifest.splits:
        kept = check_split(manifest)
        rule = f"the manifest's own split, {kept.rule}"
    else:
        manifest = split(
            manifest, {"train": 1 - config.val_fraction, "val": config.val_fraction}, seed=config.seed
        )
        rule = f"a split made here, {grouping(manifest).rule}, seed {config.seed}"
    rows = {
        name: manifest.indices(name) if name in manifest.splits else none for name in ("train", "val", "test")
    }
    if not len(rows["train"]):
        raise ConfigError("no row of the manifest has split 'train'.", where=config.data)
    judged = rows["test"] if len(rows["test"]) else rows["val"]
    if not len(judged):
        raise ConfigError(
            "there is nothing to judge by: no row has split 'val' or 'test'.",
            "give some rows that split, or take the split column out, or use --folds",
            where=config.data,
        )
    if config.early_stop and not len(rows["val"]):
        raise ConfigError("--early-stop needs rows with split 'val'.", where=config.data)
    return manifest, [Part(rows["train"], rows["val"], judged)], rule


def split_text(manifest: Manifest, parts: Sequence[Part]) -> str:
    side = {}
    for part in parts:
        for row in part.judged:
            side[int(row)] = f"fold-{part.fold}" if part.fold else ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "path", "start", "end", "label", "group", "split"))
    for row in range(len(manifest)):
        s = manifest.sample(row)
        times = ("" if t is None else f"{t:.3f}" for t in (s.start, s.end))
        writer.writerow(
            (row, s.path, *times, "|".join(s.labels), s.group or "", side.get(row) or s.split or "")
        )
    return text.getvalue()


def check_same_split(path: Path, manifest: Manifest, parts: Sequence[Part]) -> None:
    """A run goes on with the samples it began with, or not at all."""
    if not path.is_file():
        raise CheckpointError("this run has no split.csv, so it never began.", where=str(path.parent))
    before, now = path.read_text(encoding="utf-8").splitlines(), split_text(manifest, parts).splitlines()
    if before != now:
        at = next(
            (i for i, (a, b) in enumerate(zip(before, now, strict=False)) if a != b),
            min(len(before), len(now)),
        )
        raise CheckpointError(
            "the data has changed since this run began; going on would mix two trainings.",
            f"then: {before[at] if at < len(before) else '(no such row)'}",
            f"now:  {now[at] if at < len(now) else '(no such row)'}",
            "start a new run, or put the data back",
            where=f"{path} line {at + 1}",
        )
