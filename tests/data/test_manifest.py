"""The manifest: what it reads, what it refuses (with file and line), and what it keeps."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as papq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.data.layouts.raw import RawRows
from marey.data.manifest import Manifest
from marey.data.origin import DataWarning, Origin
from marey.errors import ManifestError, UnknownNameError
from tests.shared import SHARED, needs_shared


@pytest.fixture
def write(tmp_path):
    """Write a manifest beside a few files that exist (their contents do not matter here)."""
    (tmp_path / "clips").mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4", "clips/a.mp4"):
        (tmp_path / name).write_bytes(b"x")

    def put(text, name="fight.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return put


def test_reads_rows_and_makes_samples_on_access(write, tmp_path):
    m = Manifest.read(
        write(
            "path,label,start,end,split,group,note\na.mp4,run,0.5,2,train,p1,x\nb.mp4,fall,,,Validation,,\n"
        )
    )
    assert len(m) == 2
    assert m.class_names == ("fall", "run")
    assert not m.multi_label
    assert m.splits == ("train", "val")
    first, second = m.sample(0), m.sample(1)
    assert first.path == str(tmp_path / "a.mp4")
    assert (first.labels, first.start, first.end, first.split, first.group) == (
        ("run",),
        0.5,
        2.0,
        "train",
        "p1",
    )
    assert (second.start, second.end, second.group) == (None, None, None)
    assert second.where == "fight.csv line 3"
    assert m.targets().tolist() == [1, 0]
    assert m.targets(["run", "jump", "fall"]).tolist() == [0, 2]
    assert m.indices("val").tolist() == [1]
    assert m.indices("test").tolist() == []
    assert m.indices().tolist() == [0, 1]
    assert m.table["note"].to_pylist() == ["x", ""]
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        m.indices("trian")


@pytest.mark.parametrize(
    ("text", "kwargs", "message"),
    [
        ("path,label\na.mp4,fight\nb.mp4,figth\n", {"class_names": ["fight", "normal"]},
         r"fight.csv line 3: 'figth' is not a known class. Did you mean 'fight'\?\n  known classes: fight, normal"),
        ('path,label,note\na.mp4,x,"two\nlines, and ""quotes"""\nb.mp4,,z\n', {}, "line 4: the label is empty"),
        ("path,label\na.mp4,x\n\n\nb.mp4,\n", {}, "line 5: the label is empty"),
        ("\ufeffpath,label\r\na.mp4,x\r\nb.mp4,\r\n", {}, "line 3: the label is empty"),
        ("path,label\ra.mp4,x\rb.mp4,\r", {}, "line 3: the label is empty"),
        ("path,label\na.mp4,x\n,y\n", {}, "line 3: the path is empty"),
        ("path,label\na.mp4,x||y\n", {}, r"line 2: 'x\|\|y' has an empty label"),
        ("path,label\na.mp4,x|y|x\n", {}, "line 2: .* names a label twice"),
        ("path,lable\na.mp4,x\n", {}, r"fight.csv: there is no column 'label'. Is 'lable' meant\?"),
        ("file,label\na.mp4,x\n", {}, "no column 'path'"),
        ("path,label,Label\na.mp4,x,y\n", {}, "the column 'label' is there twice"),
        ("path,label,start,end\na.mp4,x,0,1\nb.mp4,x,3,2\n", {}, "line 3: the segment from 3 s to 2 s is reversed"),
        ("path,label,start,end\na.mp4,x,2,2\n", {}, "line 2: the segment from 2 s to 2 s is empty"),
        ("path,label,end\na.mp4,x,0\n", {}, "line 2: the segment from 0 s to 0 s is empty"),
        ("path,label,start\na.mp4,x,-1\n", {}, "line 2: start is -1 s"),
        ("path,label,start\na.mp4,x,inf\n", {}, "line 2: start is inf s"),
        ("path,label,end\na.mp4,x,00:01:02\n", {}, "line 2: end is '00:01:02', which is no time"),
        ("path,label\na.mp4,x\nb.mp4,x\na.mp4,x\n", {}, "line 4: this says again what fight.csv line 2 says"),
        ("path,label\na.mp4,x\n./clips/../a.mp4,x\n", {}, "line 3: this says again"),
        ("path,label,split\na.mp4,x,train\nb.mp4,x,tset\n", {},
         r"line 3: 'tset' is not a known split. Did you mean 'test'\?"),
        ("path,label,split\na.mp4,x,train\nb.mp4,x,\n", {}, "line 3: no split, where others have one"),
        ("path,label\na.mp4,x\nd.mp4,x\ne.mp4,x\n", {}, "line 3: 'd.mp4' is not there.*\n.*\n  2 of 3 .*\n.*line 4"),
        ("path,label\nclips\\a.mp4,x\n", {}, "write paths with '/'"),
        ("path,label\na.mp4,x,y\n", {}, "line 2: 3 cells where the header has 2"),
        ('path,label\n"a.mp4,x\nb.mp4,y\n', {}, "line 2: 1 cells"),
        ("path,label\n", {}, "there are no rows"),
        ("", {}, "the file is empty"),
        (b"path,label\na.mp4,x\nb.mp4,caf\xe9\n", {}, "line 3: byte 0xe9 is not UTF-8"),
        ("path,label\n".encode("utf-16"), {}, "is UTF-16"),
        ("path,label\na.mp4,x\nb.mp4,x|y\n", {"multi_label": False}, r"line 3: several labels \(x\|y\)"),
        ("path,label\na.mp4,x\na.mp4,y\n", {"multi_label": False}, r"line 2: several labels \(x\|y\)"),
        ("path,label,split\na.mp4,x,train\na.mp4,y,test\n", {}, "line 2: rows of one sample have different splits"),
    ],
)  # fmt: skip
def test_refuses_with_file_and_line(write, text, kwargs, message):
    with pytest.raises(ManifestError, match=message):
        Manifest.read(write(text), **kwargs)


def test_a_wide_file_keeps_its_line_numbers(write):
    """Past the parser's block size, with quoted newlines and blank lines on the way."""
    body = "".join(
        f'a.mp4,x,{i},{i + 1},"{"n" * 300}\n{i}"\n' + ("\n" if i % 1000 == 0 else "") for i in range(9000)
    )
    path = write("path,label,start,end,note\n" + body + "b.mp4,,0,1,z\n")
    line = path.read_text().count("\n")
    with pytest.raises(ManifestError, match=f"line {line}: the label is empty"):
        Manifest.read(path)
    path.write_text(path.read_text() + "a,b\n")
    with pytest.raises(ManifestError, match=f"line {line + 1}: 2 cells"):
        Manifest.read(path)


def test_a_missing_manifest_names_a_near_one(write, tmp_path):
    write("path,label\na.mp4,x\n")
    with pytest.raises(ManifestError, match=r"Did you mean 'fight\.csv'"):
        Manifest.read(tmp_path / "figth.csv")


def test_separators_spaces_and_header_case(write):
    m = Manifest.read(write(" Path ;LABEL;Start\n a.mp4 ; run ;1.5\n"))
    assert (m.sample(0).labels, m.sample(0).start) == (("run",), 1.5)
    assert m.sample(0).path.endswith("/a.mp4")


def test_several_labels_in_a_cell_or_in_rows(write):
    cell = Manifest.read(write("path,label\na.mp4,x | y\nb.mp4,x\n"))
    rows = Manifest.read(
        write("path,label,start,note\na.mp4,x,,1\nb.mp4,x,,2\na.mp4,y,,3\na.mp4,y,1,4\n", "r.csv")
    )
    for m in (cell, rows):
        assert m.multi_label
        assert m.sample(0).labels == ("x", "y")
        assert m.sample(1).labels == ("x",)
    assert len(rows) == 3, "another start is another sample"
    assert rows.table["note"].to_pylist() == ["1|3", "2", "4"]
    assert rows.sample(2).where == "r.csv line 5"
    assert rows.counts() == {"x": 2, "y": 2}
    forced = Manifest.read(write("path,label\na.mp4,x\n"), multi_label=True)
    assert forced.multi_label


def test_one_contradiction_among_many_rows_is_said(write, tmp_path):
    rows = "".join(f"a.mp4,x,{i}\n" for i in range(40))
    with pytest.warns(
        DataWarning, match=r"line 2 and fight.csv line 42: one sample with different labels. 1 of 40"
    ):
        m = Manifest.read(write(f"path,label,start\n{rows}a.mp4,y,0\n"))
    assert m.multi_label


def test_a_likely_slip_is_said(write):
    rows = "".join(f"a.mp4,fight,{i}\na.mp4,left1,{i + 100}\n" for i in range(12))
    text = f"path,label,start\n{rows}b.mp4,figth,\nc.mp4,left2,\n"
    with pytest.warns(DataWarning) as said:
        Manifest.read(write(text))
    assert [str(w.message) for w in said] == [
        "fight.csv line 26: 'figth' stands in 1 row, 'fight' in 12. Is it a slip? They are taken as two classes."
    ]
    with pytest.warns(DataWarning, match="'Fight' stands in 1 row, 'fight' in 3"):
        Manifest.read(write("path,label\na.mp4,fight\nb.mp4,fight\nc.mp4,fight\nclips/a.mp4,Fight\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Manifest.read(write("path,label\na.mp4,sit\nb.mp4,stand\nc.mp4,sitting\n"))


def test_parquet_with_typed_columns_and_lists(write, tmp_path):
    write("path,label\na.mp4,x\n")
    table = pa.table(
        {
            "path": ["a.mp4", "b.mp4"],
            "label": [["x", "y"], ["x"]],
            "start": [0.5, None],
            "end": [2.0, float("nan")],
            "weight": [1, 2],
        }
    )
    papq.write_table(table, tmp_path / "m.parquet")
    m = Manifest.read(tmp_path / "m.parquet")
    assert m.multi_label
    assert m.sample(0).labels == ("x", "y")
    assert (m.sample(1).start, m.sample(1).end) == (None, None)
    assert m.table["weight"].to_pylist() == [1, 2]
    papq.write_table(table.set_column(3, "end", pa.array([0.1, 1.0])), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match=r"m.parquet row 1: the segment from 0.5 s to 0.1 s is reversed"):
        Manifest.read(tmp_path / "m.parquet")
    (tmp_path / "m.parquet").write_bytes(b"no parquet")
    with pytest.raises(ManifestError, match=r"m.parquet: not readable as Parquet"):
        Manifest.read(tmp_path / "m.parquet")


@pytest.fixture
def tree(tmp_path):
    def make(*files):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_bytes(b"x")
        return tmp_path

    return make


def test_class_folders(tree):
    m = Manifest.read(tree("run/a.mp4", "run/deep/b.MKV", "fall/c.webm", ".git/x.mp4", "run/.hidden.mp4"))
    assert m.class_names == ("fall", "run")
    assert m.table["path"].to_pylist() == ["fall/c.webm", "run/a.mp4", "run/deep/b.MKV"]
    assert m.splits == ()
    assert m.sample(0).where.endswith("/fall/c.webm")


def test_split_folders(tree):
    m = Manifest.read(tree("train/run/a.mp4", "Validation/run/b.mp4", "test/fall/c.mp4"))
    assert m.splits == ("train", "val", "test")
    assert m.class_names == ("fall", "run"), "one list for all splits"
    assert [m.sample(i).split for i in range(3)] == ["val", "test", "train"]


def test_a_class_may_be_called_test(tree):
    m = Manifest.read(tree("test/a.mp4", "other/b.mp4"))
    assert m.class_names == ("other", "test")
    assert m.splits == ()


def test_folders_that_cannot_be_understood(tree, tmp_path):
    root = tree("train/run/a.mp4", "extra/run/b.mp4")
    with pytest.raises(ManifestError, match="stand beside 'extra'"):
        Manifest.read(root)
    (tmp_path / "extra/run/b.mp4").unlink()
    tree("train/b.mp4", "train/run/notes.txt")
    with pytest.raises(ManifestError, match=r"1 of 2 videos lie in no class folder, the first is 'b\.mp4'"):
        Manifest.read(root / "train")
    (tmp_path / "train/b.mp4").unlink()
    with pytest.warns(DataWarning, match="1 files are no videos"):
        Manifest.read(root)
    (tmp_path / "void").mkdir()
    with pytest.raises(ManifestError, match="no videos in this folder"):
        Manifest.read(tmp_path / "void")


def test_a_link_up_the_tree_ends(tree):
    root = tree("run/a.mp4")
    (root / "run" / "loop").symlink_to(root, target_is_directory=True)
    assert len(Manifest.read(root)) == 1


def test_a_folder_with_a_manifest_is_read_from_it(write, tmp_path):
    write("path,label\na.mp4,x\n", "manifest.csv")
    assert Manifest.read(tmp_path).class_names == ("x",)


def test_select_and_columns_keep_classes_and_places(write):
    m = Manifest.read(write("path,label\na.mp4,x\nb.mp4,y\nc.mp4,z\n"))
    part = m.select([2, 0])
    assert part.class_names == ("x", "y", "z")
    assert [part.sample(i).where for i in (0, 1)] == ["fight.csv line 4", "fight.csv line 2"]
    assert part.targets().tolist() == [2, 0]
    split = part.with_column("split", ["train", "validation"]).with_column("score", np.array([0.5, 1.0]))
    assert split.indices("val").tolist() == [1]
    assert split.table["score"].to_pylist() == [0.5, 1.0]
    with pytest.raises(ManifestError, match="line 4: 'x' is not a known split"):
        part.with_column("split", ["x", "x"])
    with pytest.raises(ManifestError, match="3 values"):
        part.with_column("split", ["train"] * 3)
    with pytest.raises(ManifestError, match="read a new manifest"):
        part.with_column("label", ["a", "b"])
    with pytest.raises(ManifestError, match="line 4: 'z' is not a known class"):
        part.targets(["x", "y"])
    with pytest.raises(IndexError):
        part.sample(2)


@pytest.mark.parametrize("name", ["again.csv", "sub/again.csv", "clips/again.parquet"])
def test_written_manifests_read_back(write, tmp_path, name):
    m = Manifest.read(
        write('path,label,start,group,note\na.mp4,x|y,0.1,"g, 1","say ""hi""\nthere"\nclips/a.mp4,x,,,é\n')
    )
    m = m.with_column("split", ["train", "test"])
    m.write(tmp_path / name)
    back = Manifest.read(tmp_path / name)
    assert not list(tmp_path.glob("**/*.part"))
    for i in range(2):
        one, two = m.sample(i), back.sample(i)
        assert (one.path, one.labels, one.start, one.end, one.split, one.group) == (
            two.path, two.labels, two.start, two.end, two.split, two.group,
        )  # fmt: skip
    assert back.table["note"].to_pylist() == m.table["note"].to_pylist()
    assert "end" not in (tmp_path / name).read_bytes().split(b"\n")[0].decode("latin1").split(",")


cells = st.text(
    st.characters(codec="utf-8", exclude_characters="|\0\r", exclude_categories=("Cs",)), max_size=12
)


@given(rows=st.lists(st.tuples(cells.filter(str.strip), st.floats(0, 1e6), cells), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_any_text_survives_writing_and_reading(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("m")
    table = pa.table(
        {
            "path": [f"v{i}.mp4" for i in range(len(rows))],
            "label": [r[0] for r in rows],
            "start": [r[1] for r in rows],
            "note": [r[2] for r in rows],
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        m = Manifest.from_rows(RawRows(table, Origin("t", "row", np.arange(len(rows))), folder), files=False)
        back = Manifest.read(m.write(folder / "m.csv"), files=False)
    assert back.class_names == m.class_names
    for name in ("path", "label", "start", "note"):
        assert back.table[name].to_pylist() == m.table[name].to_pylist()
    assert back.sample(0).where == "m.csv line 2"


@needs_shared
def test_a_real_manifest():
    m = Manifest.read(SHARED / "data" / "fight" / "fight.csv")
    assert len(m) == 69
    assert m.counts() == {"fight": 39, "normal": 30}
    assert len(set(m.table["group"].to_pylist())) == 18
