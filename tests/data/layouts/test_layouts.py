"""Every layout: recognised, read as it should be, written, and read again equal."""

from __future__ import annotations

import pytest

from marey.data.exchange import export_layout, import_layout
from marey.data.layouts.known import LAYOUTS, detect
from marey.data.layouts.layout import How, Source
from marey.data.manifest import Manifest
from marey.errors import ManifestError
from tests.data.layouts import examples_lists, examples_segments, examples_tools
from tests.data.layouts.samples import lay_out, options, quietly, rows_of

EXAMPLES = {**examples_lists.EXAMPLES, **examples_segments.EXAMPLES, **examples_tools.EXAMPLES}


def test_every_layout_has_an_example():
    assert set(EXAMPLES) == set(LAYOUTS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_recognised_and_read(name, tmp_path):
    example = EXAMPLES[name]
    folder = lay_out(tmp_path, example)
    if name == "mmaction2-offset":  # three numbers behind a folder can be meant in two ways
        with pytest.raises(ManifestError, match=r"2 ways.\n  mmaction2-frames: .*\n  mmaction2-offset: "):
            detect(Source(folder))
    else:
        assert detect(Source(folder)) is LAYOUTS[name]
    made = quietly(import_layout, folder, name, how=options(folder, example.how))
    assert rows_of(made, folder / example.root) == sorted(example.rows, key=str)
    assert made.class_names == example.classes
    assert made.read_as == example.read_as


@pytest.mark.parametrize("name", [name for name in EXAMPLES if LAYOUTS[name].write])
def test_written_and_read_again_equal(name, tmp_path):
    example = EXAMPLES[name]
    folder = lay_out(tmp_path / "first", example)
    first = quietly(import_layout, folder, name, how=options(folder, example.how))
    out = tmp_path / "second" / example.out
    label = {"label": example.how["label"]} if "label" in example.how else {}
    assert quietly(export_layout, first, name, out, how=How(**label))
    back = {**example.back, "root": first.root}
    again = quietly(import_layout, out, name, how=options(tmp_path / "second", back))
    assert rows_of(again, first.root) == rows_of(first, first.root)
    assert again.class_names == first.class_names
    extra = set(first.table.column_names) & set(again.table.column_names)
    for column in sorted(extra - {"path"}):
        assert sorted(map(str, again.table[column].to_pylist())) == sorted(
            map(str, first.table[column].to_pylist())
        )


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_manifest_in_between_changes_nothing(name, tmp_path):
    example = EXAMPLES[name]
    folder = lay_out(tmp_path / "first", example)
    first = quietly(import_layout, folder, name, how=options(folder, example.how))
    back = quietly(Manifest.read, first.write(tmp_path / "m.csv"))
    assert rows_of(back, first.root) == rows_of(first, first.root)
