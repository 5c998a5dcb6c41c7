"""From segments and features to a timeline: trained, judged, written, rebuilt; and what is refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from marey.cli.main import main
from marey.data.features import FeatureFolder
from marey.data.manifest import Manifest
from marey.data.timelines import timelines
from marey.errors import CheckpointError, DataError, SegmentError
from marey.jobs.localizing import resume_localizer_config, train_localizer
from marey.localize.saved import load_localizer
from marey.models import create_model, save_model
from marey.predict.localizer import LocalizerPredictor
from marey.training.localizer_config import DenseConfig, FeatureConfig, LocalizerConfig, PyramidConfig
from marey.video.steps import make_steps
from marey.video.synthetic import write_video

ATTENTION = PyramidConfig(channels=16, heads=2, attention_window=9, stem=1)
CLASSES = ("open", "take", "close")
FPS, STEPS = 8, 96


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten videos of 12 s with segments that may overlap, and features that show them through noise.

    The videos hold nothing: what is tested begins at features. The grid is that of one position a frame.
    """
    folder = tmp_path_factory.mktemp("steps")
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(len(CLASSES), 16))
    rows = [("path", "label", "start", "end", "split")]
    frames = np.zeros((STEPS, 16, 16, 3), np.uint8)
    (folder / "features").mkdir()
    (folder / "features" / "features.json").write_text(json.dumps({"fps": FPS, "num_frames": 1}))
    for i in range(10):
        write_video(folder / f"{i}.mp4", frames, fps=FPS)
        x = rng.normal(scale=0.4, size=(STEPS, 16))
        split = "train" if i < 7 else "val"
        times = (np.arange(STEPS) + 0.5) / FPS
        for k, label in enumerate(CLASSES):
            if i == 9 and k == 0:
                continue
            start = float(rng.uniform(0.3, 8.0))
            end = start + float(rng.uniform(1.0, 3.0))
            x[(times >= start) & (times < end)] += patterns[k]
            rows.append((f"{i}.mp4", label, f"{start:.3f}", f"{end:.3f}", split))
        np.save(folder / "features" / f"{i}.npy", x.astype(np.float32))
    with (folder / "segments.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def config(steps: Path, out: Path, **changes: object) -> LocalizerConfig:
    settings = {
        "data": str(steps / "segments.csv"), "source": FeatureConfig(features=str(steps / "features")),
        "pyramid": PyramidConfig(channels=32, mixer="maxpool"), "epochs": 60, "repeat": 2, "batch": 4,
        "lr": 4e-3, "ema": 0.9, "device": "cpu", "out": str(out),
    }  # fmt: skip
    return LocalizerConfig(**{**settings, **changes})  # type: ignore[arg-type]


def test_a_localizer_learns_and_is_rebuilt_from_its_file(steps: Path, tmp_path: Path) -> None:
    done = train_localizer(config(steps, tmp_path), quiet=True)
    assert done.metrics["map"] > 0.75
    with (done.run / "results.csv").open(newline="") as file:
        watched = {int(row["epoch"]): float(row["val_map"]) for row in csv.DictReader(file) if row["val_map"]}
    assert list(watched) == list(range(6, 61, 6))
    assert watched[60] == pytest.approx(done.metrics["map"], abs=1e-5)
    low, high = done.metrics["intervals"]["map"]
    assert low <= done.metrics["map"] <= high
    assert done.metrics["evaluators"]["thumos14 0.3:0.1:0.7"]["evaluator"].startswith("THUMOS")
    saved = load_localizer(done.weights)
    assert saved.class_names == ("close", "open", "take")
    written = json.loads((done.run / "predictions.json").read_text())["results"]
    video = str(steps / "8.mp4")
    stored = FeatureFolder.open(steps / "features").of_video(video)
    from marey.data.annotated import time_map

    predictor = LocalizerPredictor(saved.model, saved.class_names, config(steps, tmp_path).decode)
    whole = predictor.segments([np.array(stored.array)], len(stored), time_map(stored, video))
    assert [s.label for s in whole] == [row["label"] for row in written[video]]
    assert [s.score for s in whole] == pytest.approx([row["score"] for row in written[video]], abs=1e-5)
    # the same in parts of any size; and in stretches that overlap, for what is sure
    parts = [np.array(stored.array[i : i + 7]) for i in range(0, len(stored), 7)]
    assert [
        s.start for s in predictor.segments(parts, len(stored), time_map(stored, video))
    ] == pytest.approx([s.start for s in whole])
    short = replace(predictor, positions=64).segments(parts, len(stored), time_map(stored, video))
    sure = [s for s in whole if s.score is not None and s.score > 0.5]
    assert sure
    for s in sure:
        near = [t for t in short if t.label == s.label and abs(t.start - s.start) + abs(t.end - s.end) < 0.8]
        assert near, s
    page = (done.run / "report.html").read_text()
    assert "where F1 over all classes is highest" in page
    for words in (
        "loss and mAP over epochs",
        "What happens when",
        "ActivityNet",
        "What the false positives are",
    ):
        assert words in page
    assert "<script" not in page


def test_anchors_learn_too(steps: Path, tmp_path: Path) -> None:
    pyramid = PyramidConfig(channels=32, head="anchors")
    done = train_localizer(config(steps, tmp_path, pyramid=pyramid, epochs=30, name="anchors"), quiet=True)
    assert done.metrics["map"] > 0.6
    assert done.metrics["model"]["name"] == "anchors"
    assert load_localizer(done.weights).kind == "anchors"
    log = (done.run / "log.txt").read_text()
    scales = done.metrics["model"]["kwargs"]["scales"]
    assert f"anchors of {', '.join(f'{scale:.3g}' for scale in scales)} steps, windows of" in log
    assert "levels" not in log


def test_a_test_split_is_judged_once(steps: Path, tmp_path: Path) -> None:
    """What a training says on the way is of val; the videos of test are judged at its end."""
    text = (steps / "segments.csv").read_text()
    data = steps / "three.csv"
    data.write_text("\n".join(x.replace(",val", ",test") if x[0] in "89" else x for x in text.splitlines()))
    pyramid = PyramidConfig(channels=16, mixer="maxpool")
    done = train_localizer(config(steps, tmp_path, data=str(data), epochs=4, pyramid=pyramid), quiet=True)
    assert done.metrics["n"] == 2
    only = steps / "val.csv"
    only.write_text("\n".join(x for x in data.read_text().splitlines() if not x.endswith(",test")))
    same = train_localizer(config(steps, tmp_path, data=str(only), epochs=4, pyramid=pyramid), quiet=True)
    with (done.run / "results.csv").open(newline="") as file:
        assert float(list(csv.DictReader(file))[-1]["val_map"]) == pytest.approx(
            same.metrics["map"], abs=1e-5
        )


@pytest.mark.parametrize("pyramid", [ATTENTION, PyramidConfig(channels=16, head="anchors")])
def test_going_on_is_bit_equal(
    steps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pyramid: PyramidConfig
) -> None:
    settings = config(steps, tmp_path, epochs=3, repeat=1, name="whole", pyramid=pyramid)
    whole = train_localizer(settings, quiet=True)
    import marey.training.localizer as module

    saves = []
    real = module.save_state

    def stop(*args: object) -> None:
        real(*args)  # type: ignore[arg-type]
        saves.append(1)
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_state", stop)
    with pytest.raises(KeyboardInterrupt):
        train_localizer(replace(settings, name="cut"), quiet=True)
    monkeypatch.undo()
    run = tmp_path / "train" / "cut"
    resumed = train_localizer(resume_localizer_config(run), resume=run, quiet=True)
    one, two = (load_localizer(path).model.state_dict() for path in (whole.weights, resumed.weights))
    assert all((one[key] == two[key]).all() for key in one)


def test_every_moment_a_label(steps: Path, tmp_path: Path) -> None:
    rows = list(csv.reader((steps / "segments.csv").open()))
    alone = [
        rows[0],
        *(row for row in rows[1:] if row[1] == "open" or (row[0] == "9.mp4" and row[1] == "take")),
    ]
    data = tmp_path / "alone.csv"
    data.write_text(
        "\n".join(",".join([str(steps / r[0]) if i else r[0], *r[1:]]) for i, r in enumerate(alone))
    )
    settings = config(
        steps, tmp_path, data=str(data), task="dense", epochs=25,
        dense=DenseConfig(dense_channels=16, layers=5, refine_layers=4, refinements=1, dense_dropout=0.1),
    )  # fmt: skip
    done = train_localizer(settings, quiet=True)
    assert done.metrics["segmentation"]["ms-tcn"]["f1"]["50"] > 0.5
    assert "F1@50 (MS-TCN)" in (done.run / "report.html").read_text()
    with pytest.raises(DataError, match="overlap, and dense labelling gives every moment one label"):
        train_localizer(replace(settings, data=str(steps / "segments.csv")), quiet=True)


def test_what_cannot_be_learnt_from(steps: Path, tmp_path: Path) -> None:
    def rows(name: str, *lines: str) -> str:
        path = steps / name
        path.write_text("path,label,start,end,split\n" + "\n".join(lines) + "\n")
        return str(path)

    good = "0.mp4,open,1,2,train", "8.mp4,open,1,2,val"
    with pytest.raises(SegmentError, match=r"outside\.csv line 4.*\n.*8\.mp4"):
        train_localizer(
            config(steps, tmp_path, data=rows("outside.csv", *good, "8.mp4,open,11,14,val")), quiet=True
        )
    with pytest.raises(DataError, match="no segment at all"):
        train_localizer(
            config(steps, tmp_path, data=rows("none.csv", good[0], "8.mp4,background,,,val")), quiet=True
        )
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in (steps / "features").iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    x = np.load(broken / "3.npy")
    x[5, 2] = np.nan
    np.save(broken / "3.npy", x)
    with pytest.raises(DataError, match="first at position 5"):
        train_localizer(config(steps, tmp_path, source=FeatureConfig(features=str(broken))), quiet=True)
    np.save(broken / "3.npy", np.load(steps / "features" / "3.npy"))
    (broken / "3.json").write_text(json.dumps({"fps": FPS, "num_frames": 1, "duration": 40.0}))
    with pytest.raises(DataError, match=r"cover 12\.00 s, and the video lasts 40\.00 s"):
        train_localizer(config(steps, tmp_path, source=FeatureConfig(features=str(broken))), quiet=True)
    done = tmp_path / "not"
    done.mkdir()
    with pytest.raises(CheckpointError, match=r"no config\.yaml"):
        resume_localizer_config(done)


def test_from_the_command_line(steps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--task", "localize", "--data", str(steps / "segments.csv"), "--out", str(tmp_path)]
    flags = ["--channels", "16", "--heads", "2", "--epochs", "1", "--device", "cpu"]
    assert main([*words, "--features", str(steps / "features"), *flags]) == 0
    out = capsys.readouterr().out
    assert "average mAP" in out
    assert "report:" in out
    assert main(words) == 2
    assert "give --features FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--head", "anchors", "--mixer", "attention"], "--mixer has no meaning with --head anchors"),
        (["--head", "anchors", "--levels", "3", "--radius", "1"], "--levels and --radius have no meaning"),
        (["--head", "anchors", "--ends-loss", "giou"], "--ends-loss has no meaning"),
        (["--head", "anchors", "--drop-path", "0"], "--drop-path has no meaning"),
        (["--head", "anchors", "--heads", "2", "--stem", "1", "--attention-window", "9"],
         "--attention-window, --heads and --stem have no meaning"),
        (["--head", "anchors", "--anchor-scales", "0", "4"], "are lengths above 0 in grid steps; got (0.0"),
        (["--head", "anchors", "--anchor-scales", "nan"], "--anchor-scales are lengths above 0"),
        (["--anchor-scales", "4"], "--anchor-scales has no meaning without --head anchors"),
        (["--no-context"], "--no-context has no meaning without --head anchors"),
    ],
)  # fmt: skip
def test_what_a_head_has_no_use_for_is_refused(
    steps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    words = ["train", "--task", "localize", "--data", str(steps / "segments.csv"), "--out", str(tmp_path)]
    assert main([*words, "--features", str(steps / "features"), *flags]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_from_videos_by_way_of_features(tmp_path: Path) -> None:
    """Raw video in: features are computed on the way, found again by the next run, and lie beside the weights."""
    data = make_steps(tmp_path / "set", videos=4, seconds=8, size=32, val=0.5)
    torch.manual_seed(0)
    network = create_model("frame_average", num_classes=1, backbone="test_resnet", size=32)
    save_model(tmp_path / "network.safetensors", network, class_names=("features",))
    source = FeatureConfig(weights=str(tmp_path / "network.safetensors"), fps=2.0)
    settings = config(
        tmp_path, tmp_path, data=str(data), source=source, epochs=1, pyramid=ATTENTION, name="first"
    )
    done = train_localizer(settings, quiet=True)
    assert (done.run / "weights" / "network.safetensors").is_file()
    assert load_localizer(done.weights).features["model"] == "frame_average"
    assert done.metrics["n"] == 2
    train_localizer(replace(settings, name="second"), quiet=True)
    assert len(list((tmp_path / "features").iterdir())) == 1


def test_windows_for_a_classifier_that_slides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_steps(tmp_path / "set", videos=2, seconds=8, size=32, val=0.5)
    to = tmp_path / "windows.csv"
    assert main(["data", "windows", str(data), str(to), "--window", "1", "--stride", "0.5"]) == 0
    assert "windows by label: " in capsys.readouterr().out
    manifest = Manifest.read(to)
    assert manifest.multi_label
    assert len(manifest) == 2 * 15
    _, lines = timelines(Manifest.read(data))
    for row in range(len(manifest)):
        sample = manifest.sample(row)
        assert sample.start is not None
        assert sample.end == pytest.approx(sample.start + 1)
        line = next(x for x in lines if Path(x.path).samefile(sample.path))
        inside = (line.segments[:, 0] <= sample.start) & (line.segments[:, 1] >= sample.end)
        assert (sample.labels == ("background",)) <= (not inside.any())
    assert main(["data", "windows", str(data), str(to)]) == 2
    assert "this file is there already" in capsys.readouterr().err
