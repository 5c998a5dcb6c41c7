"""An artifact: one ONNX file that holds the network and everything around it. Read here, without torch.

In the file's metadata stand, under `marey`, the `InputSpec`, class names, calibration and the parity certificate as
JSON, and under `marey.whole` the nodes of a second graph over the same weights: the network without a mask, for
clips that have no padding. It does less, and gives the same (see `marey.export.graph`).

A file from elsewhere is looked at before any runtime sees it: `marey.predict.screening` says for what.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import CheckpointError, UsageError, require
from marey.predict.about import Description, describe
from marey.predict.screening import LARGEST, check_graph, check_model

if TYPE_CHECKING:
    from onnx import ModelProto

KEY = "marey"
WHOLE = "marey.whole"
_CHANNELS = {"rgb": 3, "flow": 2, "diff": 3}


@dataclass(frozen=True, eq=False)
class Artifact:
    """What `read_artifact` gives.

    Attributes:
        path: the file, or what to call it while there is none.
        about: what it says of itself.
        model: the ONNX model, with the mask as an input, without its metadata.
        whole: the same without a mask, for clips without padding; or None.
    """

    path: str
    about: Description
    model: ModelProto
    whole: ModelProto | None = field(default=None, repr=False)

    def serialised(self, *, masked: bool) -> bytes:
        """The bytes of one of the two graphs, as a runtime loads them."""
        model = self.model if masked or self.whole is None else self.whole
        content: bytes = model.SerializeToString()
        return content

    def feed(
        self, inputs: Mapping[str, NDArray[Any]], mask: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray[Any]], bool]:
        """What the graph is given, and whether it is the one with a mask.

        Raises:
            UsageError: an input that is missing or not wanted, of another type or shape, or a mask that is none.
        """
        spec = self.about.spec
        if set(inputs) != set(spec.modalities):
            raise UsageError(
                f"this artifact takes {' and '.join(spec.modalities)}, got {' and '.join(inputs) or 'nothing'}.",
                where=self.path,
            )
        if mask.dtype != np.bool_ or mask.ndim != 2:
            raise UsageError(f"the mask must be bool (B, T), got {mask.dtype} {mask.shape}.", where=self.path)
        batch, frames = mask.shape
        for name in spec.modalities:
            self._check_input(name, inputs[name], batch, frames)
        least = 1 if "rgb" in spec.modalities else 2  # flow and differences lie between two
        if not mask[:, :least].all() or (mask[:, 1:] > mask[:, :-1]).any():
            raise UsageError(
                f"the mask must have the real frames first, and at least {least} of them.", where=self.path
            )
        if spec.padded_frames(frames) != frames:
            raise UsageError(
                f"this artifact takes {self.lengths}, got {frames}.",
                "pad the clip, with False in the mask",
                where=self.path,
            )
        masked = self.whole is None or not bool(mask.all())
        arrays = {name: np.ascontiguousarray(inputs[name]) for name in spec.modalities}
        return {**arrays, "mask": mask} if masked else arrays, masked

    @property
    def lengths(self) -> str:
        """How many frames it takes, in words."""
        spec = self.about.spec
        if spec.fixed_frames:
            return f"{spec.frames} frames"
        multiple = f" in multiples of {spec.frames_multiple}" if spec.frames_multiple > 1 else ""
        return f"{spec.min_frames} frames or more{multiple}"

    def _check_input(self, name: str, x: NDArray[Any], batch: int, frames: int) -> None:
        spec = self.about.spec
        fields = frames if name == "rgb" else frames - 1  # flow and differences lie between two frames
        wanted = (batch, fields, _CHANNELS[name], *spec.size)
        dtype = np.uint8 if name == "rgb" else np.float32
        if x.dtype != dtype or x.shape != wanted:
            raise UsageError(
                f"{name} must be {np.dtype(dtype)} of shape (B, T, C, H, W) = {wanted}, got {x.dtype} {x.shape}.",
                where=self.path,
            )


def read_artifact(path: str | Path) -> Artifact:
    """Read and screen an artifact. Nothing of it is run, and no other file is opened.

    Raises:
        CheckpointError: no such file, no ONNX file, not one that marey exported, damaged, or one that holds what an
            artifact never does: data in other files, operators of a library, more than its weights account for.
        MissingExtraError: the package onnx is not installed.
    """
    path = Path(path)
    if not path.is_file():
        what = "this is a folder, not a file." if path.is_dir() else "there is no such file."
        raise CheckpointError(what, "give the path of a file that marey export wrote", where=str(path))
    size = path.stat().st_size
    if not 0 < size <= LARGEST:
        raise CheckpointError(
            f"an artifact holds at most {LARGEST} bytes and at least one; this file has {size}.",
            where=str(path),
        )
    return artifact_of(path.read_bytes(), path=str(path))


def artifact_of(content: bytes, *, path: str) -> Artifact:
    """As `read_artifact`, from bytes."""
    onnx: Any = require("onnx", "onnx")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's own error class differs between its implementations
        raise CheckpointError(f"this is not a whole ONNX file: {error}.", where=path) from error
    if not model.HasField("graph"):
        raise CheckpointError("this is not an ONNX file: it holds no graph.", where=path)
    check_model(model, path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if KEY not in metadata:
        raise CheckpointError(
            "this ONNX file was not exported by marey: it does not say how its input is prepared.",
            "export a run: marey export RUN --to onnx",
            where=path,
        )
    about = describe(metadata[KEY], path)
    check_graph(model.graph, about, path, masked=True)
    del model.metadata_props[:]
    return Artifact(path, about, model, _whole(model, metadata.get(WHOLE), about, path))


def _whole(model: ModelProto, packed: str | None, about: Description, path: str) -> ModelProto | None:
    """The second graph, over the first one's weights."""
    if packed is None:
        return None
    import onnx

    whole = onnx.ModelProto(ir_version=model.ir_version)
    whole.opset_import.extend(model.opset_import)
    try:
        plain = json.loads(packed)
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(plain["graph"], validate=True), LARGEST)
        if unpacker.unconsumed_tail:
            raise ValueError("larger than an ONNX file can be")
        whole.graph.ParseFromString(content)
        shared = {str(name): str(other) for name, other in plain["shared"].items()}
    except Exception as error:  # as above, and all that damage can do to text
        raise CheckpointError(f"its second graph is damaged: {error}.", where=path) from error
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, other in shared.items():
        if other not in weights:
            raise CheckpointError(
                f"its second graph names weights that are not there: {other!r}.", where=path
            )
        whole.graph.initializer.add().CopyFrom(weights[other])
        whole.graph.initializer[-1].name = name
    check_model(whole, path)
    check_graph(whole.graph, about, path, masked=False)
    return whole
