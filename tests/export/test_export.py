"""From a weights file to a prediction without torch, and back: the same answers, the same metadata."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch.torch_version import TorchVersion

import marey
from marey.errors import CheckpointError, ConfigError, UnknownNameError
from marey.export.certificate import compare
from marey.export.graph import check_exportable
from marey.jobs.export import ExportConfig, export
from marey.jobs.quantising import Gate, Judged
from marey.jobs.speed import EAGER, SpeedConfig, peak_memory, speed
from marey.metrics.calibration import probabilities
from marey.models.saved import load_model
from marey.predict.about import Description, describe
from marey.predict.artifact import read_artifact
from marey.predict.probes import probe_inputs
from marey.predict.runtimes.choose import reference
from marey.predict.runtimes.onnx_runtime import OnnxRuntime
from marey.predict.runtimes.open_vino import OpenVino
from marey.predict.runtimes.parity import LIMIT
from marey.spec import InputSpec
from tests.export.small import CLASSES, saved_model
from tests.models.small import small_model


@pytest.fixture(scope="module")
def exported(tmp_path_factory, motion):
    weights = saved_model(tmp_path_factory.mktemp("run"), "r2plus1d_tiny")
    told = []
    done = export(ExportConfig(run=str(weights), data=str(motion), clips=3), say=told.append)
    return weights, done, told


def test_the_artifact_holds_all_that_prediction_needs(exported):
    weights, done, told = exported
    assert done.path == weights.with_suffix(".onnx")
    about = read_artifact(done.path).about
    saved = marey.load(weights, device="cpu")
    assert about.class_names == CLASSES
    assert about.temperature == 1.5
    assert about.spec == saved.spec
    assert about.certificate["runtimes"]["onnxruntime"]["delta"] < 1e-4
    assert about.certificate["cases"] > 10
    assert any("comparing" in line for line in told)
    outputs = OnnxRuntime(read_artifact(done.path), threads=1).outputs(*probe_inputs(about.spec))
    assert np.allclose(outputs["probabilities"], about.certificate["probes"], atol=1e-5)
    assert np.allclose(outputs["probabilities"], probabilities(outputs["logits"], temperature=1.5), atol=1e-6)
    with pytest.raises(ConfigError, match="there already"):
        export(ExportConfig(run=str(weights)))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "auto"])
def test_every_runtime_predicts_what_torch_predicts(exported, motion, runtime):
    weights, done, _ = exported
    videos = [marey.Manifest.read(motion).sample(i) for i in range(6)]
    wanted = marey.load(weights, device="cpu").logits(videos).logits
    got = marey.load(done.path, runtime=runtime).logits(videos).logits
    assert np.abs(got - wanted).max() < (1e-3 if runtime == "auto" else 1e-4) * np.abs(wanted).max() * 10


def test_features_come_out_where_asked(motion, tmp_path):
    """Over time, with their own mask, as torch has them: alone and padded."""
    weights = saved_model(tmp_path, "cnn_gru")
    done = export(
        ExportConfig(run=str(weights), data=str(motion), clips=2, features=True), say=lambda _: None
    )
    artifact = read_artifact(done.path)
    assert artifact.about.outputs == ("probabilities", "logits", "features", "features_mask")
    model = load_model(weights).model.eval()
    inputs, mask = probe_inputs(artifact.about.spec, batch=2)
    padded = mask.copy()
    padded[1, mask.shape[1] // 2 :] = False
    for rows in (mask, padded):
        with torch.no_grad():
            wanted, real = model.features_and_mask(
                rgb=torch.from_numpy(inputs["rgb"]), mask=torch.from_numpy(rows)
            )
        for runtime in (OnnxRuntime(artifact, threads=1), OpenVino(artifact, threads=1)):
            found = runtime.outputs(inputs, rows)
            assert found["features_mask"].dtype == bool
            assert np.array_equal(found["features_mask"], real.numpy()), runtime.name
            kept = found["features_mask"]
            assert np.abs(found["features"] - wanted.numpy())[kept].max() < 1e-4, runtime.name
    plain = OnnxRuntime(artifact, threads=1)
    assert np.allclose(plain(inputs, mask), plain.outputs(inputs, mask)["logits"])


def test_an_older_torch_says_what_it_cannot_trace(tmp_path, monkeypatch):
    weights = saved_model(tmp_path, "cnn_gru")
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.9.1"))
    with pytest.raises(ConfigError, match=r"torch 2\.9\.1 cannot trace the recurrent layer of cnn_gru"):
        export(ExportConfig(run=str(weights)), say=lambda _: None)
    assert [p.name for p in weights.parent.iterdir()] == ["best.safetensors"]
    check_exportable(small_model("frame_difference"))


def test_predicting_imports_no_torch(exported, motion, tmp_path):
    """And starts quickly: processor time, which other work on the machine does not change."""
    _, done, _ = exported
    video = marey.Manifest.read(motion).sample(0).path
    words = ["predict", str(done.path), video, "--json", "--runtime", "onnxruntime", "--out", str(tmp_path)]
    code = (
        "import sys\nfrom marey.cli.main import main\n"
        f"code = main({words!r})\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\nsys.exit(code)\n"
    )
    before = os.times()
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    after = os.times()
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert json.loads(ran.stdout)["labels"][0] in CLASSES
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 1.5


def test_evaluation_takes_an_artifact(exported, motion, tmp_path):
    _, done, _ = exported
    with pytest.raises(marey.MareyError, match="class"):
        marey.evaluate(
            marey.EvalConfig(
                weights=str(done.path), data=str(motion), out=str(tmp_path), runtime="onnxruntime"
            ),
            quiet=True,
        )


def test_names_that_are_not_there(exported):
    weights, done, _ = exported
    with pytest.raises(UnknownNameError, match="Did you mean 'openvino'"):
        marey.load(done.path, runtime="openvin")
    with pytest.raises(ConfigError, match="torch runs the weights"):
        marey.load(done.path, runtime="torch")
    with pytest.raises(ConfigError, match="takes exported artifacts"):
        marey.load(weights, runtime="openvino")


def test_parity_that_fails_writes_nothing(exported, tmp_path, motion, monkeypatch):
    weights = saved_model(tmp_path, "r2plus1d_tiny")

    def worse(*args, **keywords):
        found = compare(*args, **keywords)
        found["runtimes"]["onnxruntime"]["delta"] = 0.25
        return found

    monkeypatch.setattr("marey.export.certificate.compare", worse)
    monkeypatch.setattr("marey.export.graph.trace", lambda *_: onnx.load(exported[1].path))  # traced before
    config = ExportConfig(run=str(weights), data=str(motion), clips=1)
    with pytest.raises(CheckpointError, match=r"lie up to 2\.5e-01 from torch's"):
        export(config, say=lambda _: None)
    assert [p.name for p in weights.parent.iterdir()] == ["best.safetensors"]


@pytest.mark.slow
def test_half_precision_halves_the_file(exported, motion, tmp_path):
    weights, whole, _ = exported
    path = tmp_path / "half.onnx"
    config = ExportConfig(run=str(weights), file=str(path), data=str(motion), clips=1, fp16=True)
    half = export(config, say=lambda _: None)
    large = read_artifact(whole.path).model.graph.initializer
    small = read_artifact(path).model.graph.initializer
    assert sum(len(t.raw_data) for t in small) < 0.6 * sum(len(t.raw_data) for t in large)
    assert half.about.precision == "fp16"
    assert 0 < half.about.certificate["runtimes"]["onnxruntime"]["delta"] <= 1e-3


def test_the_gate_of_int8():
    """Faster than the fastest of float32, in a runtime that loses no more than is allowed: each by itself."""
    before = ("openvino", Judged(10.0, 0.9))
    after = {"onnxruntime": Judged(5.0, 0.895), "openvino": Judged(4.0, 0.8)}
    gate = Gate(before, after, 100, "accuracy", 0.01)
    assert gate.taken
    assert (gate.best, gate.kept) == ("onnxruntime", ["onnxruntime"])
    assert gate.sentence() == (
        "int8 is taken: 10.0 ms a clip (openvino) → 5.0 (onnxruntime), accuracy 90.0% → 89.5% on 100 samples."
    )
    lossy = replace(gate, after={"onnxruntime": Judged(5.0, 0.8)})
    assert not lossy.taken
    assert "loses too much" in lossy.sentence()
    slow = replace(gate, after={"onnxruntime": Judged(10.0, 0.9)})
    assert not slow.taken
    assert "not faster here" in slow.sentence()


def test_auto_holds_int8_against_what_was_judged():
    spec = InputSpec(frames=8)
    plain = Description("x", "1", spec, ("a", "b"), certificate={"probes": [[0.5, 0.5]]})
    wanted, limit = reference(plain, "openvino")
    assert wanted.tolist() == [[0.5, 0.5]]
    assert limit == LIMIT
    gate = {"runtime": "openvino", "probes": {"openvino": [[0.7, 0.3]], "onnxruntime": [[0.6, 0.4]]}}
    apart = {"openvino": {"delta": 0.02}, "onnxruntime": {"delta": 1e-5}, "openvino-reduced": {"delta": 0.5}}
    small = replace(plain, precision="int8", certificate={"int8": gate, "runtimes": apart})
    assert reference(small, "openvino")[0].tolist() == [[0.7, 0.3]]
    assert reference(small, "openvino")[1] == 0.02
    assert reference(small, "onnxruntime")[1] == LIMIT
    wanted, limit = reference(small, "openvino-reduced")  # lost too much
    assert wanted.tolist() == [[0.7, 0.3]]
    assert limit == LIMIT
    assert describe(small.to_json(), "x").certificate == small.certificate
    damaged = replace(small, certificate={"int8": {**gate, "runtime": "onnx"}, "runtimes": apart})
    with pytest.raises(CheckpointError, match="metadata"):
        describe(damaged.to_json(), "x")


@pytest.mark.slow
def test_int8_is_taken_or_refused_with_a_reason(exported, motion, tmp_path, monkeypatch):
    weights, _, _ = exported
    for taken in (True, False):
        path = tmp_path / f"{taken}.onnx"
        monkeypatch.setattr(Gate, "taken", taken)
        told: list[str] = []
        config = ExportConfig(
            run=str(weights), file=str(path), data=str(motion), clips=4, int8=True, int8_loss=1.0
        )
        about = export(config, say=told.append).about
        assert any(line.startswith("int8 is taken" if taken else "int8 is not taken") for line in told)
        kinds = {node.op_type for node in read_artifact(path).model.graph.node}
        assert ("DequantizeLinear" in kinds) == taken
        assert about.precision == ("int8" if taken else "fp32")
        videos = [marey.Manifest.read(motion).sample(i) for i in range(4)]
        got = marey.load(path, runtime="auto").logits(videos).logits
        wanted = marey.load(weights, device="cpu").logits(videos).logits
        assert np.abs(got - wanted).max() < (0.2 if taken else 1e-2) * np.abs(wanted).max()


def test_bench_puts_every_runtime_beside_torch(exported, motion, tmp_path, monkeypatch):
    _, done, _ = exported
    monkeypatch.setattr("marey.jobs.speed.peak_memory", lambda *_: 100.0)
    video = marey.Manifest.read(motion).sample(0).path
    config = SpeedConfig(
        artifact=str(done.path), videos=(video,), seconds=0.05, batches=(1, 3), threads=1, out=str(tmp_path)
    )
    found = speed(config, say=lambda _: None)
    rows = {row.runtime: row for row in found.rows}
    assert {EAGER, "onnxruntime", "openvino"} <= set(rows)
    assert found.auto in rows
    for row in rows.values():
        assert 0 < row.p50_ms <= row.p99_ms
        assert row.best_batch in (1, 3)
        assert row.path_ms > 0
    assert found.decode_ms > 0 == found.flow_ms
    assert json.loads((tmp_path / "bench" / "bench" / "bench.json").read_text())["auto"] == found.auto


@pytest.mark.slow
def test_most_memory_of_a_process_that_does_nothing_else(exported):
    _, done, _ = exported
    assert 30 < peak_memory(str(done.path), "onnxruntime", 1) < 2000
