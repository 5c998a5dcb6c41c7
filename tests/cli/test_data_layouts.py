"""`marey data import` and `export` as a person meets them, and training on a foreign format as it stands."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from marey.cli.main import main
from marey.data.layouts.known import LAYOUTS
from marey.data.manifest import Manifest
from marey.jobs.train import train
from tests.data.layouts import examples_segments, examples_tools
from tests.data.layouts.examples_lists import EXAMPLES
from tests.data.layouts.samples import lay_out, rows_of
from tests.training.small import config

EVERY = {**EXAMPLES, **examples_segments.EXAMPLES, **examples_tools.EXAMPLES}


def words(capsys, *args):
    code = main([str(a) for a in args])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_import_and_export(capsys, tmp_path):
    folder = lay_out(tmp_path / "ucf", EXAMPLES["ucf101"])
    made, out = tmp_path / "made.csv", tmp_path / "out"
    code, said, _ = words(capsys, "data", "import", folder, "--as", "ucf101", "--out", made)
    assert code == 0
    assert said.splitlines()[0] == "read as UCF101, split 1: 3 train, 1 test"
    assert said.splitlines()[1].endswith(f"4 samples, 2 classes; videos in {folder / 'UCF-101'}")
    assert [row["label"] for row in csv.DictReader(made.open())].count("ApplyEyeMakeup") == 3
    code, said, err = words(
        capsys, "data", "export", made, "--as", "ucf101", "--out", out, "--root", folder / "UCF-101"
    )
    assert (code, err) == (0, "")
    assert "4 samples written" in said
    assert (out / "testlist01.txt").read_text() == "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\n"
    code, _, err = words(capsys, "data", "import", folder, "--out", made)
    assert (code, "is there already" in err) == (2, True)
    code, _, err = words(capsys, "data", "import", folder, "--split", "2", "--out", tmp_path / "two.csv")
    assert (code, "trainlist02.txt is not there" in err) == (1, True)
    assert not (tmp_path / "two.csv").exists()


@pytest.mark.parametrize(
    "name", [name for name in EVERY if LAYOUTS[name].write and "label" in LAYOUTS[name].takes]
)
def test_formats_with_several_labels_there_and_back_by_the_commands(capsys, tmp_path, name):
    """`import`, `export`, `import` with the flags that a person gives: the second manifest is the first."""
    example, first = EVERY[name], tmp_path / "first"
    lay_out(first, example)
    root = (first / example.root).resolve()

    def flags(how):
        return [word for key, value in how.items() for word in (f"--{key.replace('_', '-')}", value)]

    how = {key: first / value if key in ("root", "classes") else value for key, value in example.how.items()}
    read = ("data", "import", first, "--as", name, "--out", tmp_path / "a.csv", *flags(how))
    assert words(capsys, *read)[0] == 0
    out = tmp_path / "second" / example.out
    label = {"label": how["label"]} if "label" in how else {}
    write = ("data", "export", tmp_path / "a.csv", "--as", name, "--out", out, "--root", root, *flags(label))
    assert words(capsys, *write)[::2] == (0, "")
    back = {
        key: tmp_path / "second" / value if key == "classes" else value for key, value in example.back.items()
    }
    again = ("data", "import", out, "--as", name, "--out", tmp_path / "b.csv", *flags({**back, "root": root}))
    assert words(capsys, *again)[0] == 0
    one, two = (Manifest.read(tmp_path / file) for file in ("a.csv", "b.csv"))
    assert rows_of(one, root) == rows_of(two, root) == sorted(example.rows, key=str)


def test_classes_are_numbered_as_a_list_says(capsys, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes(b"x")
    (tmp_path / "m.csv").write_text("path,label\na.mp4,x\nb.mp4,y\n")
    (tmp_path / "names.txt").write_text("y\nz\nx\n")
    order = ("--classes", tmp_path / "names.txt", "--out", tmp_path / "out")
    assert words(capsys, "data", "export", tmp_path / "m.csv", "--as", "mmaction2", *order)[0] == 0
    assert (tmp_path / "out/list.txt").read_text() == "a.mp4 2\nb.mp4 0\n"


def test_the_formats_are_listed_and_documented(capsys):
    code, said, _ = words(capsys, "data", "import", "--list")
    assert code == 0
    page = Path(__file__).parents[2] / "docs" / "layouts.md"
    rows = [
        line.split("|") for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    assert {row[1].strip(" `") for row in rows} == set(LAYOUTS)
    for row in rows:
        name = row[1].strip(" `")
        assert f"  {name} " in said
        assert f"--as {name} " in row[3]
        assert row[5].strip().startswith("no") == (LAYOUTS[name].write is None)
        taken = {f"--{field.replace('_', '-')}" for field in (*LAYOUTS[name].takes, "root", "ends")}
        assert set(re.findall(r"--[a-z-]+", row[3])) <= taken | {"--as", "--out", "--missing"}, name


def test_a_folder_of_ucf101_is_trained_on_as_it_is(motion, tmp_path):
    """Real videos under names of UCF101: no import, no manifest, and the run's log says how it was read."""
    source = Manifest.read(motion)
    lines = {"train": [], "test": []}
    classes = sorted(source.class_names)[:2]
    for row in range(24):
        sample = source.sample(row)
        label = sample.labels[0]
        if label not in classes:
            continue
        side = "test" if row % 4 == 0 else "train"
        path = tmp_path / "UCF-101" / label / f"v_{label}_g{row:02d}_c01.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(sample.path)
        lines[side].append(f"{label}/{path.name}")
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("".join(f"{i} {c}\n" for i, c in enumerate(classes, start=1)))
    numbered = [f"{line} {classes.index(line.split('/')[0]) + 1}" for line in lines["train"]]
    (lists / "trainlist01.txt").write_text("\n".join(numbered))
    (lists / "testlist01.txt").write_text("\n".join(lines["test"]))
    done = train(config(tmp_path, tmp_path / "runs", epochs=1), quiet=True)
    log = (done.run / "log.txt").read_text()
    assert f"read as UCF101, split 1: {len(numbered)} train, {len(lines['test'])} test" in log
