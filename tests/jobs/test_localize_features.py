"""A localizer on raw video: its network found and checked, times by the file's clock, features that do not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from marey.cli.main import main
from marey.data.features import FeatureFolder
from marey.jobs.localizing import LocalizerTrained, train_localizer
from marey.localize.saved import load_localizer
from marey.models import create_model, save_model
from marey.training.localizer_config import DenseConfig, FeatureConfig, LocalizerConfig, PyramidConfig
from tests.jobs.mover import found, near, save_mover, video

NO_FORMS = ("--device", "cpu", "--forms")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 videos of 10 s in which a square moves twice; the classifier that knows motion, as their network."""
    folder = tmp_path_factory.mktemp("moves")
    rng = np.random.default_rng(0)
    rows = ["path,label,start,end,split"]
    for i in range(24):
        first, second = rng.uniform(0.5, 2.0), rng.uniform(5.5, 6.5)
        spans = [(first, first + rng.uniform(1.2, 2.8)), (second, second + rng.uniform(1.2, 2.8))]
        video(folder / f"{i}.mp4", spans, seed=i)
        rows += [f"{i}.mp4,move,{a:.3f},{b:.3f},{'train' if i < 20 else 'val'}" for a, b in spans]
    (folder / "segments.csv").write_text("\n".join(rows) + "\n")
    save_mover(folder / "mover.safetensors")
    return folder


def trained(data: Path, out: Path, **changes: object) -> LocalizerTrained:
    source = FeatureConfig(weights=str(data / "mover.safetensors"), fps=8.0, window=2, stride=1)
    settings = {
        "data": str(data / "segments.csv"), "source": source, "pyramid": PyramidConfig(channels=32, mixer="maxpool"),
        "epochs": 15, "repeat": 2, "lr": 4e-3, "ema": 0.9, "device": "cpu", "out": str(out), **changes,
    }  # fmt: skip
    return train_localizer(LocalizerConfig(**settings), quiet=True)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def localizer(data: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalizerTrained:
    return trained(data, tmp_path_factory.mktemp("localizer"))


def test_a_raw_video_is_what_its_features_are(
    data: Path, localizer: LocalizerTrained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["localize", str(localizer.run), str(data / "segments.csv"), "--out", str(tmp_path), *NO_FORMS]
    assert main(words) == 0
    out = capsys.readouterr()
    assert "the best on val" in out.err
    assert "average mAP" in out.out
    run = tmp_path / "localize" / "localize"
    written = json.loads((run / "segments.json").read_text())["results"]
    known = json.loads((localizer.run / "predictions.json").read_text())["results"]
    assert sorted(written) == sorted(known)
    for path, rows in known.items():
        ours = sorted(written[path], key=lambda row: -row["score"])
        assert [row["score"] for row in ours] == pytest.approx([row["score"] for row in rows], abs=1e-4)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["map"] == pytest.approx(localizer.metrics["map"], abs=1e-6)
    assert metrics["map"] > 0.9
    # the features that the training left give the same
    folder = next((localizer.run.parents[1] / "features").iterdir())
    assert main([*words, "--features", str(folder)]) == 0
    again = json.loads((tmp_path / "localize" / "localize-2" / "segments.json").read_text())["results"]
    for path, rows in written.items():
        assert [row["score"] for row in again[path]] == pytest.approx([r["score"] for r in rows], abs=1e-4)


def test_by_the_clock_of_a_video_of_variable_rate(localizer: LocalizerTrained, tmp_path: Path) -> None:
    """From second 5 on, 25 frames a second, then 6, then 25 again."""
    gaps = np.concatenate([np.full(100, 0.04), np.full(24, 0.16), np.full(60, 0.04)])
    times = np.round((5.0 + np.concatenate([[0.0], np.cumsum(gaps)])) * 1000) / 1000
    spans = [(6.0, 8.0), (11.0, 13.5)]
    path = video(tmp_path / "vfr.mkv", spans, times=times)
    words = ["localize", str(localizer.weights), str(path), "--out", str(tmp_path), *NO_FORMS]
    assert main(words) == 0
    best = sorted(found(tmp_path / "localize" / "localize"), key=lambda row: float(row["score"]))[-2:]
    assert near(sorted(best, key=lambda row: float(row["start"])), spans, 0.5)


def test_a_dense_labeller_on_raw_video(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dense = DenseConfig(dense_channels=16, layers=4, refine_layers=3, refinements=1, dense_dropout=0.0)
    done = trained(data, tmp_path, task="dense", dense=dense, epochs=15)
    words = ["localize", str(done.run), str(data / "23.mp4"), "--out", str(tmp_path), "--device", "cpu"]
    assert main([*words, "--forms", "picture"]) == 0
    assert "ms-tcn on features of frame_difference" in capsys.readouterr().out
    run = tmp_path / "localize" / "localize"
    assert (run / "timelines" / "23.png").is_file()
    known = json.loads((done.run / "predictions.json").read_text())["results"][str(data / "23.mp4")]
    rows = found(run)
    assert len(rows) == len(known) > 0
    for row, one in zip(rows, known, strict=True):
        assert [float(row["start"]), float(row["end"])] == pytest.approx(one["segment"], abs=2e-3)


def test_the_network_of_the_features(
    data: Path, localizer: LocalizerTrained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone.safetensors"
    shutil.copyfile(localizer.weights, alone)
    words = ["localize", str(alone), str(data / "23.mp4"), "--out", str(tmp_path), *NO_FORMS]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "the network of its features (frame_difference) does not lie beside this localizer" in err
    assert "--backbone" in err
    for right in (data / "mover.safetensors", localizer.run):
        assert main([*words, "--backbone", str(right)]) == 0
    other = save_mover(tmp_path / "other.safetensors", multi_label=True)
    assert main([*words, "--backbone", str(other)]) == 1
    assert "not the one that made the features" in capsys.readouterr().err
    assert main([*words, "--backbone", str(alone)]) == 1
    assert "this is a localizer" in capsys.readouterr().err
    assert main([*words, "--backbone", str(tmp_path / "gone")]) == 1
    assert "gone" in capsys.readouterr().err
    assert main(["predict", str(localizer.weights), str(data / "23.mp4")]) == 1
    assert "marey localize takes it" in capsys.readouterr().err
    for flag in (("--window", "1"), ("--on", "0.4"), ("--fit", str(data / "segments.csv"))):
        assert main([*words, *flag]) in (1, 2)
        assert "classifier that slides" in capsys.readouterr().err


def test_features_that_do_not_fit(
    data: Path, localizer: LocalizerTrained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """NaN, another grid, another video: named, and no traceback; the other video goes on."""
    made = next((localizer.run.parents[1] / "features").iterdir())
    folder = tmp_path / "features"
    shutil.copytree(made, folder)
    stored = FeatureFolder.open(folder)
    nine = stored.of_video(str(data / "23.mp4"))
    words = [
        "localize",
        str(localizer.run),
        str(data / "8.mp4"),
        str(data / "23.mp4"),
        "--out",
        str(tmp_path),
    ]
    words += ["--features", str(folder), *NO_FORMS]
    good = np.array(nine.array)

    def fails(text: str, code: int = 1, others: int = 1) -> None:
        capsys.readouterr()
        assert main(words) == code
        assert text in capsys.readouterr().err
        runs = sorted((tmp_path / "localize").glob("*"), key=lambda p: p.stat().st_mtime_ns)
        assert len({row["path"] for row in found(runs[-1])}) == others

    bad = good.copy()
    bad[7, 3] = np.nan
    np.save(nine.path, bad)
    fails("NaN or infinity")
    np.save(nine.path, good[:10])
    fails("there are 10 positions and its JSON says")
    about = nine.path.with_suffix(".json")
    info = json.loads(about.read_text())
    about.write_text(json.dumps({**info, "positions": 10}))
    fails("positions of this grid")
    about.write_text(json.dumps({"fps": 8.0, "num_frames": 2, "feat_stride": 1}))
    fails("and the video to 10.")  # of other tools, which say nothing of the length: the video is looked at
    about.unlink()
    nine.path.unlink()
    fails("these features cannot be read")
    settings = json.loads((folder / "features.json").read_text())
    (folder / "features.json").write_text(json.dumps({**settings, "fps": 4.0}))
    capsys.readouterr()
    assert main(words) == 2
    assert "fps is 4.0 here, and was 8.0 there" in capsys.readouterr().err


def test_a_localizer_of_features_from_elsewhere(
    data: Path, localizer: LocalizerTrained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows their network: raw video is refused with what to do, their features are taken."""
    made = FeatureFolder.open(next((localizer.run.parents[1] / "features").iterdir()))
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "features.json").write_text(json.dumps({"fps": 8.0, "num_frames": 2, "feat_stride": 1}))
    for i in range(24):
        np.save(plain / f"{i}.npy", np.array(made.of_video(str(data / f"{i}.mp4")).array))
    done = trained(data, tmp_path, source=FeatureConfig(features=str(plain)), epochs=2)
    words = ["localize", str(done.run), str(data / "23.mp4"), "--out", str(tmp_path), *NO_FORMS]
    assert main(words) == 1
    assert "--features FOLDER" in capsys.readouterr().err
    assert main([*words, "--features", str(plain)]) == 0


def test_two_localizers_answer_as_one(
    data: Path, localizer: LocalizerTrained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With itself: what it says alone. Another run of other levels, or a dense labeller, is refused."""
    words = ["localize", str(localizer.run), str(data / "23.mp4"), "--out", str(tmp_path), *NO_FORMS]
    assert main(words) == 0
    assert main([*words, "--fuse-with", str(localizer.run)]) == 0
    assert "frame_difference and frame_difference" in capsys.readouterr().out
    alone, fused = (
        json.loads((tmp_path / "localize" / name / "segments.json").read_text())["results"]
        for name in ("localize", "localize-2")
    )
    for path, rows in alone.items():
        assert [r["score"] for r in fused[path]] == pytest.approx([r["score"] for r in rows], abs=1e-5)
    other = trained(data, tmp_path, epochs=1, pyramid=PyramidConfig(channels=32, mixer="maxpool", levels=3))
    assert main([*words, "--fuse-with", str(other.run)]) == 2
    assert "different points" in capsys.readouterr().err
    assert main([*words, "--fuse-with", str(other.run), "--features", "x"]) == 2


def test_two_different_localizers_answer_as_one(
    data: Path, localizer: LocalizerTrained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of differences between pictures, as flow would be, and one of single pictures: the score that is told is that
    of the mean of what both say of a point, whichever is named first."""
    torch.manual_seed(0)
    pictures = create_model("frame_average", num_classes=1, backbone="test_resnet", size=32)
    save_model(tmp_path / "pictures.safetensors", pictures, class_names=("features",))
    source = FeatureConfig(weights=str(tmp_path / "pictures.safetensors"), fps=8.0, window=2, stride=1)
    other = trained(data, tmp_path, source=source, epochs=4)
    path = str(data / "23.mp4")
    pairs = ((localizer.run, other.run), (other.run, localizer.run))
    scores, first = [], []
    for one, two in pairs:
        words = ["localize", str(one), path, "--fuse-with", str(two), "--out", str(tmp_path), *NO_FORMS]
        assert main(words) == 0
        out = capsys.readouterr()
        assert f"on val of the first run alone, {one}; for both together none was fitted" in out.err
        first.append(out.out)
        run = sorted((tmp_path / "localize").iterdir(), key=lambda p: len(p.name))[-1]
        rows = json.loads((run / "segments.json").read_text())["results"][path]
        scores.append(sorted((row["score"] for row in rows), reverse=True))
    assert "frame_difference and frame_average" in first[0]
    assert "frame_average and frame_difference" in first[1]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    said = []
    for run in pairs[0]:
        folder = FeatureFolder.open(_features_of(run))
        x_TD = torch.from_numpy(np.array(folder.of_video(path).array))
        with torch.no_grad():
            said.append(load_localizer(run / "weights" / "best.safetensors").model(x_TD[None])[0])
    assert scores[0][0] == pytest.approx(float(((said[0] + said[1]) / 2).sigmoid().max()), abs=1e-4)
    assert abs(scores[0][0] - float(said[0].sigmoid().max())) > 1e-3


def _features_of(run: Path) -> Path:
    return next((run.parents[1] / "features").iterdir())
