"""What a training promises besides resuming: it learns, stops on NaN, skips nothing silently, pools folds."""

from __future__ import annotations

import csv
import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import marey
from marey.data.augment import AugmentConfig
from marey.data.manifest import Manifest
from marey.errors import ConfigError, DataError, NonFiniteLossError
from marey.jobs.evaluate import EvalConfig, evaluate
from marey.jobs.train import train
from marey.training.config import InputConfig, OptimConfig, SystemConfig
from marey.training.loop import _remedy, _words
from marey.video.synthetic import make_motion
from tests.training.small import config


@pytest.fixture(scope="module")
def directions(tmp_path_factory):
    """Manifest of 160 videos that move left or right, enough to learn it from."""
    folder = tmp_path_factory.mktemp("directions")
    return make_motion(folder / "set", clips=160, seed=1, size=32, val=0.25, classes=("left", "right"))


@pytest.fixture(scope="module")
def trained(directions, tmp_path_factory):
    """A training long enough to learn two motions, with the audit."""
    settings = config(
        directions,
        tmp_path_factory.mktemp("trained"),
        epochs=12,
        audit=True,
        model_args=("widths=[16,32]",),
        optim=OptimConfig(lr=8e-3),
        augment=AugmentConfig(scale=(1.0, 1.0)),
        input=InputConfig(frames=6, size=32, resize=32),
    )
    return train(settings, quiet=True)


def test_it_learns_motion_and_the_audit_says_so(trained):
    metrics = trained.metrics
    assert metrics["n"] == 40
    assert metrics["top1"] >= 0.8
    audit = metrics["audit"]
    assert audit["reversed"]["top1"] < metrics["top1"] - 0.3
    assert audit["frozen"]["top1"] < metrics["top1"] - 0.3
    assert audit["verdict"] == "order"
    assert metrics["protocol"]["weights"] == "last epoch"


def test_the_run_folder_is_whole(trained):
    names = {p.name for p in trained.run.iterdir()}
    assert {
        "config.yaml", "command.txt", "environment.json", "split.csv", "results.csv", "metrics.json",
        "predictions.csv", "weights", "plots", "report.html", "log.txt",
    } <= names  # fmt: skip
    rows = list(csv.DictReader((trained.run / "predictions.csv").open()))
    right = np.mean([row["label"] == row["predicted"] for row in rows])
    assert right == pytest.approx(trained.metrics["top1"])
    assert json.loads((trained.run / "metrics.json").read_text())["top1"] == trained.metrics["top1"]


def test_eval_and_predict_take_the_same_path(trained, directions, tmp_path):
    """The run's own rows, the same rows by manifest, and single files: the same probabilities."""
    own = evaluate(EvalConfig(weights=str(trained.run), out=str(tmp_path), batch=3), quiet=True)
    again = evaluate(
        EvalConfig(weights=str(trained.weights[0]), data=str(directions), out=str(tmp_path)), quiet=True
    )
    tables = [
        {row["id"]: row for row in csv.DictReader((run / "predictions.csv").open())}
        for run in (trained.run, own.run, again.run)
    ]
    assert tables[0].keys() == tables[1].keys() == tables[2].keys()
    predictor = marey.load(trained.run, device="cpu")
    for id_, row in tables[0].items():
        said = predictor.predict(row["path"])
        for k, name in enumerate(predictor.class_names):
            assert float(tables[1][id_][f"p:{name}"]) == pytest.approx(
                float(tables[2][id_][f"p:{name}"]), abs=2e-5
            )
            assert float(tables[1][id_][f"p:{name}"]) == pytest.approx(said.probabilities[k], abs=2e-5)
        assert row["predicted"] == tables[1][id_]["predicted"] == said.label
    assert own.metrics["top1"] == again.metrics["top1"] == trained.metrics["top1"]


def test_folds_judge_every_sample_once_by_a_model_that_has_not_seen_it(motion, tmp_path):
    table = Manifest.read(motion)
    grouped = table.with_column("group", [f"g{i // 3}" for i in range(len(table))])
    data = grouped.write(motion.parent / "grouped.csv")
    done = train(config(data, tmp_path, epochs=1, folds=3), quiet=True)
    rows = list(csv.DictReader((done.run / "predictions.csv").open()))
    assert sorted(int(r["id"]) for r in rows) == list(range(60))
    fold_of = {}
    for row in rows:
        assert fold_of.setdefault(row["group"], row["fold"]) == row["fold"], "a group is judged in one fold"
    assert len(done.weights) == 3
    assert done.metrics["n"] == 60
    assert done.metrics["protocol"]["groups"] == 20
    first, second = (load_file(path) for path in done.weights[:2])
    assert any(not torch.equal(first[k], second[k]) for k in first)
    again = evaluate(EvalConfig(weights=str(done.run), out=str(tmp_path)), quiet=True)
    assert again.metrics["top1"] == done.metrics["top1"]


def test_a_diverging_training_stops_and_keeps_the_last_good_weights(motion, tmp_path):
    settings = config(motion, tmp_path, epochs=4, optim=OptimConfig(lr=1e30, warmup=0, clip_grad=None))
    with pytest.raises(NonFiniteLossError, match=r"at step \d+") as caught:
        train(settings, quiet=True)
    assert "samples in that batch (rows): " in str(caught.value)
    weights = tmp_path / "train" / "small" / "weights"
    for file in weights.glob("*.safetensors"):
        assert all(torch.isfinite(t).all() for t in load_file(file).values() if t.is_floating_point())


def test_a_broken_video_stops_or_is_counted_never_replaced(motion, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(motion.parent, folder, ignore=shutil.ignore_patterns("grouped.csv"))
    manifest = Manifest.read(folder)
    broken = manifest.sample(int(manifest.indices("train")[0]))
    (folder / "videos" / "00000.mp4").write_bytes(b"not a video")
    assert broken.path.endswith("00000.mp4")
    with pytest.raises(DataError, match=r"00000\.mp4"):
        train(config(folder, tmp_path, epochs=1), quiet=True)
    skipping = config(folder, tmp_path, epochs=2, system=SystemConfig(device="cpu", on_error="skip"))
    done = train(skipping, quiet=True)
    assert [f["id"] for f in done.metrics["failures"]] == [broken.id]
    held_out = manifest.sample(int(manifest.indices("val")[0]))
    (folder / "videos" / held_out.path.rpartition("/")[2]).write_bytes(b"")
    with pytest.raises(DataError):  # the policy is for training; val is judged whole or not at all
        train(skipping, quiet=True)
    judged = evaluate(
        EvalConfig(weights=str(done.run), data=str(folder), on_error="skip", out=str(tmp_path)), quiet=True
    )
    assert judged.metrics["n"] == 17
    assert [f["id"] for f in judged.metrics["failures"]] == [held_out.id]


@pytest.mark.parametrize(
    "changes",
    [
        {"optim": OptimConfig(optimizer="sgd", lr=0.01, label_smoothing=0.1, class_weights="balanced")},
        {"augment": AugmentConfig(cutmix=1.0, flip=True, flip_map=("auto",), per_frame=True, brightness=0.2)},
        {"optim": OptimConfig(freeze_backbone=1, freeze_bn=True), "early_stop": 1},
        {"input": None, "system": SystemConfig(device="cpu", workers=1, channels_last=True)},
    ],
    ids=["sgd", "cutmix-flip", "frozen", "workers"],
)
def test_every_setting_runs(motion, tmp_path, changes):
    if changes.get("input", True) is None:
        changes["input"] = InputConfig(sampler="adaptive:0.3,3,8", size=24, resize=24)
    done = train(config(motion, tmp_path, **changes), quiet=True)
    assert math.isfinite(done.metrics["top1"])


def test_clips_are_the_same_wherever_they_are_augmented(motion, tmp_path):
    augment = AugmentConfig(
        randaugment=(2, 12), noise=0.05, brightness=0.2, erasing=0.3, cutmix=1.0, cut="both"
    )
    weights = []
    for place in ("workers", "device"):
        system = SystemConfig(device="cpu", cache_mb=64, augment_on=place)
        done = train(config(motion, tmp_path, epochs=1, augment=augment, system=system), quiet=True)
        weights.append(load_file(done.weights[0]))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_augmentation_that_a_model_cannot_have_is_refused_before_a_run_begins(motion, tmp_path):
    flow = {"model": "two_stream", "model_args": ("backbone=test_resnet.r160_in1k",)}
    for changes, message in (
        ({"augment": AugmentConfig(cutmix=1.0, cut="time")}, "no motion between them that flow could show"),
        ({"system": SystemConfig(device="cpu", augment_on="device")}, "this model sees flow"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(config(motion, tmp_path, **flow, **changes), quiet=True)
    assert not (tmp_path / "train").exists()


def test_a_frozen_backbone_does_not_move(motion, tmp_path):
    settings = config(motion, tmp_path, epochs=1, optim=OptimConfig(freeze_backbone=1), seed=3)
    done = train(settings, quiet=True)
    from marey.training.build import build_model
    from marey.training.checkpoint import seed_everything

    seed_everything(3)
    fresh = build_model(settings, 3)
    head = {name for name, p in fresh.named_parameters() if id(p) in {id(q) for q in fresh.head_parameters()}}
    after = load_file(done.weights[0])
    moved = {name for name, p in fresh.state_dict().items() if not torch.equal(p, after[name])}
    assert moved
    assert moved <= head


def test_the_last_stages_learn_first(motion, tmp_path):
    settings = config(motion, tmp_path, epochs=1, optim=OptimConfig(unfreeze=1, layer_decay=0.5), seed=3)
    done = train(settings, quiet=True)
    from marey.training.build import build_model
    from marey.training.checkpoint import seed_everything

    seed_everything(3)
    after = load_file(done.weights[0])
    moved = {n for n, p in build_model(settings, 3).state_dict().items() if not torch.equal(p, after[n])}
    assert {name.partition(".")[0] for name in moved} == {"blocks", "fc"}
    assert not any(name.startswith("blocks.0.") for name in moved)  # its batch norm's statistics included
    said = "of 2, the last ones first: 1 from epoch 1; the first 1 never"
    assert said in (done.run / "log.txt").read_text()


def test_batch_norm_that_is_folded_into_the_weights_is_never_trained(motion, tmp_path):
    """One step with it in train mode destroys such a network, so nobody has to ask for --freeze-bn."""
    import timm

    network = timm.create_model("test_resnet", num_classes=0)
    file = tmp_path / "folded.safetensors"
    save_file(network.state_dict(), file, metadata={"batchnorm": "folded into bias"})
    settings = config(
        motion,
        tmp_path,
        model="frame_average",
        model_args=(),
        backbone="test_resnet",
        weights=str(file),
        epochs=1,
    )
    after = load_file(train(settings, quiet=True).weights[0])
    norms = {f"backbone.{k}": v for k, v in network.state_dict().items() if "bn" in k}
    assert norms
    assert all(torch.equal(after[name], value) for name, value in norms.items())
    assert not torch.equal(after["backbone.layer4.0.conv1.weight"], network.layer4[0].conv1.weight)


def test_several_labels_a_sample(motion, tmp_path):
    table = Manifest.read(motion)
    labels = ["|".join({table.sample(i).labels[0], "left" if i % 2 else "right"}) for i in range(len(table))]
    data = motion.parent / "several.csv"
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for i, label in enumerate(labels):
            sample = table.sample(i)
            writer.writerow((sample.path, label, sample.split))
    done = train(config(data, tmp_path, epochs=1, audit=True), quiet=True)
    assert done.metrics["task"] == "multi-label"
    assert 0 < done.metrics["map"] <= 1
    said = marey.load(done.run).predict(table.sample(0).path)
    assert said.multi_label
    assert said.probabilities.sum() != pytest.approx(1, abs=1e-6)


def test_settings_that_contradict_are_refused():
    with pytest.raises(ConfigError, match="choose the epoch by the samples that judge it"):
        config("x", "y", folds=3, early_stop=2)
    with pytest.raises(ConfigError, match="workers 0"):
        SystemConfig(workers=2, cache_mb=10)
    with pytest.raises(ConfigError, match="2 or more"):
        config("x", "y", folds=1)


@pytest.mark.parametrize(
    ("wait", "seconds", "said"), [(0.63, 60.0, True), (0.49, 60.0, False), (0.9, 5.0, False)]
)
def test_an_epoch_that_waits_for_frames_says_what_helps(directions, wait, seconds, said):
    """When more than half of the time goes there, and not where an epoch is over before anyone could mind."""
    row = {
        "epoch": 1,
        "train_loss": 1.2,
        "train_top1": 0.5,
        "clips_per_s": 9.0,
        "data_wait": wait,
        "seconds": seconds,
    }
    source = Manifest.read(directions)
    packed = source.with_column("packed_from", source.table["path"].to_pylist())
    for manifest, remedy in (
        (source, "pack the data (marey data pack), or raise --workers"),
        (packed, "raise --workers"),
    ):
        line = _words(row, 20, _remedy(SimpleNamespace(manifest=manifest)))
        assert (f"(waiting for data {wait:.0%} of the time: {remedy})" in line) == said
