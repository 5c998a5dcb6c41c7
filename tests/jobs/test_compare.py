"""`marey compare`: the same splits for all, a finished contender is kept, differences are paired."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from marey.cli.main import main
from marey.errors import CheckpointError, ConfigError, UnknownNameError, UsageError
from marey.jobs import compare as job
from marey.jobs.compare import CompareConfig, compare, contenders, resumed
from marey.jobs.contest import against_baseline, same_split, sentence
from marey.training.config import InputConfig, OptimConfig, SystemConfig

SMALL = ["widths=[4,8]"]


def config(data: Any, out: Any, **changes: Any) -> CompareConfig:
    settings: dict[str, Any] = {
        "data": str(data),
        "contenders": {
            "frame_average": {"backbone": "test_resnet"},
            "tiny": {"model": "r2plus1d_tiny", "model_args": SMALL, "optim": {"lr": 4e-3}},
        },
        "epochs": 1,
        "audit": False,
        "timed": 2,
        "input": InputConfig(frames=4, size=24, resize=28),
        "system": SystemConfig(device="cpu", cache_mb=64),
        "out": str(out),
    }
    return CompareConfig(**{**settings, **changes})


@pytest.fixture(scope="module")
def done(motion: Path, tmp_path_factory: pytest.TempPathFactory) -> job.Compared:
    return compare(config(motion, tmp_path_factory.mktemp("compare"), folds=2), quiet=True)


def test_a_comparison_is_whole(done: job.Compared) -> None:
    found = json.loads((done.run / "metrics.json").read_text())
    assert list(found["models"]) == ["frame_average", "tiny"]
    tiny, base = found["models"]["tiny"], found["models"]["frame_average"]
    assert found["baseline"] == "frame_average"
    assert "difference" not in base["contest"]
    assert tiny["n"] == base["n"] == 60
    contest = tiny["contest"]
    assert contest["difference"] == pytest.approx(tiny["top1"] - base["top1"])
    low, high = contest["difference_interval"]
    assert low <= contest["difference"] <= high
    assert contest["clip_ms"] > contest["network_ms"] > 0
    seconds = [float(r["seconds"]) for f in (1, 2) for r in results(done.run / "tiny" / f"fold-{f}")]
    assert contest["training_seconds"] == pytest.approx(sum(seconds))
    assert contest["settings"]["optim"] == {"lr": 4e-3}
    page = done.report.read_text()
    assert contest["sentence"].split(" (")[0] in page
    assert "optim.lr 0.004" in page
    assert (done.run / "plots" / "latency.png").stat().st_size > 5000
    assert (done.run / "tiny" / "report.html").is_file()


def results(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_resuming_trains_only_what_is_not_trained(
    done: job.Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p: p.stat().st_mtime_ns for p in done.run.glob("*/fold-*/weights/best.safetensors")}
    assert len(before) == 4
    (done.run / "metrics.json").unlink()
    began: list[Any] = []
    monkeypatch.setattr(job, "train", lambda *args, **_: began.append(args))
    again = compare(resumed(done.run), resume=done.run, quiet=True)
    assert not began
    assert again.run == done.run
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert again.metrics["models"]["tiny"]["top1"] == done.metrics["models"]["tiny"]["top1"]


def test_a_contender_is_a_difference_from_what_is_common(motion: Path, tmp_path: Path) -> None:
    settings = config(motion, tmp_path, epochs=3, optim=OptimConfig(lr=1e-2, weight_decay=0.1))
    made = contenders(settings)
    assert (made["tiny"].optim.lr, made["tiny"].optim.weight_decay) == (4e-3, 0.1)
    assert made["tiny"].model == "r2plus1d_tiny"
    assert made["frame_average"].optim.lr == 1e-2
    assert {m.epochs for m in made.values()} == {3}
    own = {"tiny": {"model": "r2plus1d_tiny", "input": {"sampler": "rate:fps=8,max=6"}}}
    rate = contenders(config(motion, tmp_path, contenders=own, models="tiny,frame_average"))["tiny"]
    assert (rate.input.sampler, rate.input.frames, rate.input.size) == ("rate:fps=8,max=6", None, 24)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"data": ""}, UsageError, "nothing to compare on"),
        ({"models": "cnn_gru"}, UsageError, "needs two contenders; got cnn_gru"),
        ({"models": "tiny,tiny"}, UsageError, "named twice"),
        ({"models": "tiny,cnn_grue"}, UnknownNameError, "Did you mean 'cnn_gru'"),
        ({"baseline": "tinny"}, UnknownNameError, "Did you mean 'tiny'"),
        (
            {"contenders": {"a": {"seed": 2}, "tsm": None}},
            ConfigError,
            "contender 'a': seed is the same for all",
        ),
        ({"contenders": {"a": {"modle": "tsm"}, "tsm": None}}, ConfigError, "Did you mean 'model'"),
        ({"contenders": {"../a": None, "tsm": None}}, ConfigError, "also its folder's"),
        (
            {"contenders": {"wide": {"model": "tsm", "input": {"size": 64}}, "tsm": None}},
            ConfigError,
            "contender 'wide': resize 28 is smaller",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(
    motion: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        compare(config(changes.pop("data", motion), tmp_path, **changes), quiet=True)
    assert not (tmp_path / "compare").exists()


def test_runs_on_other_samples_are_refused(tmp_path: Path) -> None:
    for name, text in (("a", "x"), ("b", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "split.csv").write_text(text)
    with pytest.raises(CheckpointError, match="b and a were not trained on the same samples"):
        same_split({name: tmp_path / name for name in "ab"})


def test_a_paired_difference_sees_what_two_intervals_hide(motion: Path, tmp_path: Path) -> None:
    """60 samples, 30 right against 39, the same ones and nine more: beyond doubt, though both intervals overlap."""
    from marey.data.manifest import Manifest

    manifest = Manifest.read(motion)
    for name, right in (("base", 30), ("more", 39)):
        (tmp_path / name).mkdir()
        rows = [f"{i},left,{0.9 if i < right else 0.1},{0.1 if i < right else 0.9}" for i in range(60)]
        (tmp_path / name / "predictions.csv").write_text("\n".join(["id,label,p:left,p:right", *rows]))
    found = against_baseline("more", tmp_path / "more", "base", tmp_path / "base", manifest)
    assert found["difference"] == pytest.approx(9 / 60)
    assert found["difference_interval"][0] > 0
    assert found["sentence"].startswith("more is better than base by 15.0 points (on the same 60 samples")
    same = against_baseline("more", tmp_path / "more", "more", tmp_path / "more", manifest)
    assert same["difference"] == 0
    assert "level with" in same["sentence"]
    assert "worse" in sentence("a", "b", -0.2, [-0.3, -0.1], 10, 5)
    assert "no difference that these samples can show" in sentence("a", "b", 0.1, [-0.1, 0.3], 10, 5)


def test_from_the_command_line(capsys: pytest.CaptureFixture[str], motion: Path, tmp_path: Path) -> None:
    """Data and flags by word, the contenders' own settings by file; a flag wins over the file."""
    file = tmp_path / "contest.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "contenders": {
                    "one": {"model": "r2plus1d_tiny", "model_args": SMALL},
                    "two": {"model": "r2plus1d_tiny", "model_args": SMALL, "optim": {"lr": 0.1}},
                    "three": {"model": "tsm"},
                },
                "epochs": 9,
                "timed": 0,
                "audit": False,
                "input": {"frames": 4, "size": 24, "resize": 28},
            }
        )
    )
    words = [str(motion), "--config", str(file), "--epochs", "1", "--models", "one,two", "--baseline", "two"]
    assert main(["compare", *words, "--device", "cpu", "--out", str(tmp_path), "--name", "small"]) == 0
    out = capsys.readouterr().out
    assert "one (2 of 2)" in out  # the baseline goes first
    assert "report:" in out
    assert (tmp_path / "compare" / "small" / "one" / "metrics.json").is_file()
    assert np.isclose(resumed(tmp_path / "compare" / "small").contenders["two"]["optim"]["lr"], 0.1)  # type: ignore[index]
    assert main(["compare", "--resume", str(tmp_path / "compare" / "small")]) == 0
    assert capsys.readouterr().out.count("trained already") == 2
    assert main(["compare", "--resume", "x", "--epochs", "2"]) == 2
