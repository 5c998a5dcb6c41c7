"""What a split must keep together, where no column says so: from paths, from another column, or from the footage;
and how much a split that keeps nothing together would flatter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from marey.data.check.check import rows_by_file
from marey.data.check.kept import look_at_all
from marey.data.duplicates import appearance, clusters, find_copies
from marey.data.manifest import Manifest
from marey.data.origin import Index
from marey.data.rules import COLUMNS, refuse
from marey.data.sharing import share_out
from marey.data.splits import grouping, label_counts
from marey.errors import ConfigError, SplitError, UnknownNameError
from marey.types import UInt8Array

AUTO, NONE = "auto", "none"
_DRAWS = 10


def grouped_from(
    manifest: Manifest,
    how: str,
    *,
    folder: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """The manifest with its `group` column made anew.

    Args:
        manifest: any manifest.
        how: the name of a column; or a regular expression with one group, which is searched in the path as the
            manifest writes it (`"(g[0-9]+)_c"`); or "auto": videos of the same footage are one group, and tie
            together the groups that are there already.
        folder: for "auto", where what was seen of each file is kept: the folder of `check_data`.
        progress: for "auto", called with (files done, files in all).

    Raises:
        ManifestError: a path in which the expression is not found.
        UnknownNameError: neither a column nor an expression with a group.
    """
    if how == AUTO:
        assert folder is not None, "auto looks at files, and keeps what it saw"
        return _by_footage(manifest, fingerprints(manifest, folder, progress=progress))
    if how in manifest.table.column_names and how not in ("label", "start", "end", "split"):
        return manifest.with_column("group", manifest.table[how].cast(pa.string()).combine_chunks())
    try:
        pattern = re.compile(how)
    except re.error as error:
        raise ConfigError(f"{how!r} is neither a column nor a regular expression: {error}.") from error
    if pattern.groups != 1:
        known = [AUTO, *(name for name in manifest.table.column_names if name not in COLUMNS[1:5])]
        raise UnknownNameError(
            "column", how, known, 'or give a regular expression with one group in brackets: "(g[0-9]+)_c"'
        )
    paths = manifest.table["path"].to_pylist()
    found = [pattern.search(path) for path in paths]
    bad = [row for row, match in enumerate(found) if match is None or not match.group(1)]
    if bad:
        raise refuse(
            manifest.origin, bad, manifest.table["path"], f"{how!r} finds no group in {paths[bad[0]]!r}.",
            "every path must hold one; widen the expression",
        )  # fmt: skip
    return manifest.with_column("group", [match.group(1) for match in found if match is not None])


def fingerprints(
    manifest: Manifest, folder: str | Path, *, progress: Callable[[int, int], None] | None = None
) -> dict[str, UInt8Array]:
    """The fingerprint of every file that has one, by its absolute path; files that cannot be read have none."""
    looked = look_at_all(list(rows_by_file(manifest)), Path(folder) / "seen", progress=progress)
    return {path: seen.pictures for path, (_, seen) in looked.items() if len(seen.pictures)}


@dataclass(frozen=True)
class Leak:
    """What a random split of grouped data would do; means over ten draws.

    Attributes:
        shared: the share of held-out samples whose group, or whose footage, is in train too.
        nearest_random, nearest_grouped: the accuracy on held-out samples of taking the label of the train sample
            whose fingerprint is nearest, split at random and by group. It has learnt nothing: what it gains by
            the random split is recognition alone. None where samples have several labels or no fingerprints.
        rule: what would be parted: "by group (18 groups)".
    """

    shared: float
    nearest_random: float | None
    nearest_grouped: float | None
    rule: str

    def __str__(self) -> str:
        text = (
            f"a random split would put the group of {self.shared:.0%} of the held-out samples into train too"
        )
        if self.nearest_random is not None and self.nearest_grouped is not None:
            text += (
                f"; naming each by the train sample that looks most like it is then right in {self.nearest_random:.0%},"
                f" and in {self.nearest_grouped:.0%} where groups are kept whole"
            )
        return text + "."


def random_leak(
    manifest: Manifest, shares: Mapping[str, float], seed: int, prints: Mapping[str, UInt8Array]
) -> Leak | None:
    """How a random split would flatter; None where it parts nothing that belongs together."""
    grouped = _by_footage(manifest, prints)
    groups = grouping(grouped)
    if len(groups) == len(manifest):
        return None
    wanted = np.array(list(shares.values()))
    names = list(shares)
    counts = label_counts(manifest)
    near = _likeness(manifest, prints)
    shared, accuracy = [], {"random": [0.0][:0], "grouped": [0.0][:0]}
    for draw in range(_DRAWS):
        for way, ids in (("random", np.arange(len(manifest))), ("grouped", groups.ids)):
            part = share_out(ids, counts, wanted, seed + draw, manifest.origin.name)
            train = part == (names.index("train") if "train" in names else 0)
            if way == "random":
                shared.append(float(np.isin(groups.ids[~train], groups.ids[train]).mean()))
            if near is not None:
                nearest = np.flatnonzero(train)[near[np.ix_(~train, train)].argmax(axis=1)]
                labels = manifest.targets()
                accuracy[way].append(float((labels[nearest] == labels[~train]).mean()))
    means = {way: float(np.mean(values)) if values else None for way, values in accuracy.items()}
    return Leak(float(np.mean(shared)), means["random"], means["grouped"], groups.rule)


def refuse_random(
    manifest: Manifest, shares: Mapping[str, float], seed: int, prints: Mapping[str, UInt8Array]
) -> None:
    """Raise the `SplitError` that says how much a random split of grouped data would inflate."""
    leak = random_leak(manifest, shares, seed, prints)
    if leak is not None:
        raise SplitError(
            str(leak),
            f"figures are means over {_DRAWS} draws with these shares; samples belong together {leak.rule}",
            "leave --group-from away to split by the groups that are there, or find them: --group-from auto",
            where=manifest.origin.name,
        )


def _by_footage(manifest: Manifest, prints: Mapping[str, UInt8Array]) -> Manifest:
    """Groups of the same footage, tied together with those that the manifest has."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    files = rows_by_file(manifest)
    names = [path for path in files if path in prints]
    number = {path: n for n, path in enumerate(files)}
    pairs = find_copies(np.stack([prints[path] for path in names])) if len(names) > 1 else []
    footage = clusters(len(names), pairs)
    before = grouping(manifest)
    cluster = np.arange(len(files)) + len(names)  # a file without a fingerprint is like no other
    cluster[[number[path] for path in names]] = footage
    of_row = np.empty(len(manifest), np.int64)
    for n, rows in enumerate(files.values()):
        of_row[rows] = cluster[n]
    size = len(before) + len(names) + len(files)
    ties = coo_matrix((np.ones(len(of_row)), (before.ids, len(before) + of_row)), shape=(size, size))
    _, parts = connected_components(ties, directed=False)
    here = parts[before.ids]
    first: dict[int, int] = {}
    for row, part in enumerate(here.tolist()):
        first.setdefault(part, row)
    return manifest.with_column("group", [before.names[before.ids[first[part]]] for part in here.tolist()])


def _likeness(manifest: Manifest, prints: Mapping[str, UInt8Array]) -> np.ndarray | None:
    """How alike any two samples look, `(N, N)`; None where labels are several or a file has no fingerprint."""
    files = rows_by_file(manifest)
    if manifest.multi_label or any(path not in prints for path in files) or len(manifest) > 20_000:
        return None
    of_row: Index = np.empty(len(manifest), np.int64)
    for n, rows in enumerate(files.values()):
        of_row[rows] = n
    looks = appearance(np.stack([prints[path] for path in files]))[of_row]
    return looks @ looks.T
