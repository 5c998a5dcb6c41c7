"""What can be held of TensorRT without a GPU: profiles, names of engines, and the order of the calls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import pytest

from marey.errors import CheckpointError, ConfigError, MissingExtraError
from marey.predict.artifact import artifact_of
from marey.predict.runtimes.table import make_runtime
from marey.predict.runtimes.tensor_rt import Ranges, TensorRt, build, engine_place
from marey.spec import InputSpec
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

    BuilderFlag = SimpleNamespace(FP16="fp16", INT8="int8")

    def __init__(self, *, reads: bool = True, builds: bool = True) -> None:
        self.reads, self.builds = reads, builds
        self.flags: list[str] = []
        self.profile: dict[str, tuple] = {}
        self.profiles: list[object] = []

    def Builder(self, logger):  # noqa: N802
        return self

    def create_network(self, flags):
        return self

    def OnnxParser(self, network, logger):  # noqa: N802
        return SimpleNamespace(
            parse=lambda content: self.reads, num_errors=1, get_error=lambda i: "no such operator: Where"
        )

    def create_builder_config(self):
        return SimpleNamespace(set_flag=self.flags.append, add_optimization_profile=self.profiles.append)

    def create_optimization_profile(self):
        return SimpleNamespace(set_shape=lambda name, *shapes: self.profile.update({name: shapes}))

    def build_serialized_network(self, network, settings):
        return b"plan" if self.builds else None


@pytest.mark.parametrize(
    ("precision", "flags"), [("fp32", []), ("fp16", ["fp16"]), ("int8", ["fp16", "int8"])]
)
def test_building(precision, flags):
    trt = FakeTrt()
    shapes = Ranges.of(BOTH).shapes(BOTH, masked=True)
    assert build(trt, None, b"graph", shapes, precision=precision, path="x.onnx") == b"plan"
    assert trt.flags == flags
    assert trt.profile == shapes
    assert len(trt.profiles) == 1


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
