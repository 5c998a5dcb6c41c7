"""Every registered model becomes an artifact that says what torch says: of real clips, padded, in batches, at other
lengths, and by `marey predict`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from marey.cli.main import main
from marey.jobs.export import ExportConfig, export
from tests.export.small import saved_model
from tests.models.small import NAMES
from tests.shared import SHARED, needs_shared


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_runtime_predicts_of_real_clips_what_torch_does(name: str, tmp_path: Any, capsys: Any) -> None:
    """`marey predict` of a run's weights, and of the artifact that `marey export` made of them."""
    weights = saved_model(tmp_path, name)
    fights = SHARED / "data" / "fight"
    done = export(ExportConfig(run=str(weights), data=str(fights / "fight.csv"), clips=2), say=lambda _: None)
    certificate = done.about.certificate
    assert certificate["source"].endswith("fight.csv")
    assert certificate["cases"] >= 6  # clips alone, two and five at once, padded or not
    line = certificate["runtimes"]["onnxruntime"]
    assert line["delta"] < 1e-4, line
    assert (
        certificate["runtimes"]["openvino"]["top1"] == 1.0
    )  # how near it is, auto asks where it would be taken
    clips = [str(path) for path in sorted((fights / "clips").glob("*.mp4"))[::17]]
    assert len(clips) == 5
    said: dict[str, list[dict[str, float]]] = {}
    for path, runtime in ((weights, "torch"), (done.path, "onnxruntime"), (done.path, "openvino")):
        words = ["--json", "--runtime", runtime, "--device", "cpu", "--out", str(tmp_path)]
        assert main(["predict", str(path), *clips, *words]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        said[runtime] = [{item["label"]: item["score"] for item in row["top"]} for row in rows]
    for runtime in ("onnxruntime", "openvino"):
        for wanted, got in zip(said["torch"], said[runtime], strict=True):
            assert next(iter(got)) == next(iter(wanted))
            assert max(abs(got[label] - p) for label, p in wanted.items()) <= 1e-3
