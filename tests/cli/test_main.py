"""The command line as a person meets it: verbs, errors in one block, exit codes, one tree of settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from marey.cli.main import main
from marey.cli.parse import parse
from marey.config import from_tree, read_yaml, to_tree, to_yaml
from marey.errors import ConfigError
from marey.jobs.train import train
from marey.training.config import OptimConfig, SystemConfig, TrainConfig
from tests.training.small import config


@pytest.fixture(scope="module")
def run(motion, tmp_path_factory) -> Path:
    return train(config(motion, tmp_path_factory.mktemp("cli"), epochs=1), quiet=True).run


def words(capsys, *args):
    code = main([str(a) for a in args])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["trian"], 2, "error: 'trian' is not a known verb. Did you mean 'train'?"),
        (["data", "sumary"], 2, "Did you mean 'summary'?"),
        (["train", "--data", "nowhere.csv"], 1, "error: nowhere.csv: there is no such file or folder."),
        (["predict", "nowhere.safetensors", "x.mp4"], 1, "nowhere.safetensors: there is no such file."),
        (["data", "make", "motion", "/dev/null/x"], 1, "error: "),
        (["train", "--config", "nowhere.yaml"], 2, "the configuration cannot be read"),
        (["train", "--resume", "nowhere"], 1, "not the folder of a training"),
        (["train", "--resume", "x", "--epochs", "3"], 2, "would change it"),
        (["train", "--data", "a", "--epochs", "0"], 2, "epochs and batch must be at least 1; got 0"),
        (
            ["train", "--task", "localize", "--data", "a", "--features", "b", "--epochs", "0"],
            2,
            "epochs must be at least 1; got 0",
        ),
    ],
)
def test_errors_are_one_block(capsys, args, code, said):
    got, out, err = words(capsys, *args)
    assert (got, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


def test_a_wrong_model_name_and_a_wrong_label(capsys, motion, run, tmp_path):
    code, _, err = words(capsys, "train", "--data", motion, "--model", "cnn_grue", "--out", tmp_path)
    assert code == 2
    assert "'cnn_grue' is not a known model. Did you mean 'cnn_gru'?" in err
    assert not (tmp_path / "train").exists(), "nothing is made for a run that cannot begin"
    wrong = motion.parent / "wrong.csv"
    wrong.write_text(f"path,label\n{motion.parent}/videos/00000.mp4,lefft\n")
    code, _, err = words(capsys, "eval", run, "--data", wrong, "--out", tmp_path)
    assert code == 1
    assert "wrong.csv line 2: 'lefft' is not a known class. Did you mean 'left'?" in err


def test_a_logger_that_is_not_installed_is_said_before_anything_is_written(capsys, motion, tmp_path):
    try:
        import mlflow  # noqa: F401
    except ModuleNotFoundError:
        code, _, err = words(capsys, "train", "--data", motion, "--log", "mlflow", "--out", tmp_path)
        assert code == 2
        assert "pip install 'marey[mlflow]'" in err
        assert not (tmp_path / "train").exists()


def test_tensorboard_gets_the_numbers(motion, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = config(motion, tmp_path, epochs=2, system=SystemConfig(device="cpu", log=("tensorboard",)))
    done = train(settings, quiet=True)
    events = EventAccumulator(str(done.run / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("train_loss")) == 2
    assert events.Scalars("val_top1")[-1].value == pytest.approx(done.metrics["top1"])


def test_a_wrong_flag_suggests_and_exits_with_2(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", "--data", "x.csv", "--epoch", "3"])
    assert caught.value.code == 2
    assert "--epochs" in capsys.readouterr().err


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(ConfigError):
        main(["train", "--debug", "--config", "nowhere.yaml"])


def test_predict_prints_a_table_or_json_and_keeps_the_predictions(capsys, motion, run, tmp_path):
    videos = motion.parent / "videos"
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    code, out, _ = words(capsys, "predict", run, videos / "0000*.mp4", "--out", tmp_path)
    assert code == 0
    assert "00003.mp4" in out.replace("\n", "")
    assert "1 clip × 1 crop, 4 frames, 24×24" in out
    code, out, err = words(
        capsys,
        "predict",
        run,
        videos / "00003.mp4",
        broken,
        videos / "00004.mp4",
        "--json",
        "--out",
        tmp_path,
    )
    assert code == 1
    assert str(broken) in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [Path(item["path"]).name for item in lines] == ["00003.mp4", "00004.mp4"]
    assert sum(one["score"] for one in lines[0]["top"]) == pytest.approx(1, abs=1e-4)
    kept = (tmp_path / "predict" / "predict-2" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == lines


def test_eval_counts_what_it_could_not_read(capsys, motion, run, tmp_path):
    rows = motion.read_text().splitlines()
    held = [row for row in rows[1:] if ",val," in row][:4]
    data = motion.parent / "four.csv"
    (motion.parent / "empty.mp4").write_bytes(b"")
    data.write_text("\n".join([rows[0], *held, "empty.mp4,left,val,x"]) + "\n")
    code, _, err = words(capsys, "eval", run, "--data", data, "--out", tmp_path)
    assert code == 1
    assert "empty.mp4" in err
    code, out, _ = words(capsys, "eval", run, "--data", data, "--on-error", "skip", "--out", tmp_path)
    assert code == 1
    assert "1 samples could not be read" in out
    last = max((tmp_path / "eval").glob("*/metrics.json"), key=lambda path: path.stat().st_mtime_ns)
    assert json.loads(last.read_text())["n"] == 4


def test_audit_beside_a_baseline(capsys, motion, run, tmp_path):
    code, out, _ = words(capsys, "audit", run, "--baseline", run, "--out", tmp_path)
    assert code == 0
    metrics = json.loads(next((tmp_path / "audit").glob("*/metrics.json")).read_text())
    assert metrics["audit"]["baseline"]["top1"] == metrics["audit"]["ordered"]["top1"]
    assert metrics["audit"]["sentence"].split()[0] in out.replace("\n", " ")


def test_data_verbs(capsys, tmp_path):
    code, out, _ = words(capsys, "data", "make", "motion", tmp_path / "set", "--clips", 12, "--size", 32)
    assert code == 0
    code, out, _ = words(capsys, "data", "summary", tmp_path / "set", "--json")
    assert code == 0
    assert json.loads(out)["samples"] == 12
    code, _, err = words(capsys, "data", "split", tmp_path / "set", tmp_path / "set" / "manifest.csv")
    assert code == 2
    assert "nothing was written" in err
    code, _, err = words(capsys, "data", "split", tmp_path / "set", tmp_path / "new.csv")
    assert code == 1
    assert "split already" in err
    code, out, _ = words(capsys, "data", "split", tmp_path / "set", tmp_path / "new.csv", "--replace")
    assert code == 0
    assert (tmp_path / "new.csv").exists()


def test_doctor_tries_the_path_from_file_to_prediction(capsys):
    code, out, _ = words(capsys, "doctor")
    assert code == 0
    assert "a video from file to prediction: works" in out


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("data: a.csv\nepochs: 7\noptim:\n  lr: 1e-2\n  freeze-bn: true\n")
    got = parse(TrainConfig, ["--config", str(file), "--lr", "0.5"], "train")
    assert (got.data, got.epochs, got.optim.lr, got.optim.freeze_bn, got.batch) == ("a.csv", 7, 0.5, True, 8)


def test_a_tree_goes_through_yaml_and_back(tmp_path):
    settings = config("a.csv", "runs", optim=OptimConfig(lr=3e-4, clip_grad=None))
    assert from_tree(TrainConfig, yaml.safe_load(to_yaml(settings))) == settings
    assert to_tree(from_tree(TrainConfig, to_tree(settings))) == to_tree(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data: a\nepoch: 3\n", "unknown setting 'epoch'. Did you mean 'epochs'?"),
        ("data: a\noptim:\n  lrr: 3\n", "unknown setting 'optim.lrr'. Did you mean 'lr'?"),
        ("data: a\nepochs: many\n", "epochs must be a whole number or null; got 'many'"),
        ("data: a\nsystem:\n  device: gpu\n", "system.device is 'gpu'"),
        ("epochs: 3\n", "there is nothing to learn from: give --data, or --features"),
        ("data: [\n", "this is not YAML"),
        ("data: a\nepochs: -1\n", "epochs and batch must be at least 1"),
        ("just words\n", "a configuration is a table"),
    ],
)
def test_a_wrong_configuration_file_is_named(tmp_path, text, said):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(TrainConfig, file)
    assert said in str(caught.value)
    assert "x.yaml" in str(caught.value)


def test_as_a_program(run):
    done = subprocess.run(
        [sys.executable, "-m", "marey", "predict", str(run), "nothing.mp4"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: nothing.mp4: ")
