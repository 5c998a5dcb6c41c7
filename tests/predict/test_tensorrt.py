"""What can be held of TensorRT without a GPU: profiles, names of engines, and the order of the calls."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest

from marey.errors import CheckpointError, ConfigError, MissingExtraError
from marey.predict.artifact import Artifact, artifact_of
from marey.predict.probes import probe_inputs
from marey.predict.runtimes.half import half_graph
from marey.predict.runtimes.onnx_runtime import OnnxRuntime
from marey.predict.runtimes.table import make_runtime
from marey.predict.runtimes.tensor_rt import Ranges, TensorRt, build, engine_place
from marey.spec import InputSpec
from tests.export.small import traced
from tests.models.small import small_model
from tests.predict.test_screening import small_artifact

BOTH = InputSpec(modalities=("rgb", "flow"), frames=16, size=(112, 96))


def test_profiles_hold_every_size_that_the_artifact_takes():
    shapes = Ranges.of(BOTH).shapes(BOTH, masked=True)
    assert shapes["rgb"] == ((1, 2, 3, 112, 96), (1, 16, 3, 112, 96), (8, 32, 3, 112, 96))
    assert shapes["flow"] == ((1, 1, 2, 112, 96), (1, 15, 2, 112, 96), (8, 31, 2, 112, 96))
    assert shapes["mask"] == ((1, 2), (1, 16), (8, 32))
    fixed = InputSpec(frames=8, fixed_frames=True)
    assert Ranges.of(fixed).frames == (8, 8, 8)
    assert "mask" not in Ranges.of(fixed).shapes(fixed, masked=False)


def test_an_engine_is_kept_under_all_that_it_was_built_for():
    made = {
        "gpu": "A", "capability": (9, 0), "version": "10.3", "precision": "fp16", "ranges": Ranges.of(BOTH)
    }  # fmt: skip
    first = engine_place(b"graph", **made)
    assert first == engine_place(b"graph", **made)
    others = [
        engine_place(b"other", **made),
        *(
            engine_place(b"graph", **{**made, key: value})
            for key, value in (
                ("gpu", "B"), ("capability", (8, 0)), ("version", "10.4"), ("precision", "fp32"),
                ("ranges", Ranges.of(BOTH, batch=4)),
            )
        ),
    ]  # fmt: skip
    assert len({first, *others}) == 7


class FakeTrt:
    """As much of the package as building an engine calls; writes down what it is told."""

    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)

    def __init__(self, *, reads: bool = True, builds: bool = True) -> None:
        self.reads, self.builds = reads, builds
        self.flags = 0
        self.content = b""
        self.profile: dict[str, tuple] = {}
        self.profiles: list[object] = []

    def Builder(self, logger):  # noqa: N802
        return self

    def create_network(self, flags):
        self.flags = flags
        return self

    def OnnxParser(self, network, logger):  # noqa: N802
        def parse(content):
            self.content = content
            return self.reads

        return SimpleNamespace(parse=parse, num_errors=1, get_error=lambda i: "no such operator: Where")

    def create_builder_config(self):
        return SimpleNamespace(add_optimization_profile=self.profiles.append)

    def create_optimization_profile(self):
        return SimpleNamespace(set_shape=lambda name, *shapes: self.profile.update({name: shapes}))

    def build_serialized_network(self, network, settings):
        return b"plan" if self.builds else None


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_building(precision):
    """Types are the graph's: what is parsed in half precision is another graph."""
    trt = FakeTrt()
    shapes = Ranges.of(BOTH).shapes(BOTH, masked=True)
    graph = small_artifact()
    del graph.metadata_props[:]
    content = graph.SerializeToString()
    assert build(trt, None, content, shapes, precision=precision, path="x.onnx") == b"plan"
    assert trt.flags == 1 << 1
    assert (trt.content == content) == (precision != "fp16")
    assert trt.profile == shapes
    assert len(trt.profiles) == 1


@pytest.mark.parametrize("name", ["r2plus1d_tiny", pytest.param("video_swin_tiny", marks=pytest.mark.slow)])
def test_a_graph_in_half_precision_says_nearly_the_same(name):
    """ONNX Runtime computes in float16 too, slowly, on a processor."""
    artifact = traced(small_model(name))
    inputs, mask = probe_inputs(artifact.about.spec)
    for rows, masked in ((mask, False), (np.tril(mask, k=3), True)):
        halved = onnx.load_model_from_string(
            half_graph(artifact.serialised(masked=masked), path=artifact.path)
        )
        large = [t for t in halved.graph.initializer if len(t.raw_data) > 4096]
        assert large
        assert all(t.data_type == onnx.TensorProto.FLOAT16 for t in large)
        half = Artifact(artifact.path, artifact.about, halved, None)
        session = onnxruntime.InferenceSession(half.serialised(masked=True))
        feed, _ = replace(artifact, whole=None if masked else artifact.whole).feed(inputs, rows)
        got = session.run(["probabilities"], feed)[0]
        wanted = OnnxRuntime(artifact, threads=1).outputs(inputs, rows)["probabilities"]
        assert 0 < np.abs(got - wanted).max() < 1e-2


def test_what_tensorrt_cannot_do_is_said():
    with pytest.raises(CheckpointError, match=r"cannot read it\.\n  no such operator: Where"):
        build(FakeTrt(reads=False), None, b"", {}, precision="fp32", path="x.onnx")
    with pytest.raises(CheckpointError, match="cannot build an engine"):
        build(FakeTrt(builds=False), None, b"", {}, precision="fp32", path="x.onnx")


class FakeCuda:
    """A torch without a GPU."""

    cuda: ClassVar = SimpleNamespace(is_available=lambda: False)


def test_without_the_package_or_a_gpu(monkeypatch):
    artifact = artifact_of(small_artifact().SerializeToString(), path="x.onnx")
    with pytest.raises(MissingExtraError, match=r"marey\[tensorrt\]"):
        make_runtime(artifact, "tensorrt")
    monkeypatch.setattr(
        "marey.predict.runtimes.tensor_rt.require",
        lambda module, extra: FakeCuda() if module == "torch" else FakeTrt(),
    )
    with pytest.raises(ConfigError, match="needs an NVIDIA GPU"):
        TensorRt(artifact)
    with pytest.raises(ConfigError, match="not quantised"):
        TensorRt(artifact, precision="int8")
