"""Heads on stored features: trained in seconds, judged as always, and predicting from raw video."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import marey
from marey.cli.main import main
from marey.data.features import FeatureFolder
from marey.errors import ConfigError, DataError, UnknownNameError, UsageError
from marey.jobs.evaluate import EvalConfig, evaluate
from marey.jobs.extract import ExtractConfig, extract
from marey.jobs.logistic import choose_penalty
from marey.jobs.train import train
from marey.models import create_model, load_model, save_model
from marey.models.heads import HEADS, INPUTS, Head
from marey.training.config import OptimConfig, SystemConfig, TrainConfig
from marey.video.synthetic import render_motion, write_video
from tests.models.small import randomise


def quiet(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 clips of 1 s in 8 groups; features of an image network, of one that sees windows of 4 frames, and of one
    that sees the flow in them."""
    folder = tmp_path_factory.mktemp("stored")
    rng = np.random.default_rng(3)
    rows = [("path", "label", "group", "split")]
    for i in range(16):
        label = ("left", "approach")[i % 2]
        frames = render_motion(label, rng, size=40, frames=8 + i % 3, fps=8.0).frames
        write_video(folder / f"{i:02d}.mp4", frames, fps=8.0)
        rows.append((f"{i:02d}.mp4", label, f"g{i // 2}", "train" if i < 10 else "val"))
    with (folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    torch.manual_seed(0)
    image = create_model("frame_average", num_classes=1, backbone="test_resnet", size=64, parts=2)
    time = create_model("r2plus1d_tiny", num_classes=1, widths=[4, 8], size=24, frames=4)
    flow = create_model(
        "two_stream", num_classes=1, branch="flow", backbone="test_resnet", size=32, stack=3, stack_stride=2
    )
    for name, model, window in (("image", image, None), ("time", time, 4), ("flow", flow, 4)):
        save_model(folder / f"{name}.safetensors", randomise(model), class_names=("features",))
        done = extract(
            ExtractConfig(
                data=str(folder / "rows.csv"), weights=str(folder / f"{name}.safetensors"),
                out=str(folder / name), window=window, device="cpu",
            ),
            say=quiet,
        )  # fmt: skip
        assert done.exit_code == 0
    return folder


def config(stored: Path, out: Path, **changes: object) -> TrainConfig:
    settings = {
        "features": str(stored / "image"), "head": "gru", "epochs": 2, "batch": 4, "model_args": ("hidden=16",),
        "optim": OptimConfig(lr=5e-3), "system": SystemConfig(device="cpu"), "audit": False, "out": str(out),
    }  # fmt: skip
    return TrainConfig(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("inputs", INPUTS)
@torch.no_grad()
def test_padding_changes_no_head(kind: str, inputs: str) -> None:
    torch.manual_seed(0)
    head = Head(12, 3, kind=kind, inputs=inputs, places=2, hidden=16).eval()
    x = torch.randn(3, 9, 12)
    head.standardise_by(torch.randn(5, 4, 12) * 3 + 2)
    lengths = [9, 4, 1]
    mask = torch.arange(9)[None] < torch.tensor(lengths)[:, None]
    x[~mask] = torch.nan  # whatever stands there
    together = head(x, mask)
    for i, length in enumerate(lengths):
        assert torch.allclose(together[i], head(x[i : i + 1, :length], None)[0], atol=1e-5)


def test_a_head_sees_order_or_does_not() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 7, 12)
    for kind in HEADS:
        head = Head(12, 3, kind=kind, hidden=16).eval()
        same = torch.allclose(head(x, None), head(x.flip(1), None), atol=1e-5)
        assert same == (kind == "linear"), kind
    still = Head(12, 3, kind="linear", inputs="changes").eval()
    assert not still.prepare(x[:, :1].expand(-1, 7, -1), None).any()


def test_inputs_are_standardised_by_what_is_learnt_from() -> None:
    x = torch.randn(6, 5, 8) * torch.arange(1, 9) + 100
    head = Head(8, 2, kind="linear")
    head.standardise_by(x)
    seen = (head.prepare(x, None) - head.mean) / head.std
    assert torch.allclose(seen.mean((0, 1, 2)), torch.zeros(8), atol=1e-4)
    assert torch.allclose(seen.std((0, 1, 2), correction=0), torch.ones(8), atol=1e-3)


@pytest.mark.parametrize("kind", ["image", "time", "flow"])
def test_the_saved_model_judges_raw_video_as_the_features(stored: Path, tmp_path: Path, kind: str) -> None:
    done = train(config(stored, tmp_path, features=str(stored / kind)), quiet=True)
    assert "looked at" in (done.run / "log.txt").read_text()
    judged = {
        row["path"]: [float(row["p:left"]), float(row["p:approach"])]
        for row in csv.DictReader((done.run / "predictions.csv").open())
    }
    again = evaluate(EvalConfig(weights=str(done.run), device="cpu", out=str(tmp_path)), quiet=True)
    for row in csv.DictReader((again.run / "predictions.csv").open()):
        assert judged.pop(row["path"]) is not None
    assert not judged
    assert again.metrics["top1"] == done.metrics["top1"]
    # one after the other and logit by logit, not only the class
    model = load_model(done.weights[0]).model
    folder = FeatureFolder.open(stored / kind)
    path = str(stored / "13.mp4")
    with torch.no_grad():
        from_features = model(features=torch.from_numpy(np.array(folder.read(path)))[None])[0]
    assert np.allclose(
        marey.load(done.weights[0], device="cpu").predict(path).logits, from_features, atol=1e-4
    )
    assert done.metrics["logistic"]["n"] == 6


def test_folds_audit_and_report(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        *("train", "--features", str(stored / "image"), "--head", "temporal-conv", "--folds", "2"),
        *(
            "--epochs",
            "2",
            "--device",
            "cpu",
            "--out",
            str(tmp_path),
            "--model-args",
            "inputs=both",
            "hidden=16",
        ),
    ]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "logistic regression on features" in out
    run = tmp_path / "train" / "temporal-conv-head"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["n"] == metrics["logistic"]["n"] == 16
    assert len(metrics["logistic"]["C"]) == 2
    assert metrics["model"]["kwargs"]["network"] == "frame_average"
    assert metrics["protocol"]["sampler"] == {"name": "rate", "fps": 8.0, "max": 10}
    assert "logistic regression" in (run / "report.html").read_text()
    # positions of an image network are frames: disturbing the one is disturbing the other
    raw = evaluate(EvalConfig(weights=str(run), device="cpu", out=str(tmp_path)), audit=True, quiet=True)
    for order in ("ordered", "shuffled", "reversed", "frozen"):
        assert raw.metrics["audit"][order]["top1"] == metrics["audit"][order]["top1"]


def test_windows_are_audited_by_their_frames(stored: Path, tmp_path: Path) -> None:
    done = train(config(stored, tmp_path, features=str(stored / "time"), audit=True), quiet=True)
    assert "the audit looks at the videos themselves" in (done.run / "log.txt").read_text()
    assert done.metrics["audit"]["shuffled"] is not None


def test_features_from_elsewhere(stored: Path, tmp_path: Path) -> None:
    """No network, no grid, no video: trained and judged all the same, and raw video is refused in words."""
    folder = tmp_path / "else"
    folder.mkdir()
    known = FeatureFolder.open(stored / "time")
    for i in range(16):
        np.save(folder / f"{i:02d}.npy", known.read(str(stored / f"{i:02d}.mp4")))
    rows = (stored / "rows.csv").read_text()
    (folder / "manifest.csv").write_text(rows)
    done = train(config(stored, tmp_path, features=str(folder), audit=True), quiet=True)
    log = (done.run / "log.txt").read_text()
    assert "no temporal audit" in log
    assert "not raw video" in log
    assert done.metrics["audit"] is None
    assert done.metrics["n"] == 6
    with pytest.raises(UsageError, match="whose network is not known"):
        marey.load(done.run, device="cpu").predict(str(stored / "00.mp4"))
    (folder / "03.npy").unlink()
    with pytest.raises(DataError, match=r"no features of this video(.|\n)*line 5"):
        train(config(stored, tmp_path, features=str(folder)), quiet=True)
    skip = SystemConfig(device="cpu", on_error="skip")
    left = train(config(stored, tmp_path, features=str(folder), system=skip), quiet=True)
    assert [failure["id"] for failure in left.metrics["failures"]] == [3]
    np.save(folder / "03.npy", np.zeros((4, 5), np.float32))
    with pytest.raises(DataError, match="one folder holds the features of one network"):
        train(config(stored, tmp_path, features=str(folder)), quiet=True)


@pytest.mark.slow
def test_resuming_goes_on_where_it_stood(stored: Path, tmp_path: Path) -> None:
    whole = train(config(stored, tmp_path, name="whole", epochs=4), quiet=True)
    cut = config(stored, tmp_path, name="cut", epochs=4)

    class StopError(Exception):
        pass

    import marey.training.loop as loop

    real, count = loop.save_state, 0

    def stops(*args: object) -> None:
        nonlocal count
        real(*args)  # type: ignore[arg-type]
        count += 1
        if count == 2:
            raise StopError

    loop.save_state = stops  # type: ignore[assignment]
    try:
        with pytest.raises(StopError):
            train(cut, quiet=True)
    finally:
        loop.save_state = real
    gone_on = train(cut, resume=tmp_path / "train" / "cut", quiet=True)
    a, b = (load_model(done.weights[0]).model.state_dict() for done in (whole, gone_on))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_the_penalty_is_chosen_within_whole_groups() -> None:
    """Features that only tell groups apart: across groups they say nothing, so the strongest penalty is best."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 5)
    y = (groups % 2).astype(np.int64)
    x = rng.normal(size=(12, 40))[groups] + 0.01 * rng.normal(size=(60, 40))
    assert choose_penalty(x, y, groups, 0) <= 1e-3
    assert choose_penalty(x + 3 * y[:, None], y, groups, 0) >= 1e-2


def test_wrong_words(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to learn from"):
        TrainConfig()
    with pytest.raises(ConfigError, match="a head has no setting 'widht'"):
        train(config(stored, tmp_path, model_args=("widht=3",)), quiet=True)
    with pytest.raises(UnknownNameError, match="Did you mean 'changes'"):
        train(config(stored, tmp_path, model_args=("inputs=chnges",)), quiet=True)
    with pytest.raises(ConfigError, match="cannot be those of 7 places"):
        train(config(stored, tmp_path, model_args=("places=7",)), quiet=True)
    with pytest.raises(DataError, match="no features here"):
        train(config(stored, tmp_path, features=str(tmp_path), data=str(stored / "rows.csv")), quiet=True)
    assert not (tmp_path / "train").exists()
