"""Any name, with quotes, commas, spaces and letters of any script, survives every format that
can hold it; a format that cannot says so."""

# ruff: noqa: E501  (a row of a data set is one line)

from __future__ import annotations

import itertools
import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from marey.data.exchange import export_layout, import_layout
from marey.data.layouts.layout import How
from marey.data.layouts.raw import RawRows
from marey.data.layouts.runs import stretches, stretches_of_each
from marey.data.manifest import Manifest
from marey.data.origin import Origin
from tests.data.layouts.samples import quietly, rows_of

letters = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="|/\\")
words = st.one_of(
    st.text(letters, min_size=1, max_size=8), st.sampled_from(['a, "b"', "l'été", "100%25", "x;y", "<&>"])
)
labels = words.map(str.strip).filter(bool)
stems = words.map(lambda w: f"v{w.strip()}").filter(lambda w: w == w.strip() and len(w.encode()) < 60)
SEGMENTS = {"activitynet": "x.json", "fiftyone": ".", "charades": ".", "via": "x.json", "via-csv": "x.csv", "elan": ".",
            "boris": "x.csv"}  # fmt: skip


@pytest.mark.parametrize("name", SEGMENTS)
@given(
    rows=st.lists(
        st.tuples(stems, labels, st.integers(0, 9000), st.integers(1, 9000)), min_size=1, max_size=5
    ),
)
@settings(max_examples=8, deadline=None)
def test_segments_of_any_name(name, rows, tmp_path_factory):
    assume(not any(label.startswith("#") for _, label, _, _ in rows))
    folder = tmp_path_factory.mktemp("names")
    videos, out = folder / "videos", folder / "out"
    videos.mkdir()
    spans = {(s, label, a / 1000, (a + d) / 1000) for s, label, a, d in rows}
    for stem, *_ in spans:
        (videos / f"{stem}.mp4").write_bytes(b"x")
    columns = zip(*((f"{s}.mp4", label, a, b) for s, label, a, b in sorted(spans)), strict=True)
    table = pa.table(dict(zip(("path", "label", "start", "end"), map(list, columns), strict=True)))
    raw = RawRows(table, Origin("t", "row", np.arange(len(table))), videos)
    first = quietly(Manifest.from_rows, raw)
    quietly(export_layout, first, name, out / SEGMENTS[name])
    again = quietly(import_layout, out, name, how=How(root=videos, ends="trust"))
    assert [row[:5] for row in rows_of(again, videos)] == [row[:5] for row in rows_of(first, videos)]
    assert sorted(again.class_names) == list(first.class_names)
    shutil.rmtree(folder)


@given(
    rows=st.dictionaries(
        st.integers(0, 10**6), labels.filter(lambda w: ";" not in w and '"' not in w), min_size=1, max_size=5
    )
)
@settings(max_examples=8, deadline=None)
def test_jester_classes_of_any_name(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    (folder / "v").mkdir()
    for number in rows:
        (folder / "v" / f"{number}.mp4").write_bytes(b"x")
    paths = [f"v/{number}.mp4" for number in rows]
    table = pa.table({"path": paths, "label": list(rows.values()), "split": ["train"] * len(rows)})
    first = quietly(Manifest.from_rows, RawRows(table, Origin("t", "row", np.arange(len(table))), folder))
    quietly(export_layout, first, "jester", folder / "out")
    again = quietly(import_layout, folder / "out", "jester", how=How(root=folder / "v"))
    assert rows_of(again, folder) == rows_of(first, folder)
    shutil.rmtree(folder)


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_stretches_are_the_frames_again(frames):
    runs = list(stretches(frames))
    assert [label for label, first, stop in runs for _ in range(first, stop)] == frames
    assert all(one[0] != two[0] for one, two in itertools.pairwise(runs)), "each is as long as can be"


@given(st.lists(st.frozensets(st.integers(0, 3)), max_size=20))
def test_stretches_of_each_are_the_frames_again(frames):
    again = [set() for _ in frames]
    for label, first, stop in stretches_of_each(frames):
        for frame in range(first, stop):
            again[frame].add(label)
        assert first == 0 or label not in frames[first - 1]
        assert stop == len(frames) or label not in frames[stop]
    assert again == [set(f) for f in frames]


def test_label_studio_min_export_and_a_label_by_name(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    task = {
        "id": 1,
        "video": "s3://bucket/deep/a.mp4",
        "videoLabels": [{"ranges": [{"start": 3, "end": 12}], "timelinelabels": ["x"]}],
    }
    (tmp_path / "min.json").write_text(json.dumps([task]))
    made = import_layout(tmp_path, how=How(fps=10, ends="trust"))
    assert rows_of(made, tmp_path) == [("a.mp4", "x", 0.2, 1.2, None, None)]
    (tmp_path / "min.json").unlink()
    attribute = {
        k: {"aname": k.upper(), "anchor_id": "FILE1_Z2_XY0", "type": t, "options": {"0": "p", "1": "q"}}
        for k, t in (("a", 1), ("b", 2))
    }
    project = {"project": {"pid": "x"}, "attribute": attribute, "file": {"1": {"fname": "a.mp4"}}, "view": {"1": {"fid_list": ["1"]}},
               "metadata": {"m": {"vid": "1", "z": [0, 1], "av": {"a": "free text", "b": "0,1"}}}}  # fmt: skip
    (tmp_path / "via.json").write_text(json.dumps(project))
    made = quietly(import_layout, tmp_path, how=How(label="B", ends="trust"))
    assert rows_of(made, tmp_path) == [("a.mp4", "p|q", 0.0, 1.0, None, None)]
    made = import_layout(tmp_path, how=How(label="A", ends="trust"))
    assert made.class_names == ("free text",)
