"""Training on stored flow is training on flow: the same weights, the same numbers, the same predictions."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

import marey
from marey.data.manifest import Manifest
from marey.errors import ConfigError, DataError
from marey.jobs.train import train
from marey.models.saved import read_metadata
from marey.training.config import InputConfig, OptimConfig
from marey.video.flow import extract_flow
from tests.training.small import config

FLOW = {
    "model": "two_stream_tiny",
    "branch": "flow",
    "model_args": ("width=0.125", 'blocks=["3b"]'),
    "epochs": 1,
    "input": InputConfig(sampler="snippets:1,5", size=24, resize=28, flow_method="dis-ultrafast"),
    "optim": OptimConfig(lr=5e-3),
}


@pytest.fixture(scope="module")
def few(motion, tmp_path_factory):
    """A dozen of the videos."""
    lines = motion.read_text().splitlines()
    rows = [line for line in lines[1:] if "train" in line][:8] + [
        line for line in lines[1:] if "val" in line
    ][:4]
    path = tmp_path_factory.mktemp("few") / "few.csv"
    path.write_text("\n".join([lines[0], *(f"{motion.parent}/{row}" for row in rows)]))
    return path


@pytest.fixture(scope="module")
def stored(few, tmp_path_factory):
    out = tmp_path_factory.mktemp("flow")
    manifest = Manifest.read(few)
    videos = [manifest.sample(row) for row in range(len(manifest))]
    extract_flow(videos, out, method="dis-ultrafast", size=28, workers=1, say=lambda text: None)
    return out


def test_stored_flow_gives_the_same_weights_and_predictions(few, stored, tmp_path):
    plain = train(config(few, tmp_path, name="plain", **FLOW), quiet=True)
    kept = train(config(few, tmp_path, name="kept", flow=str(stored), **FLOW), quiet=True)
    one, other = (load_file(run.weights[0]) for run in (plain, kept))
    assert all(np.array_equal(one[key], other[key]) for key in one)
    assert (plain.run / "predictions.csv").read_text() == (kept.run / "predictions.csv").read_text()
    spec = read_metadata(kept.weights[0])["spec"]
    assert spec["flow_method"] == "dis-ultrafast"
    assert spec["sampler"] == {"name": "snippets", "n": 1, "fields": 5, "stride": 1}

    # a predictor that knows no folder computes, by the method of the file, what training read
    predictor = marey.load(kept.run, device="cpu")
    logged = json.loads((kept.run / "metrics.json").read_text())
    assert logged["protocol"]["sampler"]["name"] == "snippets"
    with (kept.run / "predictions.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            said = predictor.predict(row["path"])
            assert said.label == row["predicted"]


def test_what_cannot_be_is_said_before_a_run_begins(few, stored, tmp_path):
    def attempt(**changes):
        train(config(few, tmp_path / "runs", **{**FLOW, **changes}), quiet=True)

    wrong = replace(FLOW["input"], flow_method="dis-fast")
    with pytest.raises(DataError, match="by the method dis-ultrafast, and the model takes dis-fast"):
        attempt(flow=str(stored), input=wrong)
    with pytest.raises(ConfigError, match="r2plus1d_tiny takes rgb, not optical flow"):
        attempt(
            flow=str(stored), model="r2plus1d_tiny", branch=None, model_args=(), input=InputConfig(size=24)
        )
    with pytest.raises(ConfigError, match="drop --flow-method"):
        attempt(model="r2plus1d_tiny", branch=None, model_args=())
    with pytest.raises(ConfigError, match="r2plus1d_tiny has no branches"):
        attempt(model="r2plus1d_tiny", model_args=(), input=InputConfig(size=24))
    with pytest.raises(ConfigError, match="snippets of 5 fields, and this network takes stacks of 10"):
        attempt(model="two_stream", model_args=(), input=InputConfig(sampler="snippets:3,5", size=32))
    with pytest.raises(marey.MareyError, match="'dis-fst' is not a known flow method"):
        attempt(input=replace(FLOW["input"], flow_method="dis-fst"))
    assert not (tmp_path / "runs").exists()
