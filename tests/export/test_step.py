"""The step form: an artifact that goes frame by frame says what torch says of the whole clip."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import marey
from marey.errors import CheckpointError, ConfigError, UsageError
from marey.export.certificate import compare
from marey.export.graph import describe_step, trace_step
from marey.jobs.export import ExportConfig, export
from marey.models.stepping import STEPPING
from marey.predict.about import Description
from marey.predict.artifact import artifact_of
from marey.predict.runtime import TorchRuntime
from marey.predict.runtimes.table import make_runtime
from marey.predict.steps import SteppedClips, TorchSteps
from tests.export.small import CLASSES, moving_clips, saved_model
from tests.models.small import small_model


@pytest.fixture(scope="module")
def exported(tmp_path_factory, motion):
    weights = saved_model(tmp_path_factory.mktemp("run"), "frame_difference")
    done = export(ExportConfig(run=str(weights), data=str(motion), clips=2, step=True), say=lambda _: None)
    return weights, done


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPPING)
def test_every_step_says_what_torch_says_of_the_clip(name: str) -> None:
    model = small_model(name)
    about = describe_step(model, Description(name, marey.__version__, model.spec, CLASSES, temperature=1.5))
    artifact = artifact_of(trace_step(model, about).SerializeToString(), path="x.step.onnx")
    runtimes = {
        runtime: make_runtime(artifact, runtime, threads=1) for runtime in ("onnxruntime", "openvino")
    }
    runtimes["torch"] = SteppedClips(TorchSteps(model))
    clips = moving_clips(about.spec, 2)
    found = compare(TorchRuntime(model), runtimes, artifact, clips, source="", versions={})
    for line in found["runtimes"].values():
        assert line["delta"] < 1e-4, line
        assert line["top1"] == 1.0
    assert found["limit"] == 1e-4


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_feeds_are_batched_and_begun_anew_each_by_itself(exported, runtime):
    weights, done = exported
    clip = np.stack([c.frames.transpose(0, 3, 1, 2) for c in moving_clips(done.about.spec, 3)])
    stream = marey.open_stream(done.path, feeds=3, runtime=runtime, threads=1)
    torch_stream = marey.open_stream(weights, feeds=3, device="cpu")
    whole = TorchRuntime(small_model("frame_difference"))

    def wanted(row, first, last):
        logits = whole({"rgb": clip[row : row + 1, first:last]}, np.ones((1, last - first), bool)) / 1.5
        e = np.exp(logits - logits.max())
        return (e / e.sum())[0]

    for t in range(8):
        if t == 5:
            stream.reset(1)
            torch_stream.reset(1)
        said = stream.step(clip[:, t])
        assert np.abs(said - torch_stream.step(clip[:, t])).max() < 1e-4
    for row, first in enumerate((0, 5, 0)):
        assert np.abs(said[row] - wanted(row, first, 8)).max() < 1e-4
    assert stream.frames.tolist() == [8, 3, 8]
    some = stream.step(clip[[2, 0], 8], feeds=[2, 0])  # the second feed has no frame at the moment
    assert np.abs(some - [wanted(2, 0, 9), wanted(0, 0, 9)]).max() < 1e-4
    assert stream.frames.tolist() == [9, 3, 9]
    stream.reset()
    assert np.abs(stream.step(clip[:, 0])[1] - wanted(1, 0, 1)).max() < 1e-4


def test_what_the_file_says_of_itself(exported):
    _, done = exported
    assert done.path.name == "best.step.onnx"
    assert done.about.form == "step"
    assert done.about.state["before"] == (3, 32, 32)
    assert done.about.certificate["limit"] == 1e-4
    assert done.about.certificate["cases"] > 10


def test_a_video_is_stepped_through(exported, motion):
    weights, done = exported
    samples = [marey.Manifest.read(motion).sample(i) for i in range(4)]
    wanted = marey.load(weights, device="cpu").logits(samples).logits
    got = marey.load(done.path, runtime="onnxruntime").logits(samples).logits
    assert np.abs(got - wanted).max() < 1e-4 * max(1.0, np.abs(wanted).max())


def test_wrong_use_is_said(exported, tmp_path):
    _, done = exported
    stream = marey.open_stream(done.path, feeds=2, runtime="onnxruntime")
    with pytest.raises(UsageError, match=r"uint8 of shape \(2, 3, 32, 32\), got float64"):
        stream.step(np.zeros((2, 3, 32, 32)))
    with pytest.raises(UsageError, match="from 0 to 1"):
        stream.step(np.zeros((1, 3, 32, 32), np.uint8), feeds=[2])
    with pytest.raises(UsageError, match="from 0 to 1"):
        stream.reset(-1)
    with pytest.raises(ConfigError, match="takes exported artifacts"):
        marey.open_stream(exported[0], runtime="openvino")
    weights = saved_model(tmp_path, "r2plus1d_tiny")
    with pytest.raises(ConfigError, match=r"cannot go frame by frame.\n.*cnn_gru, frame_average"):
        export(ExportConfig(run=str(weights), step=True), say=lambda _: None)
    with pytest.raises(ConfigError, match="no --int8"):
        ExportConfig(run="x", step=True, int8=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": {"frames": []}}, "outputs"),
        ({"form": "film"}, "neither clip nor step"),
        ({"fps": -1.0}, "cannot be"),
        ({"state": {"frames": [1 << 40]}}, "state"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(exported, changes, words):
    import onnx

    model = onnx.load(exported[1].path)
    entry = next(e for e in model.metadata_props if e.key == "marey")
    entry.value = json.dumps(json.loads(entry.value) | changes)
    with pytest.raises(CheckpointError, match=words):
        artifact_of(model.SerializeToString(), path="there.onnx")


def test_a_state_of_another_shape_is_refused(exported):
    import onnx

    model = onnx.load(exported[1].path)
    state = {**exported[1].about.state, "mean": (3,)}
    entry = next(e for e in model.metadata_props if e.key == "marey")
    entry.value = replace(exported[1].about, state=state).to_json()
    with pytest.raises(CheckpointError, match="its state 'mean' has the shape"):
        artifact_of(model.SerializeToString(), path="there.onnx")
