"""The official lists of UCF101 and HMDB51: their counts, and groups that never cross."""

from __future__ import annotations

import pytest

from marey.data.exchange import export_layout
from marey.data.layouts.known import layout_named, read_layout
from marey.data.layouts.layout import How, Source
from marey.data.manifest import Manifest
from marey.data.splits import check_split
from tests.data.layouts.samples import rows_of
from tests.shared import SHARED, needs_shared


def official(name, split, folder=None):
    rows = read_layout(layout_named(name), Source(folder or SHARED / "annotations" / name), How(split=split))
    return Manifest.from_rows(rows, files=False)


@needs_shared
@pytest.mark.parametrize(("split", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
def test_ucf101(split, train, test, tmp_path):
    made = official("ucf101", split)
    assert made.read_as == f"read as UCF101, split {split}: {train:,} train, {test:,} test"
    assert len(made.class_names) == 101
    groups = check_split(made)
    assert len(groups) == 101 * 25
    export_layout(made, "ucf101", tmp_path, how=How(split=split))
    for name in (f"trainlist0{split}.txt", f"testlist0{split}.txt", "classInd.txt"):
        original = (SHARED / "annotations/ucf101" / name).read_text().split()
        assert (tmp_path / name).read_text().split() == original


@needs_shared
@pytest.mark.parametrize("split", [1, 2, 3])
def test_hmdb51(split, tmp_path):
    made = official("hmdb51", split)
    assert made.class_names == ("cartwheel", "wave")
    assert (len(made.indices("train")), len(made.indices("test"))) == (140, 60)
    check_split(made)
    export_layout(made, "hmdb51", tmp_path, how=How(split=split))
    again = official("hmdb51", split, tmp_path)
    assert rows_of(again, tmp_path) == rows_of(made, SHARED / "annotations/hmdb51")
