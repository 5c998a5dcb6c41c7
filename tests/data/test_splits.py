"""Splits: no group crosses, no row is lost, classes are shared out, and a leak is refused by name."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.data.layouts.raw import RawRows
from marey.data.manifest import Manifest
from marey.data.origin import DataWarning, Origin
from marey.data.splits import check_split, folds, grouping, split
from marey.errors import ConfigError, SplitError, UnknownNameError
from tests.shared import SHARED, needs_shared


def manifest(labels, groups=None, paths=None, splits=None):
    n = len(labels)
    columns = {"path": paths or [f"v{i}.mp4" for i in range(n)], "label": labels, "start": np.arange(n) * 1.0}
    if groups:
        columns["group"] = pa.array(groups, pa.string())
    if splits:
        columns["split"] = splits
    return Manifest.from_rows(
        RawRows(pa.table(columns), Origin("t.csv", "line", np.arange(2, n + 2)), Path("/data")), files=False
    )


@st.composite
def manifests(draw):
    n = draw(st.integers(8, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    classes = draw(st.integers(1, 4))
    labels = [f"c{rng.integers(classes)}" for _ in range(n)]
    if draw(st.booleans()):
        labels = [f"{a}|extra" if rng.random() < 0.3 else a for a in labels]
    groups = None
    if draw(st.booleans()):
        groups = [None if rng.random() < 0.1 else f"g{rng.integers(1 + n // 3)}" for _ in range(n)]
    paths = [f"v{rng.integers(max(4, n // 2))}.mp4" for _ in range(n)]
    return manifest(labels, groups, paths)


def no_tie_crosses(m, part):
    """Rows that share a file or a group are in the same part, whatever `grouping` thinks."""
    for column in ("path", "group"):
        home = {}
        for value, p in zip(m.table[column].to_pylist(), part, strict=True):
            if value is not None:
                assert home.setdefault(value, p) == p, (column, value)


@given(m=manifests(), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_a_split_keeps_groups_and_rows(m, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            made = split(m, {"train": 0.6, "val": 0.2, "test": 0.2}, seed)
        except SplitError:
            assert len(grouping(m)) < 3
            return
        again = split(m, {"train": 0.6, "val": 0.2, "test": 0.2}, seed)
    assert len(made) == len(m)
    assert made.splits == ("train", "val", "test"), "no part is empty"
    assert made.table["split"].equals(again.table["split"])
    assert made.table.drop_columns("split").equals(m.table.drop_columns("split"))
    no_tie_crosses(made, made.table["split"].to_pylist())
    check_split(made)


@given(m=manifests(), k=st.integers(2, 5), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_folds_keep_groups_and_judge_every_row_once(m, k, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            made = folds(m, k, seed)
        except SplitError:
            assert len(grouping(m)) < k
            return
    assert len(made) == k
    assert sorted(np.concatenate([val for _, val in made])) == list(range(len(m)))
    for train, val in made:
        assert len(train)
        assert len(val)
        assert sorted(np.concatenate([train, val])) == list(range(len(m)))
        no_tie_crosses(m, np.isin(np.arange(len(m)), val))


def test_parts_have_the_asked_sizes_and_the_same_classes():
    rng = np.random.default_rng(0)
    kinds = rng.choice(["a", "b", "c"], p=[0.6, 0.3, 0.1], size=200)
    labels = [kinds[g] for g in range(200) for _ in range(3)]
    m = manifest(labels, [f"g{i // 3}" for i in range(600)])
    made = split(m, {"train": 0.7, "val": 0.1, "test": 0.2}, seed=1)
    assert abs(len(made.indices("train")) - 420) <= 6
    assert abs(len(made.indices("val")) - 60) <= 6
    share = np.array(list(m.counts().values())) / 600
    for name in ("train", "val", "test"):
        part = made.select(made.indices(name))
        assert np.allclose(np.array(list(part.counts().values())) / len(part), share, atol=0.05)
    other = split(m, {"train": 0.7, "val": 0.1, "test": 0.2}, seed=2)
    assert not other.table["split"].equals(made.table["split"])


def test_multi_label_folds_balance_every_label():
    rng = np.random.default_rng(1)
    labels = [
        "|".join(["x", *(["rare"] if i % 10 == 0 else []), *(["y"] if rng.random() < 0.5 else [])])
        for i in range(200)
    ]
    m = manifest(labels, [f"g{i // 2}" for i in range(200)])
    for _, val in folds(m, 5, seed=3):
        part = m.select(val).counts()
        assert abs(len(val) - 40) <= 2
        assert abs(part["rare"] - 4) <= 1
        assert abs(part["y"] - m.counts()["y"] / 5) <= 3


def test_folds_of_chosen_rows_speak_of_the_whole_manifest():
    m = manifest(["a", "b"] * 10)
    rows = np.arange(4, 16)
    made = folds(m, 3, rows=rows)
    assert sorted(np.concatenate([val for _, val in made])) == rows.tolist()
    assert all(set(train) | set(val) == set(rows.tolist()) for train, val in made)


def test_segments_of_one_file_stay_together_and_it_is_said():
    m = manifest(["a", "b", "a", "b"], paths=["x.mp4", "x.mp4", "y.mp4", "/data/y.mp4"])
    found = grouping(m)
    assert found.ids.tolist() == [0, 0, 1, 1], "the same file by a relative and by an absolute path"
    assert found.rule == "by video file (2 files; no groups given)"
    assert grouping(manifest(["a"] * 3, ["p", "q", "p"])).rule == "by group (2 groups)"
    mixed = grouping(manifest(["a"] * 3, ["p", None, "p"]))
    assert mixed.rule == "by group, 1 sample without one by video file (2 in all)"
    assert mixed.names == ("p", "v1.mp4")


def test_a_file_ties_its_groups_together():
    m = manifest(["a"] * 4, ["p", "q", "q", "r"], ["x.mp4", "x.mp4", "y.mp4", "z.mp4"])
    assert grouping(m).ids.tolist() == [0, 0, 0, 1]


def test_a_group_on_both_sides_is_refused_by_name():
    m = manifest(["a"] * 4, ["p", "q", "p", "q"], splits=["train", "train", "val", "test"])
    with pytest.raises(SplitError, match="group 'p' is on both sides: in train and val") as error:
        check_split(m)
    assert "train: 1 sample, the first is t.csv line 2" in str(error.value)
    assert "val: 1 sample, the first is t.csv line 4" in str(error.value)
    assert "2 groups are like this" in str(error.value)
    m = manifest(["a"] * 2, ["p", "q"], ["x.mp4", "x.mp4"], ["train", "test"])
    with pytest.raises(SplitError, match=r"video file 'x\.mp4' is on both sides"):
        check_split(m)
    m = manifest(["a"] * 2, splits=["train", "test"])
    assert check_split(m).rule.startswith("by video file")
    with pytest.raises(SplitError, match="no row has a split"):
        check_split(manifest(["a"]))


def test_what_cannot_be_made_is_refused():
    m = manifest(["a", "b"] * 4, ["p"] * 4 + ["q"] * 4)
    with pytest.raises(SplitError, match="2 groups cannot make 3 parts"):
        split(m, {"train": 0.6, "val": 0.2, "test": 0.2})
    with pytest.raises(SplitError, match="2 groups cannot make 3 folds"):
        folds(m, 3)
    with pytest.raises(ConfigError, match="least is 2"):
        folds(m, 1)
    with pytest.raises(ConfigError, match="sum to 1"):
        split(m, {"train": 0.6, "val": 0.2})
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        split(m, {"trian": 0.6, "val": 0.4})
    done = split(m, {"train": 0.5, "val": 0.5})
    with pytest.raises(SplitError, match="split already"):
        split(done, {"train": 0.5, "val": 0.5})
    assert split(done, {"train": 0.5, "test": 0.5}, replace=True).splits == ("train", "test")


def test_scarce_classes_are_said():
    m = manifest(["a"] * 8 + ["b"] * 2, [f"g{i}" for i in range(8)] + ["h", "h"])
    with pytest.warns(DataWarning, match="there is no 'b' in val"):
        split(m, {"train": 0.7, "val": 0.3})
    with pytest.warns(DataWarning, match="some folds judge none of them: 'b' in 1 group"):
        folds(m, 3)


@needs_shared
def test_folds_of_real_clips():
    m = Manifest.read(SHARED / "data" / "fight" / "fight.csv")
    made = folds(m, 5)
    assert grouping(m).rule == "by group (18 groups)"
    for _, val in made:
        counts = m.select(val).counts()
        assert counts["fight"] >= 4
        assert counts["normal"] >= 3
