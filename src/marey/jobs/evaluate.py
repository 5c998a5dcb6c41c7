"""Judge a trained model on labelled videos, and audit whether it uses time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from marey.config import to_yaml
from marey.data.manifest import SPLITS, Manifest
from marey.data.splits import grouping
from marey.errors import CheckpointError, ConfigError
from marey.files import write_json
from marey.jobs.judging import (
    Judged,
    about_model,
    baseline_logits,
    judge_rows,
    metrics_of,
    pooled,
    write_predictions,
)
from marey.jobs.partition import Part, check_same_split, parts_of
from marey.jobs.train import resume_config
from marey.metrics.temporal import KINDS
from marey.predict.load import find_weights, load
from marey.predict.predictor import Predictor
from marey.predict.runtime import TorchRuntime
from marey.runs import RunFolder


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Judge a trained model on labelled videos.

    --task localize --predictions FILE --truth FILE judges segments that any tool predicted; see its own --help.
    """

    weights: Annotated[str, tyro.conf.Positional]
    """Weights file, the folder of a run, or an artifact (.onnx)."""
    data: str | None = None
    """Manifest or folder. Default: the run's own held-out samples, each judged by a model that has not seen it."""
    root: str | None = None
    """Folder that relative video paths start from."""
    split: Literal["train", "val", "test", "all"] | None = None
    """Rows of --data to judge on (default: test, or val, or all rows where nothing is split)."""
    clips: int = 1
    """Clips a video that are averaged."""
    crops: Literal[1, 3] = 1
    """Crops a clip that are averaged."""
    batch: int = 8
    """Clips at once."""
    workers: int = 2
    """Threads that decode."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes a GPU where there is one."""
    runtime: str = "auto"
    """What runs an artifact: auto (the fastest here that gives the same answers), onnxruntime, openvino, …"""
    on_error: Literal["error", "skip"] = "error"
    """A video that cannot be read stops, or is left out, listed, and makes the exit code 1."""
    baseline: str | None = None
    """Folder of a frame-averaging run on the same samples, to stand beside the audit."""
    out: str = "runs"
    """Folder of all runs."""
    name: str | None = None
    """Name of the run (default: that of the weights' run)."""
    seed: int = 0
    """Of the shuffling and of the bootstrap."""


@dataclass(frozen=True)
class Evaluated:
    """What a judgement leaves: the run folder, what metrics.json holds, and the HTML page."""

    run: Path
    metrics: dict[str, Any]
    report: Path


def evaluate(
    config: EvalConfig, *, audit: bool = False, verb: str = "eval", quiet: bool = False
) -> Evaluated:
    """Judge a model; with `audit` also on shuffled, reversed and frozen clips.

    Raises:
        CheckpointError: no model there. ManifestError: labels that the model does not know.
        VideoError: a file that cannot be read, under the policy `error`.
        ConfigError: nothing to judge on.
    """
    from marey.report.html import write_report
    from marey.training.log import RunLog

    manifest, jobs, protocol = _own_rows(config) if config.data is None else _other_rows(config)
    name = config.name or _run_name(config.weights)
    run = RunFolder.create(config.out, verb, name)
    run.describe(to_yaml(config))
    with RunLog(run.path, quiet=quiet) as log:
        log.line(f"judging {sum(len(rows) for _, rows, _ in jobs)} samples; run folder: {run.path}")
        found: list[Judged] = []
        scales = []
        for predictor, rows, fold in jobs:
            judged = judge_rows(
                predictor, manifest, rows, orders=KINDS if audit else ("ordered",), policy=config.on_error,
                seed=config.seed, fold=fold, bar=log.progress,
            )  # fmt: skip
            found.append(judged)
            scales.append(np.full(len(judged.rows), predictor.temperature))
        together, scale = pooled(found), np.concatenate(scales)
        names = jobs[0][0].class_names
        beside = (
            baseline_logits(Path(config.baseline), manifest, together.rows, names)
            if config.baseline
            else None
        )
        metrics = metrics_of(together, manifest, names, temperatures=scale, baseline=beside, seed=config.seed)
        runtime = jobs[0][0].runtime
        metrics["model"] = (
            about_model(runtime.model) if isinstance(runtime, TorchRuntime) else _about(runtime)
        )
        metrics["protocol"] = {
            **protocol,
            "views": str(jobs[0][0].views),
            "frames": jobs[0][0].spec.frames,
            "size": list(jobs[0][0].spec.size),
            "sampler": jobs[0][0].spec.sampler,
            "groups": len(np.unique(grouping(manifest).ids[together.rows])),
            "seed": config.seed,
        }
        write_predictions(run.path / "predictions.csv", manifest, together, names, temperatures=scale)
        write_json(run.path / "metrics.json", metrics)
        return Evaluated(run.path, metrics, write_report(run.path))


Jobs = list[tuple[Predictor, Any, int]]


def _own_rows(config: EvalConfig) -> tuple[Manifest, Jobs, dict[str, Any]]:
    """The samples that a run held out, with the model of each fold."""
    run = Path(config.weights)
    if not run.is_dir():
        raise ConfigError(
            "a weights file alone does not say what to judge on.",
            "give --data MANIFEST, or the folder of the run to judge on its own held-out samples",
        )
    if config.split is not None:
        raise ConfigError("--split chooses rows of --data; a run's own held-out samples are one set.")
    trained = resume_config(run)
    manifest = Manifest.read(trained.data, root=trained.root)
    manifest, parts, rule = parts_of(manifest, trained)
    check_same_split(run / "split.csv", manifest, parts)
    jobs = [(_predictor(_weights_of(run, part), config), part.judged, part.fold) for part in parts]
    split = "held-out folds" if trained.folds else str(manifest.sample(int(parts[0].judged[0])).split)
    return manifest, jobs, {"split": split, "rule": rule}


def _other_rows(config: EvalConfig) -> tuple[Manifest, Jobs, dict[str, Any]]:
    predictor = _predictor(find_weights(config.weights), config)
    assert config.data is not None
    manifest = Manifest.read(
        config.data,
        root=config.root,
        class_names=predictor.class_names,
        multi_label=predictor.multi_label or None,
    )
    split = config.split
    if split is None:
        split = next((s for s in ("test", "val") if s in manifest.splits), "all")
    rows = manifest.indices(None if split == "all" else split)
    if not len(rows):
        have = ", ".join(manifest.splits) or "none"
        raise ConfigError(f"no row has split {split!r}.", f"splits there: {have}", where=config.data)
    assert split in (*SPLITS, "all")
    return (
        manifest,
        [(predictor, rows, 0)],
        {"split": split, "rule": f"as the manifest says, {grouping(manifest).rule}"},
    )


def _predictor(weights: Path, config: EvalConfig) -> Predictor:
    return replace(
        load(weights, device=config.device, clips=config.clips, crops=config.crops, runtime=config.runtime),
        batch=config.batch,
        workers=config.workers,
    )


def _weights_of(run: Path, part: Part) -> Path:
    path = (run / f"fold-{part.fold}" if part.fold else run) / "weights" / "best.safetensors"
    if not path.is_file():
        raise CheckpointError(
            "this run is not finished: a model is missing.", "go on with --resume", where=str(path)
        )
    return path


def _about(runtime: object) -> dict[str, Any] | None:
    """What metrics.json says of an artifact, whose layers nobody counts."""
    artifact = getattr(runtime, "artifact", None)
    if artifact is None:
        return None
    return {"name": artifact.about.model, "kwargs": {}, "parameters": None, "gmacs": None}


def _run_name(weights: str) -> str:
    path = Path(weights).resolve()
    parts = [p for p in path.parts if p not in ("weights", path.name)] if path.suffix else list(path.parts)
    return parts[-1] if parts else "run"
