"""ONNX Runtime: the CPU, and a GPU where its package has the providers for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import CheckpointError, ConfigError, require
from marey.predict.artifact import Artifact
from marey.predict.runtime import Arrays

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class OnnxRuntime:
    """An artifact in ONNX Runtime.

    Args:
        artifact: what to run.
        provider: a name from `PROVIDERS`.
        threads: that compute; 0 leaves it to ONNX Runtime.

    Raises:
        MissingExtraError: the package is not installed. ConfigError: it has no such provider.
    """

    def __init__(self, artifact: Artifact, *, provider: str = "cpu", threads: int = 0) -> None:
        ort: Any = require("onnxruntime", "onnx")
        if PROVIDERS[provider] not in ort.get_available_providers():
            raise ConfigError(
                f"this ONNX Runtime has no {provider} provider.",
                f"present: {', '.join(p for p, name in PROVIDERS.items() if name in ort.get_available_providers())}",
                "the package onnxruntime-gpu has cuda and tensorrt",
            )
        self.name = "ONNX Runtime" if provider == "cpu" else f"ONNX Runtime {provider}"
        self.artifact = artifact
        self.version = str(ort.__version__)
        self._provider = provider
        self._threads = threads
        self._sessions: dict[bool, Any] = {}

    def __call__(self, inputs: Arrays, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        return self.outputs(inputs, mask)["logits"]

    def outputs(self, inputs: Arrays, mask: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """All that the graph gives, by name."""
        return self.run(*self.artifact.feed(inputs, mask))

    def run(self, feed: Arrays, masked: bool) -> dict[str, NDArray[Any]]:
        """As `outputs`, from what `Artifact.feed` gives, or of a step from frames and state."""
        if masked not in self._sessions:
            self._sessions[masked] = self._session(masked)
        try:
            found = self._sessions[masked].run(list(self.artifact.about.outputs), dict(feed))
        except Exception as error:  # its own classes derive from Exception alone
            raise CheckpointError(
                f"ONNX Runtime fails on it: {str(error).splitlines()[0]}", where=self.artifact.path
            ) from error
        return dict(zip(self.artifact.about.outputs, found, strict=True))

    def _session(self, masked: bool) -> Any:
        ort: Any = require("onnxruntime", "onnx")
        options = ort.SessionOptions()
        options.log_severity_level = 4  # what it would print is raised
        options.intra_op_num_threads = self._threads
        providers = [PROVIDERS[self._provider]]
        if self._provider != "cpu":
            providers.append(PROVIDERS["cpu"])
        try:
            return ort.InferenceSession(self.artifact.serialised(masked=masked), options, providers=providers)
        except Exception as error:  # as above
            raise CheckpointError(
                f"ONNX Runtime cannot load it: {str(error).splitlines()[0]}", where=self.artifact.path
            ) from error
