"""The runtimes by name: which are here, and how each is made. Looking imports none of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from marey.errors import ConfigError, UnknownNameError
from marey.predict.artifact import Artifact
from marey.predict.load import AUTO
from marey.predict.runtime import Runtime
from marey.predict.steps import ArtifactSteps, SteppedClips, Steps


@dataclass(frozen=True)
class Entry:
    """A runtime for artifacts.

    Attributes:
        make: from an artifact and a number of threads.
        present: whether this machine has it.
        device: "cpu" or "cuda".
        package: whose version counts.
    """

    make: Callable[[Artifact, int], Runtime]
    present: Callable[[], bool]
    device: str
    package: str


def _onnx(provider: str) -> Entry:
    def make(artifact: Artifact, threads: int) -> Runtime:
        from marey.predict.runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(artifact, provider=provider, threads=threads)

    def present() -> bool:
        if importlib.util.find_spec("onnxruntime") is None:
            return False
        if provider == "cpu":
            return True
        import onnxruntime

        from marey.predict.runtimes.onnx_runtime import PROVIDERS

        return PROVIDERS[provider] in onnxruntime.get_available_providers()

    return Entry(make, present, "cpu" if provider == "cpu" else "cuda", "onnxruntime")


def _openvino(precision: str) -> Entry:
    def make(artifact: Artifact, threads: int) -> Runtime:
        from marey.predict.runtimes.open_vino import OpenVino

        return OpenVino(artifact, precision=precision, threads=threads)

    return Entry(make, lambda: importlib.util.find_spec("openvino") is not None, "cpu", "openvino")


def _tensorrt(precision: str) -> Entry:
    def make(artifact: Artifact, threads: int) -> Runtime:
        from marey.predict.runtimes.tensor_rt import TensorRt

        return TensorRt(artifact, precision=precision)

    def present() -> bool:
        return all(importlib.util.find_spec(module) is not None for module in ("tensorrt", "torch"))

    return Entry(make, present, "cuda", "tensorrt")


RUNTIMES: dict[str, Entry] = {
    "onnxruntime": _onnx("cpu"),
    "openvino": _openvino("f32"),
    "openvino-reduced": _openvino("default"),
    "onnxruntime-cuda": _onnx("cuda"),
    "onnxruntime-tensorrt": _onnx("tensorrt"),
    "tensorrt": _tensorrt("fp32"),
    "tensorrt-fp16": _tensorrt("fp16"),
    "tensorrt-int8": _tensorrt("int8"),
}


def present(device: str = "auto") -> list[str]:
    """Names of the runtimes that this machine has, on that device."""
    return [name for name, entry in RUNTIMES.items() if device in ("auto", entry.device) and entry.present()]


def make_runtime(artifact: Artifact, name: str, *, threads: int = 0) -> Runtime:
    """The runtime of that name.

    Raises:
        UnknownNameError: no such runtime. MissingExtraError: its package is not installed.
        ConfigError: torch, which does not run artifacts.
    """
    if name.startswith("torch"):
        raise ConfigError(
            "torch runs the weights of a run, not an exported artifact.",
            f"give the folder of the run, or one of: {', '.join([AUTO, *RUNTIMES])}",
            where=artifact.path,
        )
    if name not in RUNTIMES:
        raise UnknownNameError("runtime", name, [AUTO, *RUNTIMES])
    if artifact.about.form == "step":
        return SteppedClips(make_steps(artifact, name, threads=threads))
    return RUNTIMES[name].make(artifact, threads)


def make_steps(artifact: Artifact, name: str, *, threads: int = 0) -> Steps:
    """The runtime of that name for an artifact of the step form: one frame and the state in.

    Raises:
        UnknownNameError: no such runtime. MissingExtraError: its package is not installed.
        ConfigError: TensorRT, which has no step here; or an artifact that takes clips.
    """
    if artifact.about.form != "step":
        raise ConfigError(
            "this artifact takes clips, not a frame and a state.",
            "export the step form: marey export RUN --step",
            where=artifact.path,
        )
    if name not in RUNTIMES:
        raise UnknownNameError("runtime", name, [AUTO, *RUNTIMES])
    if RUNTIMES[name].package == "tensorrt":
        raise ConfigError("TensorRT does not run steps here.", where=artifact.path)
    return ArtifactSteps(artifact, RUNTIMES[name].make(artifact, threads))
