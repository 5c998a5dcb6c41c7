"""The demo from end to end, small: what it writes, and that its sentence follows from its numbers."""

from __future__ import annotations

import json

import pytest

from marey.data.manifest import Manifest
from marey.errors import ConfigError
from marey.jobs.demo import BASELINE, TEMPORAL, DemoConfig, conclusion, demo


def test_the_demo_writes_both_models_and_compares_them(tmp_path):
    done = demo(DemoConfig(clips=100, epochs=1, out=str(tmp_path)))
    metrics = json.loads((done.run / "metrics.json").read_text())
    assert set(metrics["top1"]) == set(metrics["models"]) == {BASELINE, TEMPORAL}
    for name in (BASELINE, TEMPORAL):
        assert {"ordered", "shuffled", "reversed", "frozen", "sentence"} <= metrics["audit"][name].keys()
        assert (done.run / name / "weights" / "best.safetensors").is_file()
        assert metrics["models"][name]["n"] == len(
            Manifest.read(tmp_path / "demo" / "videos-100-0").indices("val")
        )
    beside = metrics["audit"][TEMPORAL]["baseline"]
    assert beside["top1"] == metrics["top1"][BASELINE]
    page = done.report.read_text()
    assert metrics["conclusion"].split(",")[0] in page
    assert done.weights.is_file()
    assert (tmp_path / "demo" / "videos-100-0" / "manifest.csv").is_file()


def test_the_conclusion_claims_motion_only_where_the_numbers_show_it():
    def models(base, time, disturbed):
        audit = {kind: {"top1": disturbed} for kind in ("shuffled", "reversed", "frozen")}
        return {BASELINE: {"top1": base}, TEMPORAL: {"top1": time, "n": 240, "chance": 0.1, "audit": audit}}

    assert conclusion(models(0.1, 0.98, 0.05)).endswith("what it has learnt is the motion.")
    for numbers in ((0.9, 0.98, 0.05), (0.1, 0.98, 0.9), (0.1, 0.12, 0.1)):
        assert "learnt" not in conclusion(models(*numbers))
    with pytest.raises(ConfigError, match="at least 100"):
        DemoConfig(clips=10)
