"""Weights in half precision: a file of half the size. Whoever loads it widens them again, and computes as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from marey.errors import CheckpointError

if TYPE_CHECKING:
    from onnx import ModelProto

_WORTH = 1024  # bytes of a tensor
_FLOAT, _HALF = 1, 10


def halve_weights(model: ModelProto) -> None:
    """Store large float32 weights as float16, each with a node that casts it back; in place.

    Raises:
        CheckpointError: a weight beyond what float16 can hold (65,504).
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != _FLOAT or len(tensor.raw_data) < _WORTH:
            continue
        wide = numpy_helper.to_array(tensor)
        name = tensor.name
        if np.abs(wide).max(initial=0.0) > np.finfo(np.float16).max:
            raise CheckpointError(f"the weight {name!r} is too large for float16.", "export without --fp16")
        tensor.CopyFrom(numpy_helper.from_array(wide.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=_FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
