"""A graph that computes in float16: for runtimes that take the types of a graph as they stand."""

from __future__ import annotations

import logging
from typing import Any

from marey.errors import CheckpointError, require


def half_graph(content: bytes, *, path: str) -> bytes:
    """The same graph in float16, with inputs and outputs as they were.

    Raises:
        MissingExtraError: onnxruntime, whose converter is used, is not installed.
        CheckpointError: the converter gives up on the graph.
    """
    float16: Any = require("onnxruntime.transformers.float16", "onnx")
    onnx: Any = require("onnx", "onnx")
    logger = logging.getLogger(float16.__name__)
    level = logger.level
    logger.setLevel(logging.ERROR)  # it says each weight that is small enough to become 0
    try:
        model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(content))
        halved = float16.convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True)
    except Exception as error:  # the converter raises what comes
        raise CheckpointError(
            f"it cannot be written in float16: {type(error).__name__}: {error}", where=path
        ) from error
    finally:
        logger.setLevel(level)
    return bytes(halved.SerializeToString())
