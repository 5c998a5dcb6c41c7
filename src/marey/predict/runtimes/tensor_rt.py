"""TensorRT: an engine that is built from the artifact for one GPU, and kept.

An engine is made for a kind of GPU, a version of TensorRT, a precision and ranges of sizes; all of them are in the
name under which it is kept. Building takes minutes, loading a second. Memory on the GPU is torch's here: TensorRT
itself brings nothing that allocates.

Types are those of the graph (a strongly typed network, which TensorRT 11 knows alone and 10 already takes): fp16 is
a graph that was written in float16, int8 one with scales, as `marey export --int8` makes it.

Written after NVIDIA's documentation of TensorRT 10 and 11 and not run on a GPU so far: see docs/export.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import CheckpointError, ConfigError, require
from marey.files import key_of, write_atomically
from marey.predict.artifact import Artifact
from marey.predict.runtime import Arrays
from marey.predict.runtimes.half import half_graph
from marey.spec import InputSpec
from marey.video.known import cache_folder
from marey.work import print_line

PRECISIONS = ("fp32", "fp16", "int8")
_CHANNELS = {"rgb": 3, "flow": 2, "diff": 3}
Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Ranges:
    """What sizes an engine is built for: the least, the one it is tuned for, and the most.

    Attributes:
        batch, frames: `(least, usual, most)`.
    """

    batch: tuple[int, int, int]
    frames: tuple[int, int, int]

    @classmethod
    def of(cls, spec: InputSpec, *, batch: int = 8) -> Ranges:
        """Batches from 1 to `batch`, tuned for 1; lengths from the shortest clip to twice the spec's."""
        usual = spec.padded_frames(spec.frames)
        if spec.fixed_frames:
            return cls((1, 1, batch), (usual, usual, usual))
        least = spec.padded_frames(max(spec.min_frames, 1 if spec.modalities == ("rgb",) else 2))
        return cls((1, 1, batch), (least, usual, spec.padded_frames(2 * usual)))

    def shapes(self, spec: InputSpec, *, masked: bool) -> dict[str, Shapes]:
        """The three shapes of each input, as an optimisation profile takes them."""
        sizes = list(zip(self.batch, self.frames, strict=True))
        found: dict[str, Shapes] = {}
        for name in spec.modalities:
            short = 0 if name == "rgb" else 1
            found[name] = tuple((b, t - short, _CHANNELS[name], *spec.size) for b, t in sizes)  # type: ignore[assignment]
        if masked:
            found["mask"] = tuple(sizes)  # type: ignore[assignment]
        return found


class TensorRt:
    """An artifact in TensorRT.

    Args:
        artifact: what to run.
        precision: "fp32", "fp16", or "int8" for an artifact that was quantised.
        ranges: what sizes the engine takes; by default `Ranges.of` its spec.

    Raises:
        MissingExtraError: tensorrt is not installed. ConfigError: no NVIDIA GPU, or int8 of an artifact that is not.
        CheckpointError: an engine that cannot be built.
    """

    def __init__(self, artifact: Artifact, *, precision: str = "fp32", ranges: Ranges | None = None) -> None:
        assert precision in PRECISIONS
        if precision == "int8" and artifact.about.precision != "int8":
            raise ConfigError(
                "this artifact was not quantised, so that there are no scales.", where=artifact.path
            )
        trt: Any = require("tensorrt", "tensorrt")
        torch: Any = require("torch", "tensorrt")
        self._trt, self._torch = trt, torch
        if not torch.cuda.is_available():
            raise ConfigError("TensorRT needs an NVIDIA GPU, and there is none here.", where=artifact.path)
        self.name = f"TensorRT {precision}"
        self.artifact = artifact
        self.version = str(trt.__version__)
        self.precision = precision
        self.ranges = ranges or Ranges.of(artifact.about.spec)
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._contexts: dict[bool, Any] = {}

    def __call__(self, inputs: Arrays, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        return self.outputs(inputs, mask)["logits"]

    def outputs(self, inputs: Arrays, mask: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """All that the graph gives, by name."""
        feed, masked = self.artifact.feed(inputs, mask)
        self._check_sizes(mask)
        if masked not in self._contexts:
            self._contexts[masked] = self._engine(masked).create_execution_context()
        context, torch = self._contexts[masked], self._torch
        held = {name: torch.from_numpy(array).cuda() for name, array in feed.items()}
        for name, tensor in held.items():
            context.set_input_shape(name, tuple(tensor.shape))
            context.set_tensor_address(name, tensor.data_ptr())
        found = {}
        for name in self.artifact.about.outputs:
            shape = tuple(context.get_tensor_shape(name))
            dtype = torch.bool if name == "features_mask" else torch.float32
            found[name] = torch.empty(shape, dtype=dtype, device="cuda")
            context.set_tensor_address(name, found[name].data_ptr())
        stream = torch.cuda.current_stream()
        if not context.execute_async_v3(stream.cuda_stream):
            raise CheckpointError("TensorRT fails on it.", where=self.artifact.path)
        stream.synchronize()
        return {name: tensor.cpu().numpy() for name, tensor in found.items()}

    def _check_sizes(self, mask: NDArray[np.bool_]) -> None:
        for what, size, (least, _, most) in (
            ("clips", mask.shape[0], self.ranges.batch),
            ("frames", mask.shape[1], self.ranges.frames),
        ):
            if not least <= size <= most:
                raise ConfigError(
                    f"this engine takes {least} to {most} {what}, got {size}.", where=self.artifact.path
                )

    def _engine(self, masked: bool) -> Any:
        content = self.artifact.serialised(masked=masked)
        place = engine_place(
            content, gpu=self._torch.cuda.get_device_name(), capability=self._torch.cuda.get_device_capability(),
            version=self.version, precision=self.precision, ranges=self.ranges,
        )  # fmt: skip
        runtime = self._trt.Runtime(self._logger)
        if place.is_file():
            engine = runtime.deserialize_cuda_engine(place.read_bytes())
            if engine is not None:
                return engine
        print_line(f"building a TensorRT engine ({self.precision}); it is kept in {place.parent}")
        plan = build(
            self._trt, self._logger, content, self.ranges.shapes(self.artifact.about.spec, masked=masked),
            precision=self.precision, path=self.artifact.path,
        )  # fmt: skip
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, plan)
        return runtime.deserialize_cuda_engine(plan)


def engine_place(
    content: bytes, *, gpu: str, capability: tuple[int, int], version: str, precision: str, ranges: Ranges
) -> Path:
    """Where an engine is kept: under all that it was built for."""
    import hashlib

    made_of = {
        "graph": hashlib.sha256(content).hexdigest(),
        "gpu": [gpu, *capability],
        "tensorrt": version,
        "precision": precision,
        "ranges": [list(ranges.batch), list(ranges.frames)],
    }
    return cache_folder() / "engines" / f"{key_of(made_of)}.engine"


def build(
    trt: Any, logger: Any, content: bytes, shapes: dict[str, Shapes], *, precision: str, path: str
) -> bytes:
    """The serialised engine of an ONNX graph.

    Raises:
        CheckpointError: the graph has what TensorRT cannot do; says what it says.
    """
    if precision == "fp16":
        content = half_graph(content, path=path)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(content):
        said = [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise CheckpointError("TensorRT cannot read it.", *said[:3], where=path)
    settings = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    set_shape: Callable[..., Any] = profile.set_shape
    for name, (least, usual, most) in shapes.items():
        set_shape(name, least, usual, most)
    settings.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, settings)
    if plan is None:
        raise CheckpointError("TensorRT cannot build an engine of it.", where=path)
    return bytes(plan)
