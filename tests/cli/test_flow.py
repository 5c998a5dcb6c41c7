"""`marey flow` as a user runs it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from marey.cli.main import main
from marey.video.flow import StoredFlow, read_index
from marey.video.synthetic import render_motion, write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("flow")
    for number, label in enumerate(("left", "right")):
        (out / label).mkdir()
        frames = render_motion(label, np.random.default_rng(number), frames=6, fps=12).frames
        write_video(out / label / "a.mp4", frames, fps=12)
    with (out / "rows.csv").open("w", newline="") as file:
        rows = [("path", "label", "start", "end"), ("left/a.mp4", "left", 0.1, 0.3)]
        csv.writer(file).writerows([*rows, ("right/none.mp4", "right", "", "")])
    return out


def test_a_folder_and_again(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "flow",
        str(folder),
        "--out",
        str(tmp_path),
        "--method",
        "diff",
        "--size",
        "32",
        "--workers",
        "1",
    ]
    assert main(words) == 0
    seen = capsys.readouterr()
    assert "2 videos computed (10 fields), 0 found" in seen.out
    assert "about" in seen.err
    assert main(words) == 0
    assert "0 videos computed (0 fields), 2 found" in capsys.readouterr().out
    stored = [StoredFlow(tmp_path / row["folder"]) for row in read_index(tmp_path)]
    assert [len(flow) for flow in stored] == [5, 5]
    assert stored[0].info["height"] == 32


def test_a_manifest_with_a_segment_and_a_missing_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "flow",
        str(folder / "rows.csv"),
        "--out",
        str(tmp_path),
        "--method",
        "dis-fast",
        "--workers",
        "1",
    ]
    assert main(words) == 1
    assert "none.mp4: there is no such file" in capsys.readouterr().err
    done, failed = read_index(tmp_path)
    assert (done["start"], done["end"], done["status"], failed["status"]) == ("0.1", "0.3", "whole", "failed")
    assert len(StoredFlow(tmp_path / done["folder"])) == 2


def test_show(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", str(folder / "left" / "a.mp4"), "--show", str(tmp_path / "flow.png")]) == 0
    assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")
    assert "dis-medium flow of" in capsys.readouterr().out


def test_wrong_words(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", str(folder)]) == 2
    assert "--out FOLDER" in capsys.readouterr().err
    assert main(["flow", str(folder), "--out", str(tmp_path), "--method", "dis-slow"]) == 2
    assert "Did you mean 'dis-fast'" in capsys.readouterr().err
