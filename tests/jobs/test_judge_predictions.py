"""Others' segments judged on the command line: names that agree or not, and files that are not what they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marey.cli.main import main
from marey.metrics.activitynet import predictions_from_json, truth_from_json
from marey.metrics.localization import THUMOS, activitynet_map

TRUTH = {
    "v1": [("run", 1.0, 4.0), ("jump", 5.0, 7.0)],
    "v2": [("run", 2.0, 3.0)],
    "v3": [],
    "t1": [("run", 0.0, 9.0)],
}


def truth(**changes: list[tuple[str, float, float]]) -> dict[str, Any]:
    return {
        "database": {
            video: {
                "subset": "training" if video.startswith("t") else "validation",
                "annotations": [{"label": k, "segment": [s, e]} for k, s, e in those],
            }
            for video, those in {**TRUTH, **changes}.items()
        }
    }


def said(**videos: list[tuple[str, float, float, float]]) -> dict[str, Any]:
    return {
        "results": {
            video.replace("__", "/"): [{"label": k, "segment": [s, e], "score": x} for k, s, e, x in those]
            for video, those in videos.items()
        }
    }


GOOD = {
    "v1": [("run", 1.0, 4.2, 0.9), ("jump", 5.5, 7.0, 0.8), ("run", 5.0, 6.0, 0.3)],
    "v2": [("run", 2.5, 3.5, 0.7)],
}


@pytest.fixture
def judge(tmp_path: Path) -> Any:
    def run(predictions: Any, gt: Any, *flags: str) -> int:
        for name, content in (("p.json", predictions), ("gt.json", gt)):
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text)
        files = ["--predictions", str(tmp_path / "p.json"), "--truth", str(tmp_path / "gt.json")]
        return main(["eval", "--task", "localize", *files, "--out", str(tmp_path), "--name", "x", *flags])

    return run


def metrics(tmp_path: Path) -> dict[str, Any]:
    found = sorted((tmp_path / "eval").glob("x*/metrics.json"), key=lambda p: p.stat().st_mtime_ns)[-1]
    content: dict[str, Any] = json.loads(found.read_text())
    return content


def test_every_evaluator_by_its_name(judge: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(said(**GOOD), truth(), "--subset", "validation") == 0
    out = capsys.readouterr()
    for words in ("ActivityNet (all-point", "THUMOS'14 development kit", "split validation", "report:"):
        assert words in out.out
    assert "1 of 3 videos of the truth have no entry" in out.err
    found = metrics(tmp_path)
    table = predictions_from_json(said(**GOOD))
    own = activitynet_map(table, truth_from_json(truth(), subset="validation"), THUMOS)["average_map"]
    assert found["map"] == pytest.approx(own)
    assert 0 < own < 1
    page = (tmp_path / "eval" / "x" / "report.html").read_text()
    assert "What the false positives are" in page


def test_names_classes_and_other_splits(
    judge: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(said(**GOOD), truth(), "--subset", "validation") == 0
    plain = metrics(tmp_path)["map"]
    # by the files' names; predictions of another split are no mistakes
    moved = {"videos__v1.mp4": GOOD["v1"], "videos__v2.mp4": GOOD["v2"], "t1": [("run", 0.0, 1.0, 0.99)]}
    assert judge(said(**moved), truth(), "--subset", "validation") == 0
    assert metrics(tmp_path)["map"] == pytest.approx(plain)
    assert "1 videos are of another split and left out" in capsys.readouterr().err
    # a class that is not there is left out, a video that is not there counts as false; both are said
    more = {**GOOD, "w9": [("run", 0.0, 9.0, 0.95)], "v3": [("runn", 0.0, 1.0, 0.9)]}
    assert judge(said(**more), truth(), "--subset", "validation") == 0
    err = capsys.readouterr().err
    assert "1 videos are not in the truth (w9): their 1 segments count as false" in err
    assert "1 classes are not in the truth (runn): their 1 segments are left out" in err
    assert "Did you mean 'run'?" in err
    assert metrics(tmp_path)["map"] < plain


def test_truth_as_a_manifest(judge: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "truth.csv"
    rows = [
        f"{v}.mp4,{k},{s},{e},{'train' if v[0] == 't' else 'val'}" for v, t in TRUTH.items() for k, s, e in t
    ]
    table.write_text("\n".join(["path,label,start,end,split", *rows, "v3.mp4,background,,,val"]) + "\n")
    assert judge(said(**GOOD), truth(), "--subset", "validation") == 0
    plain = metrics(tmp_path)["map"]
    words = ["eval", "--predictions", str(tmp_path / "p.json"), "--truth", str(table), "--out", str(tmp_path)]
    assert main([*words, "--name", "x"]) == 0
    assert metrics(tmp_path)["map"] == pytest.approx(plain)
    assert metrics(tmp_path)["protocol"]["split"] == "val"
    table.write_text("path,label,start,end\nv1.mp4,run,4,2\n")
    assert main(words) == 1
    assert "truth.csv line 2" in capsys.readouterr().err
    assert main([*words, "--subset", "validation"]) == 2


@pytest.mark.parametrize(
    ("predictions", "gt", "flags", "words"),
    [
        ("{", truth(), [], "p.json: this is not JSON"),
        ("[]", truth(), [], "p.json: this is no JSON object, but a list"),
        ({"database": {}}, truth(), [], 'p.json: ActivityNet predictions hold "results"'),
        (said(), said(), [], 'gt.json: an ActivityNet ground truth holds "database"'),
        (said(v1=[("run", 4.0, 2.0, 0.5)]), truth(), [], "reversed or not finite"),
        (said(v1=[("run", float("nan"), 2.0, 0.5)]), truth(), [], "reversed or not finite"),
        (said(v1=[("run", 1.0, 2.0, float("nan"))]), truth(), [], "the score of segment 0 is nan"),
        ({"results": {"v1": [{"label": "run", "segment": [1]}]}}, truth(), [], "p.json: v1: segment 0 cannot be read"),
        ({"results": {"v1": 3}}, truth(), [], "p.json: v1:"),
        ({"results": {"v1": [{"label": "run", "segment": [1, 2]}]}}, truth(), [], "label, score and segment"),
        (said(**GOOD), {"database": {"v1": 3}}, [], "gt.json: v1:"),
        (said(**GOOD), truth(v2=[("run", 2.0, 2.0)]), [], "gt.json: v2: the segment of 'run' at 2 s has no length"),
        (said(**GOOD), truth(v2=[("run", 3.0, 2.0)]), [], "gt.json: v2, run, row"),
        (said(**GOOD), truth(), ["--subset", "testing"], "no video is of the subset 'testing'"),
        (said(a=GOOD["v1"]), truth(), [], "no video of the predictions is in the ground truth"),
        (said(v1=[("swim", 1.0, 2.0, 0.5)]), truth(), [], "no class of the predictions is in the ground truth"),
        (said(**GOOD), {"database": {"v1": {"annotations": []}}}, [], "the ground truth has no segment"),
    ],
)  # fmt: skip
def test_files_that_are_not_what_they_should_be(
    judge: Any, capsys: pytest.CaptureFixture[str], predictions: Any, gt: Any, flags: list[str], words: str
) -> None:
    assert judge(predictions, gt, *flags) in (1, 2)
    assert words in capsys.readouterr().err


def test_nothing_found_is_an_answer(judge: Any, tmp_path: Path) -> None:
    assert judge(said(v1=[], v2=[]), truth(), "--subset", "validation") == 0
    assert metrics(tmp_path)["map"] == 0
    assert not np.isnan(metrics(tmp_path)["intervals"]["map"]).any()


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--predictions", str(tmp_path / "no.json"), "--truth", "t.json"]) == 1
    assert "no.json: this cannot be read: No such file" in capsys.readouterr().err
