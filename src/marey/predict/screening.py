"""What an ONNX file from elsewhere must not hold. It is looked for in the message itself, before a runtime loads it.

A runtime that is given bytes can still be told to read other files (external data) and to run operators out of a
library; and a few bytes can ask for tensors of terabytes. None of it stands in an artifact that marey wrote, so all
of it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from marey.errors import CheckpointError
from marey.predict.about import STATE

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

    from marey.predict.about import Description

LARGEST = (1 << 31) - 1  # bytes: what a protobuf message can hold
_DOMAINS = ("", "ai.onnx")
_DEEPEST = 8  # graphs within graphs
# Bits of an element, by the number of its type in ONNX.
_BITS = {
    1: 32,
    2: 8,
    3: 8,
    4: 16,
    5: 16,
    6: 32,
    7: 64,
    9: 8,
    10: 16,
    11: 64,
    12: 32,
    13: 64,
    16: 16,
    21: 4,
    22: 4,
}
_TYPED = {"float_data": 32, "int32_data": 32, "int64_data": 64, "double_data": 64, "uint64_data": 64}


def check_model(model: ModelProto, path: str) -> None:
    """Refuse what an artifact never holds.

    Raises:
        CheckpointError: says what.
    """
    if model.functions:
        raise CheckpointError("it holds functions of its own, which no artifact has.", where=path)
    foreign = [entry.domain for entry in model.opset_import if entry.domain not in _DOMAINS]
    for graph in _graphs(model.graph, path):
        for node in graph.node:
            if node.domain not in _DOMAINS:
                foreign.append(f"{node.domain}.{node.op_type}")
        for tensor in _tensors(graph):
            _check_tensor(tensor, path)
    if foreign:
        raise CheckpointError(
            f"it needs operators that are not ONNX's own: {foreign[0]}.",
            "they would have to be loaded from a library; nothing of it was run",
            where=path,
        )


def check_graph(graph: GraphProto, about: Description, path: str, *, masked: bool) -> None:
    """Refuse a graph whose inputs and outputs are not what its metadata says.

    Raises:
        CheckpointError: says which.
    """
    spec = about.spec
    pixels = spec.modalities
    wanted = {name: (2 if name == "rgb" else 1, 5) for name in spec.modalities} | (
        {"mask": (9, 2)} if masked else {}
    )
    if about.form == "step":
        pixels = ("frame",)
        wanted = {"frame": (2, 4)} | {
            STATE + name: (1, 1 + len(shape)) for name, shape in about.state.items()
        }
    weights = {tensor.name for tensor in graph.initializer}
    found: dict[str, tuple[int, int]] = {}
    for given in graph.input:
        if given.name in weights:
            continue
        kind = given.type.tensor_type
        found[given.name] = (kind.elem_type, len(kind.shape.dim))
        part = given.name.removeprefix(STATE)
        if about.form == "step" and part in about.state:
            sides = tuple(dim.dim_value for dim in kind.shape.dim[1:])
            if sides != about.state[part]:
                raise CheckpointError(
                    f"its state {part!r} has the shape {sides}, and its metadata says {about.state[part]}.",
                    where=path,
                )
        if given.name in pixels and len(kind.shape.dim) >= 4:
            height, width = (dim.dim_value for dim in kind.shape.dim[-2:])
            if (height, width) != tuple(spec.size):
                raise CheckpointError(
                    f"its input {given.name!r} has {height}×{width} pixels, and its metadata says "
                    f"{spec.size[0]}×{spec.size[1]}.",
                    where=path,
                )
    if found != wanted:
        raise CheckpointError(
            f"its inputs are not those of an artifact: {', '.join(found) or 'none'}, by type and rank "
            f"{list(found.values())}.",
            f"wanted: {', '.join(wanted)}, {list(wanted.values())}",
            where=path,
        )
    outputs = tuple(output.name for output in graph.output)
    if outputs != about.outputs:
        raise CheckpointError(
            f"its outputs are {', '.join(outputs)}, and its metadata says {', '.join(about.outputs)}.",
            where=path,
        )


def _graphs(graph: GraphProto, path: str, depth: int = 0) -> Iterator[GraphProto]:
    """The graph and all that stand in its nodes' attributes."""
    if depth > _DEEPEST:
        raise CheckpointError(f"it holds graphs within graphs, more than {_DEEPEST} deep.", where=path)
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g, path, depth + 1)
            for inner in attribute.graphs:
                yield from _graphs(inner, path, depth + 1)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in [attribute.sparse_tensor, *attribute.sparse_tensors]:
                yield from (sparse.values, sparse.indices)


def _check_tensor(tensor: TensorProto, path: str) -> None:
    if tensor.data_location or tensor.external_data:
        where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        raise CheckpointError(
            f"the values of its tensor {tensor.name!r} lie in another file: {where!r}.",
            "an artifact is one file; nothing was opened",
            where=path,
        )
    if any(dim < 0 for dim in tensor.dims):
        raise CheckpointError(f"its tensor {tensor.name!r} has a negative size.", where=path)
    if tensor.data_type == 0 and not tensor.dims:  # an attribute's empty field
        return
    bits = _BITS.get(tensor.data_type)
    if bits is None:
        raise CheckpointError(
            f"its tensor {tensor.name!r} is of a type ({tensor.data_type}) that no artifact has.", where=path
        )
    wanted = math.prod(tensor.dims) * bits
    held: Any = len(tensor.raw_data) * 8
    for name, wide in _TYPED.items():
        # small types stand in int32_data, one element each, and count as their own width
        held += len(getattr(tensor, name)) * (min(wide, bits) if name == "int32_data" else wide)
    if held < wanted or held > wanted + 7:
        raise CheckpointError(
            f"its tensor {tensor.name!r} of shape {tuple(tensor.dims)} holds {held // 8} bytes in place of "
            f"{wanted // 8}.",
            where=path,
        )
