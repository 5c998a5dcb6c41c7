"""Train a classifier, judge it on samples it has not learnt from, and write everything into a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from marey.config import read_yaml, to_tree, to_yaml
from marey.data.manifest import Manifest
from marey.data.splits import grouping
from marey.errors import CheckpointError, ConfigError
from marey.files import write_json, write_text
from marey.jobs.judging import (
    Judged,
    about_model,
    baseline_logits,
    cross_fitted_temperatures,
    judge_rows,
    metrics_of,
    pooled,
    targets_of,
    write_predictions,
)
from marey.jobs.partition import Part, check_same_split, parts_of, split_text
from marey.metrics.calibration import fit_temperature
from marey.metrics.temporal import KINDS
from marey.predict.load import predictor_of
from marey.predict.predictor import Predictor
from marey.runs import RunFolder
from marey.training.config import TrainConfig

if TYPE_CHECKING:
    from marey.data.motion import FlowSource
    from marey.jobs.bench import Bench
    from marey.predict.on_features import FeaturePredictor
    from marey.spec import InputSpec
    from marey.training.log import RunLog


@dataclass(frozen=True)
class Trained:
    """What a training leaves.

    Attributes:
        run: the run folder.
        weights: the self-contained model files, one a fold.
        metrics: what metrics.json holds.
        report: the HTML page.
    """

    run: Path
    weights: tuple[Path, ...]
    metrics: dict[str, Any]
    report: Path


def train(
    config: TrainConfig,
    *,
    resume: str | Path | None = None,
    run: RunFolder | None = None,
    quiet: bool = False,
) -> Trained:
    """Train, judge and report.

    Args:
        config: what to do.
        resume: the folder of a run that was cut off; `config` must be the one it was started with.
        run: an empty folder to use instead of a new one under `config.out`.
        quiet: print nothing.

    Raises:
        ManifestError, SplitError: data that cannot be used as it stands.
        ConfigError, CheckpointError: settings or weights that cannot be.
        VideoError: a file that cannot be read. NonFiniteLossError: a training that diverged.
    """
    from marey.jobs.bench import Bench
    from marey.predict.device import choose_device
    from marey.training.log import RunLog, check_loggers

    manifest = Manifest.read(config.data, root=config.root, files=config.features is None)
    manifest, parts, rule = parts_of(manifest, config)
    choose_device(config.system.device)  # said before anything is written
    check_loggers(config.system.log)
    flow = None
    if config.features is None:
        spec = check_model(config, len(manifest.class_names))
        flow = stored_flow(config, manifest, spec)
    else:  # what is wrong with the features is said before anything is written, too
        Bench.open(config, manifest, device="cpu", autocast=None).head(
            len(manifest.class_names), parts[0].train
        )
    if resume is None:
        run = run or RunFolder.create(config.out, "train", _run_name(config))
        run.describe(to_yaml(config))
        write_text(run.path / "split.csv", split_text(manifest, parts))
    else:
        run = RunFolder(Path(resume))
        check_same_split(run.path / "split.csv", manifest, parts)
    with RunLog(run.path, config.system.log, to_tree(config), quiet=quiet) as log:
        _say_data(log, manifest, parts, rule)
        log.line(f"run folder: {run.path}")
        return _train_all(config, manifest, parts, rule, run, log, flow=flow, resume=resume is not None)


def resume_config(run: str | Path) -> TrainConfig:
    """The configuration that a run was started with."""
    path = Path(run) / "config.yaml"
    if not path.is_file():
        raise CheckpointError("this is not the folder of a training: it has no config.yaml.", where=str(run))
    return read_yaml(TrainConfig, path)


def _train_all(
    config: TrainConfig,
    manifest: Manifest,
    parts: list[Part],
    rule: str,
    run: RunFolder,
    log: RunLog,
    *,
    flow: FlowSource | None,
    resume: bool,
) -> Trained:
    import torch

    from marey.jobs.bench import Bench
    from marey.jobs.logistic import logistic_probe
    from marey.models.saved import load_model, save_model
    from marey.predict.device import choose_autocast, choose_device
    from marey.report.html import write_report
    from marey.training.allocator import keep_freed_memory
    from marey.training.build import build_model
    from marey.training.checkpoint import seed_everything
    from marey.training.loop import Task, fit

    if config.system.threads:
        torch.set_num_threads(config.system.threads)
    device = choose_device(config.system.device)
    autocast = choose_autocast(config.system.precision, device)
    if device == "cpu":
        keep_freed_memory()
    names = manifest.class_names
    targets = targets_of(manifest, names)
    bench = Bench.open(config, manifest, device=device, autocast=autocast) if config.features else None
    if bench is not None:
        _say_bench(log, bench)
    judged: list[Judged] = []
    temperatures: list[NDArray[np.float64]] = []
    files: list[Path] = []
    about: dict[str, Any] = {}
    protocol: dict[str, Any] = {}
    failures: list[dict[str, Any]] = []
    rows: list[list[dict[str, Any]]] = []
    for part in parts:
        folder = run.path / f"fold-{part.fold}" if part.fold else run.path
        folder.mkdir(exist_ok=True)
        title = f"fold {part.fold}/{len(parts)}  " if part.fold else ""
        seed_everything(config.seed)  # every fold starts from the same weights
        model = build_model(config, len(names)) if bench is None else bench.head(len(names), part.train)
        if not about:
            about = about_model(model)
            log.line(
                f"model: {model.name}, {about['parameters'] / 1e6:.2f} M parameters, "
                + (f"{about['gmacs']:.2f} GMACs a clip, on {device}" if about["gmacs"] else f"on {device}")
            )
            if model.load_report is not None:
                log.line(f"weights: {model.load_report}")
        stored = bench.table if bench is not None else None
        task = Task(manifest, names, part.train, part.val, targets, flow, stored)
        fitted = fit(
            model, task, config, folder, log, device=device, autocast=autocast,
            backbone_lr=_backbone_lr(config), keep_best=_keeps_best(config, part), resume=resume, title=title,
        )  # fmt: skip
        failures += fitted.failures
        rows.append(fitted.rows)
        # what is judged is what was written, rebuilt from that file alone
        saved = load_model(fitted.weights, device)
        predictor: Predictor | FeaturePredictor
        orders: Sequence[str] = KINDS if config.audit else ("ordered",)
        if bench is None:
            predictor = replace(
                predictor_of(saved, device=device, autocast=autocast), batch=config.batch, flow=flow
            )
        else:
            saved = bench.whole(saved)
            about = about_model(saved.model)
            predictor, orders, said = bench.judge(saved)
            if part is parts[0]:
                _say_all(log, said, bench.check(saved, part.judged))
        found = judge_rows(
            predictor, manifest, part.judged, orders=orders,
            policy=config.system.on_error if bench is not None else "error",
            seed=config.seed, fold=part.fold, bar=partial(_bar, log, title),
        )  # fmt: skip
        judged.append(found)
        temperature = 1.0
        if len(part.val) and not np.array_equal(part.val, part.judged):
            table = predictor.logits(manifest.sample(int(i)) for i in part.val)
            temperature = fit_temperature(table.logits, targets[table.ids], multi_label=manifest.multi_label)
            temperatures.append(np.full(len(found.rows), temperature))
        elif len(found.rows):
            temperature = fit_temperature(
                found.logits["ordered"], targets[found.rows], multi_label=manifest.multi_label
            )
        save_model(
            fitted.weights, saved.model, class_names=names, multi_label=manifest.multi_label,
            extra={**saved.extra, "temperature": temperature, "chosen": fitted.chosen, "data": Path(config.data).name},
        )  # fmt: skip
        files.append(fitted.weights)
        protocol = _protocol(
            config, manifest, parts, rule, predictor.protocol, saved.spec.to_dict(), fitted.chosen
        )
    together = pooled(judged)
    scale = (
        np.concatenate(temperatures)
        if temperatures
        else cross_fitted_temperatures(
            together.logits["ordered"], targets[together.rows], _halves(manifest, together, len(parts)),
            multi_label=manifest.multi_label,
        )
    )  # fmt: skip
    beside = (
        baseline_logits(Path(config.baseline), manifest, together.rows, names) if config.baseline else None
    )
    metrics = metrics_of(together, manifest, names, temperatures=scale, baseline=beside, seed=config.seed)
    metrics["failures"] += failures
    metrics = {
        "marey": metrics.pop("marey"),
        "task": metrics.pop("task"),
        "model": about,
        **metrics,
        "protocol": protocol,
    }
    if bench is not None:
        metrics["logistic"] = logistic_probe(bench, parts, targets, config.seed)
    if len(parts) > 1:
        _write_fold_results(run.path / "results.csv", rows)
    write_predictions(run.path / "predictions.csv", manifest, together, names, temperatures=scale)
    write_json(run.path / "metrics.json", metrics)
    report = write_report(run.path)
    return Trained(run.path, tuple(files), metrics, report)


def _run_name(config: TrainConfig) -> str:
    return config.name or (f"{config.head}-head" if config.features else config.model)


def _say_bench(log: RunLog, bench: Bench) -> None:
    table = bench.table
    log.line(
        f"features: {len(table.manifest) - len(table.failures)} samples of {table.width} numbers a position, at most "
        f"{table.positions} positions; {table.folder.grid or 'their grid is not known'}"
    )
    _say_all(log, bench.warning)
    if bench.network is None:
        log.line(
            "features: their network is not known, so what is trained judges features alone, not raw video"
        )


def _say_all(log: RunLog, *sentences: str) -> None:
    for sentence in sentences:
        if sentence:
            log.line(f"features: {sentence}")


def _keeps_best(config: TrainConfig, part: Part) -> bool:
    if config.select != "auto":
        return config.select == "best" and bool(len(part.val))
    return bool(config.early_stop) or (bool(len(part.val)) and not np.array_equal(part.val, part.judged))


def _backbone_lr(config: TrainConfig) -> float:
    if config.optim.backbone_lr is not None:
        return config.optim.backbone_lr
    if config.optim.layer_decay < 1:  # which takes the place of the tenth
        return config.optim.lr * config.optim.layer_decay
    return config.optim.lr if config.weights is None else config.optim.lr / 10


def check_model(config: TrainConfig, classes: int) -> InputSpec:
    """Errors of model, sampler, weights and augmentation come before a run folder is made; gives what the model
    takes."""
    from marey.models.registry import find_model, model_keywords
    from marey.training.build import build_model

    find_model(config.model)
    if config.backbone is not None and "backbone" not in model_keywords(config.model):
        raise ConfigError(
            f"{config.model} has no backbone to choose.", "drop --backbone, or see: marey models"
        )
    spec = build_model(config, classes).spec
    config.augment.check_modalities(spec.modalities)
    config.system.augments_on_device(config.system.device, spec.modalities)
    return spec


def stored_flow(config: TrainConfig, manifest: Manifest, spec: InputSpec) -> FlowSource | None:
    """The folder of flow, checked whole: no training ends at its hundredth batch for want of a field."""
    if config.flow is None:
        return None
    from marey.data.flow_folder import FlowFolder

    samples = (manifest.sample(row) for row in range(len(manifest)))
    return FlowFolder(config.flow, samples, spec, jitter=config.augment.time)


def _bar(log: RunLog, title: str, text: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    return log.progress(title + text, total)


def _protocol(
    config: TrainConfig,
    manifest: Manifest,
    parts: list[Part],
    rule: str,
    words: str,
    spec: dict[str, Any],
    chosen: str,
) -> dict[str, Any]:
    judged = np.concatenate([p.judged for p in parts])
    test = bool(len(parts) == 1 and len(parts[0].val) and not np.array_equal(parts[0].val, parts[0].judged))
    return {
        "split": "held-out folds" if config.folds else ("test" if test or not len(parts[0].val) else "val"),
        "views": words.split(",")[0],
        "frames": spec["frames"],
        "size": spec["size"],
        "sampler": spec["sampler"],
        "groups": len(np.unique(grouping(manifest).ids[judged])),
        "rule": rule,
        "weights": f"{chosen} epoch" if chosen == "last" else chosen,
        "temperature": "fitted on val" if test else "cross-fitted between groups of the judged samples",
        "seed": config.seed,
    }


def _halves(manifest: Manifest, judged: Judged, parts: int) -> NDArray[np.int64]:
    """The folds, or two halves of the groups, between which calibration is cross-fitted."""
    if parts > 1:
        return judged.fold
    _, rank = np.unique(grouping(manifest).ids[judged.rows], return_inverse=True)
    return (rank % 2).astype(np.int64)


def _write_fold_results(path: Path, rows: Sequence[Sequence[dict[str, Any]]]) -> None:
    """results.csv of a cross-validation: the mean over folds of each epoch."""
    from marey.training.log import write_results

    mean = [
        {key: float(np.mean([fold[key] for fold in epoch])) for key in epoch[0]}
        | {"epoch": epoch[0]["epoch"], "step": epoch[0]["step"]}
        for epoch in zip(*rows, strict=True)
    ]
    write_results(path, mean)


def _say_data(log: RunLog, manifest: Manifest, parts: Sequence[Part], rule: str) -> None:
    kind = "multi-label" if manifest.multi_label else "single-label"
    if manifest.read_as:
        log.line(manifest.read_as)
    log.line(f"data: {len(manifest)} samples, {len(manifest.class_names)} classes ({kind}); {rule}")
    if len(parts) == 1:
        part = parts[0]
        log.line(f"      train {len(part.train)}, val {len(part.val)}, judged on {len(part.judged)}")
