"""What two runs on the same samples say of each other: paired differences, and the sentence that follows."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from marey.data.manifest import Manifest
from marey.data.splits import grouping
from marey.errors import CheckpointError, DataError
from marey.metrics.intervals import Resampling, paired_difference


def same_split(runs: Mapping[str, Path]) -> None:
    """Refuse runs that were not trained and judged on the same samples.

    Raises:
        CheckpointError: names the two that differ.
    """
    first: tuple[str, str] | None = None
    for name, run in runs.items():
        text = (run / "split.csv").read_text(encoding="utf-8")
        first = first or (name, text)
        if text != first[1]:
            raise CheckpointError(
                f"{name} and {first[0]} were not trained on the same samples, so they cannot be compared.",
                "the data changed between the two: delete the folder of one and resume",
                where=str(run / "split.csv"),
            )


def hits_of(run: Path) -> dict[int, bool]:
    """Row of the manifest to whether the most probable class is one of its labels, from predictions.csv."""
    path = run / "predictions.csv"
    if not path.is_file():
        raise DataError("there are no predictions to compare with.", where=str(path))
    found = {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        columns = [name for name in rows.fieldnames or () if name.startswith("p:")]
        for row in rows:
            best = max(columns, key=lambda name: float(row[name])).removeprefix("p:")
            found[int(row["id"])] = best == row["label"] or best in row["label"].split("|")
    return found


def against_baseline(
    name: str, run: Path, baseline: str, other: Path, manifest: Manifest, *, seed: int = 0
) -> dict[str, Any]:
    """The paired difference of top-1 on the samples that both judged, its interval over groups, a sentence."""
    ours, theirs = hits_of(run), hits_of(other)
    rows = sorted(ours.keys() & theirs.keys())
    groups = grouping(manifest).ids[rows]
    difference, interval = paired_difference(
        [ours[i] for i in rows], [theirs[i] for i in rows], Resampling.of(len(rows), groups.tolist(), seed=seed)
    )  # fmt: skip
    return {
        "difference": difference,
        "difference_interval": interval.pair(),
        "difference_method": interval.method,
        "samples": len(rows),
        "left_out": len(ours.keys() ^ theirs.keys()),
        "sentence": sentence(name, baseline, difference, interval.pair(), len(rows), len(np.unique(groups))),
    }


def sentence(
    name: str, baseline: str, difference: float, interval: list[float], samples: int, groups: int
) -> str:
    """What follows from a paired difference, and no more."""
    low, high = (f"{100 * x:+.1f}".replace("-", "−") for x in interval)
    where = f"on the same {samples} samples of {groups} groups, 95% interval {low} to {high}"
    points = f"{abs(100 * difference):.1f} points"
    if interval[0] > 0:
        return f"{name} is better than {baseline} by {points} ({where})."
    if interval[1] < 0:
        return f"{name} is worse than {baseline} by {points} ({where})."
    side = "above" if difference > 0 else "below"
    found = f"{points} {side}" if difference else "level with"
    return f"{name} lies {found} {baseline}, which is no difference that these samples can show ({where})."


def conclusion_of(models: Mapping[str, Mapping[str, Any]], baseline: str) -> str:
    """The best contender, and whether it is better than the baseline."""
    best = max(models, key=lambda name: models[name]["top1"])
    said = models[best].get("contest", {}).get("sentence")
    head = f"The highest top-1 of {len(models)} is {best}'s, {100 * models[best]['top1']:.1f}%"
    return f"{head}. {said}" if said else f"{head}: none does better than the baseline."


def training_seconds(run: Path) -> float | None:
    """Seconds that were spent on the steps of all epochs of all folds, resumed or not; None where not recorded."""
    tables = sorted(run.glob("fold-*/results.csv")) or [run / "results.csv"]
    total = 0.0
    for path in tables:
        if not path.is_file():
            return None
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if not row.get("seconds"):
                    return None
                total += float(row["seconds"])
    return total
