"""Train a classifier, judge it on samples it has not learnt from, and write everything into a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from marey.config import read_yaml, to_tree, to_yaml
from marey.data.features import FeatureFolder
from marey.data.manifest import Manifest
from marey.errors import CheckpointError, ConfigError
from marey.files import write_text
from marey.jobs.outcome import FUSED, Outcome, Trained, fold_folder
from marey.jobs.partition import Part, check_same_split, parts_of, split_text
from marey.jobs.unlabelled import find_unlabelled, keep_list, longer_targets, with_unlabelled
from marey.runs import RunFolder
from marey.training.config import TrainConfig

if TYPE_CHECKING:
    from marey.data.motion import FlowSource
    from marey.jobs.bench import Bench
    from marey.spec import InputSpec
    from marey.training.log import RunLog
    from marey.training.loop import Task
    from marey.training.teaching import Teacher


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

    if config.features is not None:
        FeatureFolder.open(config.features)  # a folder that is none is said to be none of features
    manifest = Manifest.read(config.data, root=config.root, files=config.features is None)
    manifest, parts, rule = parts_of(manifest, config)
    choose_device(config.system.device)  # said before anything is written
    check_loggers(config.system.log)
    flow, lesson = None, None
    if config.features is None:
        spec = check_model(config, len(manifest.class_names))
        flow = stored_flow(config, manifest, spec)
        if config.distill.teacher is not None:
            lesson = _lesson(config, manifest, spec)
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
        if (run.path / FUSED).is_file():
            raise CheckpointError(
                "this run was fused of two others; there is no training to go on with.",
                "make it again: marey fuse RGB_RUN FLOW_RUN",
                where=str(resume),
            )
        check_same_split(run.path / "split.csv", manifest, parts)
    if lesson is not None and lesson.unlabelled:
        keep_list(run.path, lesson.unlabelled, resume=resume is not None)
    with RunLog(run.path, config.system.log, to_tree(config), quiet=quiet) as log:
        _say_data(log, manifest, parts, rule)
        if lesson is not None:
            log.line(lesson.words)
        log.line(f"run folder: {run.path}")
        return _train_all(
            config, manifest, parts, rule, run, log, flow=flow, lesson=lesson, resume=resume is not None
        )


@dataclass(frozen=True, eq=False)
class _Lesson:
    """A teacher, and the videos without labels that it speaks of."""

    teacher: Teacher
    manifest: Manifest
    unlabelled: list[str]
    words: str

    def task(self, task: Task) -> Task:
        """The same training with a teacher, and with these videos among those that are learnt from."""
        more = np.arange(self.teacher.labelled, len(self.manifest))
        return replace(
            task, manifest=self.manifest, train=np.concatenate([task.train, more]),
            targets=longer_targets(task.targets, len(more)), teacher=self.teacher,
        )  # fmt: skip


def _lesson(config: TrainConfig, manifest: Manifest, spec: InputSpec) -> _Lesson:
    from marey.predict.device import choose_device
    from marey.training.teaching import Teacher

    assert config.distill.teacher is not None
    teacher = Teacher.open(
        config.distill, spec, manifest.class_names, multi_label=manifest.multi_label, labelled=len(manifest),
        device=choose_device(config.system.device),
    )  # fmt: skip
    words, folder = (
        f"teacher: {config.distill.teacher}, in {teacher.predictor.runtime.name}",
        config.distill.unlabelled,
    )
    if folder is None:
        return _Lesson(teacher, manifest, [], words)
    paths, left_out = find_unlabelled(manifest, folder)
    words += f"; {len(paths)} videos without labels"
    if left_out:
        words += f" ({left_out} more there are in the data already and were left out)"
    return _Lesson(teacher, with_unlabelled(manifest, paths, folder), paths, words)


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
    lesson: _Lesson | None,
    resume: bool,
) -> Trained:
    import torch

    from marey.jobs.bench import Bench
    from marey.jobs.logistic import logistic_probe
    from marey.predict.device import choose_autocast, choose_device
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
    bench = Bench.open(config, manifest, device=device, autocast=autocast) if config.features else None
    if bench is not None:
        _say_bench(log, bench)
    outcome = Outcome(config, manifest, parts, rule, device=device, autocast=autocast, flow=flow, bench=bench)
    failures: list[dict[str, Any]] = []
    rows: list[list[dict[str, Any]]] = []
    for part in parts:
        folder = fold_folder(run.path, part)
        folder.mkdir(exist_ok=True)
        title = f"fold {part.fold}/{len(parts)}  " if part.fold else ""
        seed_everything(config.seed)  # every fold starts from the same weights
        model = build_model(config, len(names)) if bench is None else bench.head(len(names), part.train)
        if outcome.begin(model):
            log.line(f"{outcome.model_words}, on {device}")
            if model.load_report is not None:
                log.line(f"weights: {model.load_report}")
        stored = bench.table if bench is not None else None
        task = Task(manifest, names, part.train, part.val, outcome.targets, flow, stored)
        if lesson is not None:
            task = lesson.task(task)
        fitted = fit(
            model, task, config, folder, log, device=device, autocast=autocast,
            backbone_lr=_backbone_lr(config), keep_best=_keeps_best(config, part), resume=resume, title=title,
        )  # fmt: skip
        failures += fitted.failures
        rows.append(fitted.rows)
        outcome.judge(
            part,
            fitted.weights,
            chosen=fitted.chosen,
            bar=partial(_bar, log, title),
            say=partial(_say_all, log),
        )
    if len(parts) > 1:
        _write_fold_results(run.path / "results.csv", rows)
    more = {} if bench is None else {"logistic": logistic_probe(bench, parts, outcome.targets, config.seed)}
    return outcome.write(run, failures, more)


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
