"""A model as an ONNX graph: uint8 frames and a mask in, probabilities and logits out.

Two graphs are traced over the same weights. The first takes the mask, and any clip. The second takes none, for
clips without padding, as nearly all are: all that keeps padding out of the first (zeros before every layer that
looks along time, the shrinking masks, means over real frames) costs a pass over memory each. The second is kept as
nodes alone, beside the first.

Normalising, calibration and the probabilities are part of both, so that nobody can do them otherwise.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from marey.errors import CheckpointError, ConfigError, require
from marey.export.halve import halve_weights
from marey.models.base import CHANNELS, VideoModel
from marey.models.stepping import SteppingModel, stepping
from marey.predict.about import AFTER, STATE, Description
from marey.predict.artifact import KEY, WHOLE, Artifact
from marey.video.sampling import rate_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

_TRACED_FRAMES = (
    24  # long enough that no length inside the network becomes 1, which would be taken for a constant
)
_RECURRENT_SINCE = "2.13"  # of torch; 2.12 still gives up
_SHARED_BYTES = 256  # smaller constants are not worth looking for


class Graph(nn.Module):
    """What is traced: the model, its calibration and the probabilities."""

    def __init__(self, model: VideoModel, about: Description) -> None:
        super().__init__()
        self.model = model
        self.about = about

    def forward(
        self,
        rgb: Tensor | None = None,
        flow: Tensor | None = None,
        diff: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        given = {"rgb": rgb, "flow": flow, "diff": diff}
        inputs = {name: x for name, x in given.items() if x is not None}
        logits_BK = self.model(**inputs, mask=mask)
        said = _probabilities(logits_BK, self.about)
        if "features" not in self.about.outputs:
            return said
        x_BTD, mask_BT = self.model.features_and_mask(**inputs, mask=mask)
        return *said, x_BTD, mask_BT.clone()  # an output that is an input would have no name of its own


def _probabilities(logits_BK: Tensor, about: Description) -> tuple[Tensor, Tensor]:
    """Calibrated probabilities, and the logits."""
    scaled_BK = logits_BK / about.temperature
    return scaled_BK.sigmoid() if about.multi_label else scaled_BK.softmax(dim=1), logits_BK


def check_exportable(model: VideoModel, *, any_length: bool = True) -> None:
    """Say before anything is traced that a model cannot be exported.

    Args:
        model: what would be traced.
        any_length: whether the graph must take clips of any length, as a step need not.

    Raises:
        ConfigError: a head on features whose network is not known; a recurrent layer with a torch that writes it out
            step by step, so that its graph would take one length alone.
    """
    if getattr(model, "network", model) is None:
        raise ConfigError(
            "this is a head on features whose network is not known, so it cannot judge a raw video.",
            "extract the features with marey extract, which keeps the network, and train again",
        )
    recurrent = any(isinstance(part, nn.RNNBase) for part in model.modules())
    if any_length and recurrent and torch.__version__ < _RECURRENT_SINCE:
        raise ConfigError(
            f"torch {torch.__version__} cannot trace the recurrent layer of {model.name} for clips of any length.",
            f"export it with torch {_RECURRENT_SINCE} or later; the artifact then needs no torch at all",
        )


def describe_model(model: VideoModel, about: Description) -> Description:
    """The description with the input as the graph will take it: of any length, or of one."""
    if model.traces_any_length and not model.spec.fixed_frames:
        return replace(about, spec=model.spec)
    return replace(about, spec=replace(model.spec, fixed_frames=True))


def trace(model: VideoModel, about: Description) -> ModelProto:
    """The artifact's ONNX model with all but its certificate.

    Args:
        model: in eval mode, on the CPU, in float32.
        about: see `describe_model`.

    Raises:
        MissingExtraError: onnx and onnxscript are not installed.
        CheckpointError: the exporter gives up on the model.
    """
    for module in ("onnx", "onnxscript"):
        require(module, "onnx")
    with _at_rest(model):
        model_proto = _traced(Graph(model, about), about, masked=True)
        whole = _traced(Graph(model, about), about, masked=False)
    if about.precision == "fp16":
        halve_weights(model_proto)
        halve_weights(whole)
    return _joined(model_proto, whole, about)


class StepGraph(nn.Module):
    """What is traced of the step form: one frame further, calibration, probabilities."""

    def __init__(self, model: SteppingModel, about: Description) -> None:
        super().__init__()
        self.model: Any = model
        self.about = about

    def forward(self, frame: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        names = tuple(self.about.state)
        logits_BK, after = self.model.step(frame, dict(zip(names, state, strict=True)))
        return *_probabilities(logits_BK, self.about), *(after[name] for name in names)


def describe_step(model: VideoModel, about: Description) -> Description:
    """The description of the step form.

    Raises:
        ConfigError: the model cannot go frame by frame; names those that can.
    """
    shapes = stepping(model).state_shapes()
    outputs = ("probabilities", "logits", *(AFTER + name for name in shapes))
    return replace(about, form="step", state=shapes, outputs=outputs, fps=rate_of(model.spec.sampler))


def trace_step(model: VideoModel, about: Description) -> ModelProto:
    """As `trace`, for the step form: `frame` uint8 `(B, 3, H, W)` and the state in, the state after it out.

    Args:
        model: in eval mode, on the CPU, in float32.
        about: see `describe_step`.
    """
    for module in ("onnx", "onnxscript"):
        require(module, "onnx")
    frame = torch.zeros(2, 3, *about.spec.size, dtype=torch.uint8)
    state = tuple(torch.zeros(2, *shape) for shape in about.state.values())
    free = {0: torch.export.Dim.DYNAMIC}
    with _at_rest(model):
        proto = _exported(
            StepGraph(stepping(model), about), (frame, state), about, dynamic_shapes=(free, (free,) * len(state)),
            input_names=["frame", *(STATE + name for name in about.state)],
        )  # fmt: skip
    if about.precision == "fp16":
        halve_weights(proto)
    return _joined(proto, None, about)


def pack(artifact: Artifact) -> ModelProto:
    """An artifact whose graphs were changed, as one ONNX model again."""
    return _joined(artifact.model, artifact.whole, artifact.about)


def _joined(masked: ModelProto, whole: ModelProto | None, about: Description) -> ModelProto:
    joined = copy.deepcopy(masked)
    set_metadata(joined, KEY, about.to_json())
    if whole is not None:
        set_metadata(joined, WHOLE, _packed(whole.graph, joined.graph))
    return joined


def set_metadata(model: ModelProto, key: str, value: str) -> None:
    """Write one entry of an ONNX model's metadata, in place of one that is there."""
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = value
            return
    model.metadata_props.add(key=key, value=value)


def _traced(graph: Graph, about: Description, *, masked: bool) -> ModelProto:
    spec = about.spec
    frames = spec.frames if spec.fixed_frames else spec.padded_frames(max(spec.frames, _TRACED_FRAMES))
    inputs: dict[str, Tensor] = {
        name: torch.zeros(2, frames, CHANNELS[name], *spec.size, dtype=torch.uint8)
        if name == "rgb"
        else torch.zeros(2, frames - 1, CHANNELS[name], *spec.size)
        for name in spec.modalities
    }
    if masked:
        inputs["mask"] = torch.ones(2, frames, dtype=torch.bool)
    free = torch.export.Dim.DYNAMIC
    axes = {0: free} if spec.fixed_frames else {0: free, 1: free}
    return _exported(graph, (), about, kwargs=inputs, dynamic_shapes=dict.fromkeys(inputs, axes))


def _exported(graph: nn.Module, args: tuple[Any, ...], about: Description, **settings: Any) -> ModelProto:
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                graph.eval(), args, dynamo=True, output_names=list(about.outputs), external_data=False, verbose=False,
                **settings,
            )  # fmt: skip
    except Exception as error:  # the exporter wraps whatever its steps raise in classes of its own
        raise CheckpointError(
            f"{about.model} cannot be traced: {type(error).__name__}: {str(error).splitlines()[0]}",
            f"torch {torch.__version__}",
        ) from error
    assert program is not None
    proto: ModelProto = program.model_proto
    _tidy(proto)
    return proto


def _tidy(proto: ModelProto) -> None:
    """Name the free sizes, and drop what only the exporter knew: shapes between nodes and lines of source code."""
    del proto.metadata_props[:]
    graph = proto.graph
    del graph.value_info[:]
    del graph.metadata_props[:]
    graph.doc_string = proto.doc_string = ""
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for given in (*graph.input, *graph.output):
        del given.metadata_props[:]
        for place, dim in enumerate(given.type.tensor_type.shape.dim):
            if dim.dim_param:
                name = "batch" if place == 0 else "frames" if place == 1 else f"{given.name}_{place}"
                dim.dim_param = "fields" if place == 1 and given.name in ("flow", "diff") else name


@contextmanager
def _at_rest(model: VideoModel) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's progress and advice are for people who write models."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _packed(graph: GraphProto, base: GraphProto) -> str:
    """A graph's nodes, and which of the base's weights are its own."""
    known = {_value(tensor): tensor.name for tensor in base.initializer}
    kept = copy.deepcopy(graph)
    shared: dict[str, str] = {}
    del kept.initializer[:]
    for tensor in graph.initializer:
        other = known.get(_value(tensor)) if len(tensor.raw_data) >= _SHARED_BYTES else None
        if other is None:
            kept.initializer.add().CopyFrom(tensor)
        else:
            shared[tensor.name] = other
    content = base64.b64encode(zlib.compress(kept.SerializeToString(), 9)).decode()
    return json.dumps({"graph": content, "shared": shared})


def _value(tensor: Any) -> tuple[Any, ...]:
    return tensor.data_type, tuple(tensor.dims), hashlib.sha256(tensor.raw_data).digest()
