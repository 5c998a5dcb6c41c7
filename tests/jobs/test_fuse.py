"""Branches trained by themselves and fused: the same held-out samples, weights from training samples alone."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from marey.data.manifest import Manifest
from marey.errors import CheckpointError, ConfigError
from marey.jobs.evaluate import EvalConfig, evaluate
from marey.jobs.fuse import FuseConfig, fuse_runs
from marey.jobs.train import resume_config, train
from marey.models.saved import read_metadata
from marey.training.config import InputConfig, OptimConfig
from marey.training.fusion import fit_fusion
from tests.training.small import config

TINY = {
    "model": "two_stream_tiny",
    "model_args": ("width=0.125", 'blocks=["3b"]'),
    "epochs": 1,
    "input": InputConfig(sampler="snippets:1,4", size=24, resize=28, flow_method="dis-ultrafast"),
    "optim": OptimConfig(lr=5e-3),
}


@pytest.fixture(scope="module")
def few(motion, tmp_path_factory):
    """A dozen of the videos, without a split of their own."""
    lines = motion.read_text().splitlines()[1:13]
    path = tmp_path_factory.mktemp("few") / "few.csv"
    rows = [",".join(f"{motion.parent}/{line}".split(",")[:2]) for line in lines]
    path.write_text("\n".join(["path,label", *rows]))
    return path


@pytest.fixture(scope="module")
def branches(few, tmp_path_factory):
    out = tmp_path_factory.mktemp("branches")
    runs = []
    for branch in ("rgb", "flow"):
        settings = {
            **TINY,
            "input": TINY["input"] if branch == "flow" else replace(TINY["input"], flow_method=None),
        }
        runs.append(train(config(few, out, name=branch, branch=branch, folds=2, **settings), quiet=True).run)
    return runs


def probabilities(run):
    with (run / "predictions.csv").open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("fusion", ["weighted", "concat"])
def test_a_fused_run_is_a_run(branches, few, tmp_path, fusion):
    rgb, flow = branches
    done = fuse_runs(
        FuseConfig(
            rgb=str(rgb), flow_run=str(flow), fusion=fusion, audit=False, out=str(tmp_path), device="cpu"
        ),
        quiet=True,
    )
    assert len(done.weights) == 2
    both = done.metrics["branches"]
    assert list(both) == ["rgb", "flow", "fusion"]
    assert both["fusion"]["top1"] == done.metrics["top1"]
    if fusion != "concat":  # each branch answers as it did in its own run, fold by fold
        for name, run in (("rgb", rgb), ("flow", flow)):
            assert both[name]["top1"] == json.loads((run / "metrics.json").read_text())["top1"]
    page = done.report.read_text()
    assert "What each branch knows" in page
    assert "flow branch alone" in page
    assert probabilities(done.run).keys() == probabilities(rgb).keys()
    assert {r["fold"] for r in probabilities(done.run).values()} == {"1", "2"}
    log = (done.run / "log.txt").read_text()
    if fusion != "average":
        for fold in (1, 2):
            rows = [r for r in probabilities(done.run).values() if r["fold"] != str(fold)]
            assert f"fold {fold}/2  fusion fitted on {len(rows)} training samples" in log
    about = read_metadata(done.weights[0])
    assert about["spec"]["flow_method"] == "dis-ultrafast"
    assert about["kwargs"]["fusion"] == fusion
    again = evaluate(EvalConfig(weights=str(done.run), out=str(tmp_path), device="cpu"), quiet=True)
    assert again.metrics["top1"] == done.metrics["top1"]
    assert again.metrics["branches"].keys() == both.keys()
    with pytest.raises(CheckpointError, match="fused of two others"):
        train(resume_config(done.run), resume=done.run, quiet=True)


def test_branches_that_do_not_belong_together(branches, few, tmp_path):
    rgb, flow = branches
    with pytest.raises(ConfigError, match="is no rgb branch"):
        fuse_runs(FuseConfig(rgb=str(flow), flow_run=str(flow), out=str(tmp_path / "a")), quiet=True)
    lines = (rgb / "split.csv").read_text().replace("fold-1", "fold-X")
    other = tmp_path / "other"
    other.mkdir()
    (other / "split.csv").write_text(lines)
    with pytest.raises(CheckpointError, match="not split in the same way"):
        fuse_runs(FuseConfig(rgb=str(other), flow_run=str(flow), out=str(tmp_path / "a")), quiet=True)
    assert not (tmp_path / "a").exists()


def test_trained_together_tells_of_its_branches(few, tmp_path):
    done = train(config(few, tmp_path, **TINY), quiet=True)
    assert list(done.metrics["branches"]) == ["rgb", "flow", "fusion"]
    interval = done.metrics["branches"]["flow"]["intervals"]["top1"]
    assert interval[0] <= done.metrics["branches"]["flow"]["top1"] <= interval[1]
    assert len(Manifest.read(few)) == 12


def test_a_fusion_is_fitted_to_the_minimum():
    """Against scikit-learn's ridge-like logistic regression, and for two branches of which one is noise."""
    from sklearn.linear_model import LogisticRegression

    from marey.models.two_stream import BranchWeights

    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 5)).astype(np.float32)
    y = (x[:, 0] - x[:, 1] + rng.standard_normal(80) > 0).astype(np.int64)
    layer = torch.nn.Linear(5, 2)
    with torch.no_grad():
        layer.weight.zero_(), layer.bias.zero_()
    before, after = fit_fusion(layer, torch.from_numpy(x), torch.from_numpy(y), decay=1e-2)
    assert after < before == pytest.approx(np.log(2), abs=1e-6)
    # two rows of weights w, −w cost ‖w‖² together: the same as one of 2w with a quarter of the price twice
    reference = LogisticRegression(C=2 / (80 * 1e-2), max_iter=1000, tol=1e-8).fit(x, y)
    ours = (layer.weight[1] - layer.weight[0]).detach().numpy()
    assert np.allclose(ours, reference.coef_[0], atol=0.05)

    good = torch.nn.functional.one_hot(torch.from_numpy(y), 2).float() * 3
    weights = BranchWeights()
    fit_fusion(weights, torch.stack([torch.randn(80, 2), good]), torch.from_numpy(y))
    assert weights.weight.softmax(0)[1] > 0.8
