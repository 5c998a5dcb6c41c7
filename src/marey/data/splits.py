"""Splits that do not leak: grouped, stratified, and checked.

A group (the source recording, the person, the camera) is never on both sides. Samples without a group are
grouped by their video file, so that two segments of one video are never parted either. A file that holds
segments of several groups ties these groups together.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from marey.data.manifest import SPLITS, Manifest
from marey.data.origin import DataWarning, Index
from marey.data.rules import each_label
from marey.data.sharing import FloatMatrix, share_out
from marey.errors import ConfigError, SplitError, UnknownNameError


@dataclass(frozen=True, eq=False)
class Grouping:
    """What must stay together.

    Attributes:
        ids: int64 `(N,)`, the group of every sample, from 0.
        names: the name of each group: that of the manifest, or the path of the video.
        rule: one phrase for protocols: "by group (18 groups)" or "by video file (69 files; no groups given)".
    """

    ids: Index
    names: tuple[str, ...]
    rule: str

    def __len__(self) -> int:
        return len(self.names)


def grouping(manifest: Manifest) -> Grouping:
    """The groups of a manifest; the module says how they are made."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    path = _one_spelling(manifest)
    group = manifest.table["group"]
    paths, path_of = _codes(path)
    named = pc.is_valid(group).to_numpy(zero_copy_only=False)
    if not named.any():
        return Grouping(
            path_of, tuple(paths), f"by video file ({_count(len(paths), 'file')}; no groups given)"
        )
    groups, group_of = _codes(pc.drop_null(group))
    size = len(paths) + len(groups)
    ties = coo_matrix(
        (np.ones(int(named.sum())), (path_of[named], len(paths) + group_of)), shape=(size, size)
    )
    _, parts = connected_components(ties, directed=False)
    # numbered by first appearance: no part is without a sample, as every path has one
    seen, first, ids = np.unique(parts[path_of], return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    ids = order[ids].astype(np.int64)
    names = [""] * len(seen)
    cells = group.to_pylist() if len(manifest) else []
    for row in np.sort(first):
        names[ids[row]] = cells[row] if cells[row] is not None else path[int(row)].as_py()
    rule = f"by group ({_count(len(names), 'group')})"
    if not named.all():
        rule = f"by group, {_count(int((~named).sum()), 'sample')} without one by video file ({len(names)} in all)"
    return Grouping(ids, tuple(names), rule)


def check_split(manifest: Manifest) -> Grouping:
    """Look whether the split column leaks; returns the grouping that it keeps.

    Raises:
        SplitError: nothing is split, or a group or a video file stands on both sides.
    """
    if not manifest.splits:
        raise SplitError("no row has a split.", "make one with: marey data split", where=manifest.origin.name)
    for column, values in (("group", manifest.table["group"]), ("video file", _one_spelling(manifest))):
        pairs = pa.table({"of": values, "split": manifest.table["split"], "row": np.arange(len(manifest))})
        sides = pairs.filter(pc.is_valid(pairs["of"])).group_by(["of", "split"], use_threads=False)
        rows = sides.aggregate([("row", "min"), ("row", "count")]).sort_by("row_min")
        both = rows.group_by("of", use_threads=False).aggregate([("split", "count")])
        both = both.filter(pc.greater(both["split_count"], 1))["of"].to_pylist()
        if both:
            here = rows.filter(pc.equal(rows["of"], both[0])).to_pylist()
            told = [
                f"{side['split']}: {_count(side['row_count'], 'sample')}, the first is "
                + manifest.origin.where(side["row_min"], manifest.table["path"][side["row_min"]].as_py())
                for side in here
            ]
            raise SplitError(
                f"{column} {both[0]!r} is on both sides: in {' and '.join(s['split'] for s in here)}.",
                *told,
                *([f"{len(both)} {column}s are like this"] if len(both) > 1 else []),
                "numbers from such a split say how well the model remembers, not how well it generalises",
                where=manifest.origin.name,
            )
    return grouping(manifest)


def split(
    manifest: Manifest, fractions: Mapping[str, float], seed: int = 0, *, replace: bool = False
) -> Manifest:
    """Give every sample a split; groups stay whole and each class is shared out as nearly as groups allow.

    Args:
        manifest: any manifest.
        fractions: the share of samples wanted in each split: `{"train": 0.7, "val": 0.15, "test": 0.15}`.
        seed: another seed is another split; the same seed gives the same one.
        replace: whether a split that is there already may be thrown away.

    Raises:
        ConfigError: fractions that do not sum to 1.
        SplitError: split already, or fewer groups than splits.
    """
    for name in fractions:
        if name not in SPLITS:
            raise UnknownNameError("split", name, SPLITS)
    shares = np.array(list(fractions.values()), dtype=np.float64)
    if len(shares) < 2 or not np.all(shares > 0) or abs(shares.sum() - 1) > 1e-6:
        raise ConfigError(f"fractions must be two or more, above 0, and sum to 1; got {dict(fractions)}.")
    if manifest.splits and not replace:
        raise SplitError(
            f"the rows are split already ({', '.join(manifest.splits)}).",
            "an official split is worth more than a new one; ask for replacement if it must go",
            where=manifest.origin.name,
        )
    groups = grouping(manifest)
    part = share_out(groups.ids, label_counts(manifest), shares, seed, manifest.origin.name)
    names = list(fractions)
    made = manifest.with_column("split", [names[p] for p in part])
    _say_absent(made, part, names)
    return made


def folds(
    manifest: Manifest, k: int, seed: int = 0, *, rows: Sequence[int] | NDArray[np.int64] | None = None
) -> list[tuple[Index, Index]]:
    """`k` pairs of (train rows, val rows): grouped, stratified cross-validation. Each row is in val once.

    Single-label manifests are dealt by scikit-learn's `StratifiedGroupKFold`; multi-label ones, which it does
    not take, by the rule of `split` with k equal shares, which balances every label at once.

    Args:
        manifest: any manifest; its split column plays no part.
        k: number of folds, at least 2.
        seed: another seed is another deal.
        rows: the rows to deal out, by default all. Returned rows are those of `manifest` all the same.

    Raises:
        ConfigError: k below 2.
        SplitError: fewer groups than folds, or a deal that leaves a fold empty.
    """
    if k < 2:
        raise ConfigError(f"{k} folds were asked for; the least is 2.")
    chosen = manifest.indices() if rows is None else np.asarray(rows, dtype=np.int64)
    part_of = manifest if rows is None else manifest.select(chosen)
    groups = grouping(part_of)
    _enough(groups, k, "folds", manifest.origin.name)
    groups_of = _groups_of_each(part_of, groups)
    if manifest.multi_label or min(groups_of.values()) < k:
        # with a class in fewer groups than folds scikit-learn may leave a fold empty
        part = share_out(groups.ids, label_counts(part_of), np.full(k, 1 / k), seed, manifest.origin.name)
    else:
        from sklearn.model_selection import StratifiedGroupKFold

        dealer = StratifiedGroupKFold(n_splits=k, shuffle=True, random_state=seed)
        part = np.empty(len(part_of), dtype=np.int64)
        for number, (_, val) in enumerate(
            dealer.split(np.zeros(len(part_of)), part_of.targets(), groups.ids)
        ):
            part[val] = number
    empty = [number for number in range(k) if not np.any(part == number)]
    if empty:
        raise SplitError(f"{len(empty)} of {k} folds would be empty.", "ask for fewer folds")
    _say_scarce(part_of, groups_of, k)
    return [(chosen[part != number], chosen[part == number]) for number in range(k)]


def label_counts(manifest: Manifest) -> FloatMatrix:
    """`(N, K)`: 1 where the sample has the label."""
    names, rows = each_label(manifest.table["label"])
    column = pc.index_in(names, value_set=pa.array(manifest.class_names, pa.string()))
    counts = np.zeros((len(manifest), len(manifest.class_names)))
    counts[rows, column.to_numpy(zero_copy_only=False)] = 1
    return counts[:, counts.any(axis=0)]


def _groups_of_each(manifest: Manifest, groups: Grouping) -> dict[str, int]:
    """In how many groups each class occurs that occurs at all."""
    names, rows = each_label(manifest.table["label"])
    pairs = pa.table({"label": names, "group": groups.ids[rows]})
    counted = pairs.group_by("label", use_threads=False).aggregate([("group", "count_distinct")])
    return {item["label"]: item["group_count_distinct"] for item in counted.sort_by("label").to_pylist()}


def _say_absent(manifest: Manifest, part: Index, names: list[str]) -> None:
    counts = label_counts(manifest)
    classes = [name for name, count in manifest.counts().items() if count]
    gaps = [
        f"{classes[c]!r} in {names[p]}"
        for p in range(len(names))
        for c in np.flatnonzero(counts[part == p].sum(axis=0) == 0)
    ]
    if gaps:
        more = f" and {len(gaps) - 5} more" if len(gaps) > 5 else ""
        warnings.warn(
            f"{manifest.origin.name}: groups are too few to have every class everywhere; there is no "
            f"{', '.join(gaps[:5])}{more}.",
            DataWarning,
            stacklevel=3,
        )


def _say_scarce(manifest: Manifest, groups_of: Mapping[str, int], k: int) -> None:
    scarce = [f"{name!r} in {_count(n, 'group')}" for name, n in groups_of.items() if n < k]
    if scarce:
        more = f" and {len(scarce) - 5} more" if len(scarce) > 5 else ""
        warnings.warn(
            f"{manifest.origin.name}: some classes lie in fewer groups than the {k} folds, so some folds judge none "
            f"of them: {', '.join(scarce[:5])}{more}.",
            DataWarning,
            stacklevel=3,
        )


def _enough(groups: Grouping, k: int, parts: str, where: str) -> None:
    if len(groups) < k:
        raise SplitError(
            f"{_count(len(groups), 'group')} cannot make {k} {parts}.",
            f"samples are kept together {groups.rule}; ask for {len(groups)} {parts} or fewer",
            where=where,
        )


def _one_spelling(manifest: Manifest) -> pa.ChunkedArray:
    """Paths so that one file has one spelling even where relative and absolute ones are mixed."""
    path = manifest.table["path"]
    absolute = pc.starts_with(path, "/")
    if not pc.any(absolute).as_py():
        return path
    root = str(manifest.root)
    return pa.chunked_array([pa.array([os.path.join(root, p) for p in path.to_pylist()], pa.string())])  # noqa: PTH118


def _codes(column: pa.ChunkedArray) -> tuple[list[str], Index]:
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
