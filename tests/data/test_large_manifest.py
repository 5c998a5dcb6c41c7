"""Manifests of a million rows: read in blocks, compared without grouping, files looked for a folder at a time."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marey.data import merge
from marey.data.layouts import table
from marey.data.manifest import Manifest
from marey.data.rules import missing_files
from marey.errors import ManifestError

CELLS = st.text(alphabet="ab,\n\r", max_size=6)
LOAD = """
import re, sys
from pathlib import Path
from marey.data.manifest import Manifest
rows = len(Manifest.read(sys.argv[1], files=False))
# not ru_maxrss, which a process has from the one that started it
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(rows, int(peak[1]) / 1024)
"""


@given(st.lists(CELLS, max_size=12), st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_lines_that_are_not_blank_whatever_the_blocks(tmp_path_factory, pieces, block):
    path = tmp_path_factory.mktemp("lines") / "a.csv"
    data = "".join(pieces).replace("\r", "\r\n").encode()
    path.write_bytes(data)
    before = table._BLOCK
    table._BLOCK = block
    try:
        lines, quotes = table._record_lines(path)
    finally:
        table._BLOCK = before
    wanted = [n for n, line in enumerate(data.split(b"\n"), 1) if line.removesuffix(b"\r")]
    assert lines.tolist() == wanted
    assert not quotes


@given(st.lists(st.tuples(*[st.text(alphabet='aé"', max_size=9)] * 2), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_cells_whatever_the_pieces(tmp_path_factory, rows):
    """Columns that grow piece by piece, in several chunks, hold what the file holds."""
    path = tmp_path_factory.mktemp("cells") / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("path", "label"), *rows])
    before = table._PIECE, table._LONGEST
    table._PIECE, table._LONGEST = 64, 40
    try:
        read = table._read_in_blocks(path, '"path","label"', ",", True)
    finally:
        table._PIECE, table._LONGEST = before
    read.validate(full=True)
    assert read["path"].to_pylist() == [path for path, _ in rows]
    assert read["label"].to_pylist() == [label for _, label in rows]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([None, 0.0, 1.5]), st.integers(3, 4)), max_size=9
    )
)
@settings(max_examples=100, deadline=None)
def test_rows_of_the_same_sample_are_found(rows):
    columns = {
        "path": [f"videos/{path}.mp4" for path, _, _ in rows],
        "start": [start for _, start, _ in rows],
        "end": [float(end) for _, _, end in rows],
    }
    made = pa.table(
        {
            k: pa.chunked_array([v[:4], v[4:]], pa.string() if k == "path" else pa.float64())
            for k, v in columns.items()
        }
    )
    found = [list(map(int, one)) for one in merge._same_sample(made)]
    groups: dict[tuple[object, ...], list[int]] = {}
    for row, key in enumerate(zip(*columns.values(), strict=True)):
        groups.setdefault(key, []).append(row)
    assert found == [one for one in groups.values() if len(one) > 1]


def test_marks_know_whole_paths_apart():
    """All prefixes, all single changes, and the same bytes in another order."""
    base = "videos/класс/a_0001.mp4"
    words = {base[:n] for n in range(1, len(base))} | {
        base[:n] + "#" + base[n + 1 :] for n in range(len(base))
    }
    words |= {base[::-1], base * 50, base * 51}
    paths = sorted(words)
    nothing = pa.nulls(len(paths), pa.float64())
    made = pa.table({"path": paths, "start": nothing, "end": nothing})
    assert len(np.unique(merge._marks(made))) == len(paths)


def test_files_of_a_full_folder(tmp_path):
    """More than are asked for one by one; a link that leads nowhere is no file; other folders are looked in too."""
    for n in range(100):
        (tmp_path / f"{n:03d}.mp4").write_bytes(b"")
    (tmp_path / "050.mp4").unlink()
    (tmp_path / "060.mp4").unlink()
    (tmp_path / "060.mp4").symlink_to("nowhere")
    rows = [f"{n:03d}.mp4" for n in range(100)] + ["few/a.mp4"]
    missing, count = missing_files(pa.chunked_array([rows]), lambda p: str(tmp_path / p))
    assert sorted(missing.to_pylist()) == ["050.mp4", "060.mp4", "few/a.mp4"]
    assert count == 101
    (tmp_path / "m.csv").write_text("path,label\n" + "".join(f"{name},x\n" for name in rows))
    with pytest.raises(ManifestError, match=r"m\.csv line 52: '050\.mp4' is not there"):
        Manifest.read(tmp_path / "m.csv")


def test_quoted_cells_keep_their_lines(tmp_path):
    (tmp_path / "m.csv").write_text('path,label\n"a.mp4",x\n\n"b.mp4","y, z"\n')
    rows = Manifest.read(tmp_path / "m.csv", files=False)
    assert [rows.sample(i).where for i in (0, 1)] == ["m.csv line 2", "m.csv line 4"]
    assert rows.sample(1).labels == ("y, z",)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is read from /proc")
def test_a_million_rows(tmp_path: Path):
    path = tmp_path / "big.csv"
    with path.open("w") as file:
        file.write("path,label,start,end,split,group\n")
        for i in range(1_000_000):
            kind = f"class_{i % 400:03d}"
            file.write(
                f"videos/{kind}/video_{i:07d}.mp4,{kind},,,{'train' if i % 10 else 'val'},g{i // 10}\n"
            )
    done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True)
    rows, megabytes = map(float, done.stdout.split())
    assert rows == 1_000_000
    assert megabytes < 300
