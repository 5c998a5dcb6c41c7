"""Every registered model becomes an artifact that says what torch says: padded, in batches, at other lengths."""

from __future__ import annotations

import numpy as np
import pytest

from marey.export.certificate import cases, compare
from marey.metrics.calibration import probabilities
from marey.predict.runtime import TorchRuntime
from marey.predict.runtimes.onnx_runtime import OnnxRuntime
from marey.predict.runtimes.open_vino import OpenVino
from tests.export.small import moving_clips, traced
from tests.models.small import NAMES, small_model


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_artifact_says_what_torch_says(name: str) -> None:
    model = small_model(name)
    artifact = traced(model)
    assert artifact.whole is not None
    runtime = OnnxRuntime(artifact, threads=1)
    clips = moving_clips(artifact.about.spec, 5)
    runtimes = {"onnxruntime": runtime, "openvino": OpenVino(artifact, threads=1)}
    found = compare(TorchRuntime(model), runtimes, artifact, clips, source="", versions={})
    for name, line in found["runtimes"].items():
        assert line["delta"] < 1e-4, (name, line)
        assert line["top1"] == 1.0
    case = next(iter(cases(clips, artifact.about.spec)))
    outputs = runtime.outputs(case.inputs, case.mask)
    assert np.allclose(outputs["probabilities"], probabilities(outputs["logits"], temperature=1.5), atol=1e-6)
