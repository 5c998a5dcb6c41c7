"""Whole numbers of 8 bits in place of float32 in convolutions and matrix products, calibrated on real clips.

Static quantisation as ONNX writes it (QDQ): every weight its scale a channel, every activation one, taken from what
the calibration clips bring about. Both are symmetric around 0 and biases stay in float32: the form that TensorRT reads,
and that OpenVINO computes wholly in 8 bits. Whether it is worth it is measured, never assumed: see `jobs.export`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from marey.errors import CheckpointError

if TYPE_CHECKING:
    from onnx import ModelProto

Feed = dict[str, Any]
_QUANTISED = ("Conv", "Gemm", "MatMul")
_SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}


class Clips:
    """Calibration clips one after another, as ONNX Runtime's quantiser asks for them."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantise(model: ModelProto, feeds: Sequence[Feed]) -> ModelProto:
    """The model with quantised weights and activations.

    Args:
        model: without metadata.
        feeds: the inputs of the graph, by name, of each calibration batch.

    Raises:
        CheckpointError: the quantiser gives up on the graph.
    """
    import tempfile
    from pathlib import Path

    import onnx
    from onnxruntime import quantization

    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # its advice on preparing a model is followed already
    try:
        with tempfile.TemporaryDirectory() as folder:
            whole, path = Path(folder) / "whole.onnx", Path(folder) / "quantised.onnx"
            whole.write_bytes(model.SerializeToString())  # given the model itself, it would change it
            quantization.quantize_static(
                str(whole), str(path), Clips(feeds), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
                activation_type=quantization.QuantType.QInt8, weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=list(_QUANTISED), extra_options=_SYMMETRIC,
            )  # fmt: skip
            found: ModelProto = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # the quantiser raises what comes
        raise CheckpointError(f"it cannot be quantised: {type(error).__name__}: {error}") from error
    finally:
        logging.getLogger().setLevel(level)
    kept = [entry for entry in found.opset_import if entry.domain in ("", "ai.onnx")]
    del found.opset_import[:]
    found.opset_import.extend(kept)
    del found.metadata_props[:]
    return found
