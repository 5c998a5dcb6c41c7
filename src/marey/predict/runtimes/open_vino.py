"""OpenVINO, on Intel's and ARM's processors.

On a processor that computes in bf16 or f16 it does so by default: several times as fast, with two or three digits.
Both are offered, and parity decides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import CheckpointError, require
from marey.predict.artifact import Artifact
from marey.predict.runtime import Arrays

PRECISIONS = ("f32", "default")


class OpenVino:
    """An artifact in OpenVINO.

    Args:
        artifact: what to run.
        precision: "f32", or "default": what the processor is fastest in.
        threads: that compute; 0 leaves it to OpenVINO.

    Raises:
        MissingExtraError: the package is not installed.
    """

    def __init__(self, artifact: Artifact, *, precision: str = "f32", threads: int = 0) -> None:
        assert precision in PRECISIONS
        openvino: Any = require("openvino", "openvino")
        self.name = "OpenVINO" if precision == "f32" else "OpenVINO, reduced precision"
        self.artifact = artifact
        self.version = str(openvino.__version__)
        self._core = openvino.Core()
        self._settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if precision == "f32":
            self._settings["INFERENCE_PRECISION_HINT"] = "f32"
        if threads:
            self._settings["INFERENCE_NUM_THREADS"] = threads
        self._requests: dict[bool, Any] = {}
        self._own_precision = ""

    @property
    def reduced(self) -> str:
        """The precision that it computes in by default on this processor: "f32", "bf16" or "f16"."""
        if not self._own_precision:
            self._request(masked=self.artifact.whole is None)
        return self._own_precision

    def __call__(self, inputs: Arrays, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        return self.outputs(inputs, mask)["logits"]

    def outputs(self, inputs: Arrays, mask: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """All that the graph gives, by name."""
        return self.run(*self.artifact.feed(inputs, mask))

    def run(self, feed: Arrays, masked: bool) -> dict[str, NDArray[Any]]:
        """As `outputs`, from what `Artifact.feed` gives, or of a step from frames and state."""
        request = self._request(masked=masked)
        try:
            found = request.infer(dict(feed), share_inputs=True)
        except RuntimeError as error:
            raise CheckpointError(
                f"OpenVINO fails on it: {_first(error)}", where=self.artifact.path
            ) from error
        return {name: np.array(found[name]) for name in self.artifact.about.outputs}

    def _request(self, *, masked: bool) -> Any:
        if masked not in self._requests:
            try:
                model = self._core.read_model(self.artifact.serialised(masked=masked))
                compiled = self._core.compile_model(model, "CPU", self._settings)
            except RuntimeError as error:
                raise CheckpointError(
                    f"OpenVINO cannot load it: {_first(error)}", where=self.artifact.path
                ) from error
            self._own_precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
            self._requests[masked] = compiled.create_infer_request()
        return self._requests[masked]


def _first(error: Exception) -> str:
    """The line of OpenVINO's report that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith(("Exception from", "Check "))), str(error))[
        :300
    ]
