"""The training loop: epochs of steps, a validation after each, a state on disk to go on from."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from marey.data.batched import augment_batch
from marey.data.dataset import Batch
from marey.data.feature_batches import FeatureBatches, FeatureTable
from marey.data.loader import Loader, make_loader
from marey.data.mix import mix_batch
from marey.data.motion import FlowSource
from marey.errors import NonFiniteLossError
from marey.metrics.calibration import negative_log_likelihood
from marey.metrics.scores import top_k_accuracy
from marey.models.base import VideoModel, set_frozen_batch_norm
from marey.models.depth import hold_stages, stages
from marey.models.saved import save_model
from marey.predict.device import use_channels_last
from marey.predict.on_features import FeaturePredictor
from marey.predict.predictor import Predictor
from marey.predict.runtime import TorchRuntime
from marey.training.checkpoint import Progress, load_state, save_state, seed_everything
from marey.training.config import OptimConfig, TrainConfig
from marey.training.log import RunLog, write_results
from marey.training.loss import clip_loss
from marey.training.optim import build_optimizer, held_stages, moving_average, schedule, set_learning_rate
from marey.training.teaching import Teacher, taught_loss

if TYPE_CHECKING:
    from marey.data.manifest import Manifest

STATE_EVERY_S = 300.0


@dataclass(frozen=True)
class Fitted:
    """What a training gives.

    Attributes:
        weights: the file of the chosen weights (`best.safetensors`).
        epoch: the epoch they are from, counted from 1.
        chosen: "best on val" or "last".
        rows: one row of results.csv an epoch.
        failures: training samples that could not be read, under the policy `skip`.
    """

    weights: Path
    epoch: int
    chosen: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Task:
    """What a training is about: the samples and their classes.

    Attributes:
        manifest: all samples.
        class_names: K names, in the order of the logits.
        train, val: rows of the manifest; `val` may be empty.
        targets: int `(N,)`, or 0/1 `(N, K)` for multi-label, of all rows.
        flow: where optical flow comes from that need not be computed.
        features: the samples' stored features, where a head is trained on them in place of clips.
        teacher: whom a student learns from; it knows which rows have no label.
    """

    manifest: Manifest
    class_names: tuple[str, ...]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    targets: NDArray[np.int64]
    flow: FlowSource | None = None
    features: FeatureTable | None = None
    teacher: Teacher | None = None

    @property
    def multi_label(self) -> bool:
        return self.targets.ndim == 2


def fit(
    model: VideoModel,
    task: Task,
    config: TrainConfig,
    folder: Path,
    log: RunLog,
    *,
    device: str,
    autocast: str | None,
    backbone_lr: float,
    keep_best: bool,
    resume: bool = False,
    title: str = "",
) -> Fitted:
    """Train `model` in place.

    Args:
        folder: where `weights/` and `results.csv` go.
        device, autocast: where, and in which reduced precision ("bf16" or None).
        backbone_lr: peak learning rate of the backbone.
        keep_best: keep the weights of the best validation epoch; else those of the last.
        resume: go on from `weights/state.pt`, exactly where it stands.
        title: put before each line ("fold 2 of 5: ").

    Raises:
        NonFiniteLossError: NaN or infinity; the last good weights stay as they are.
        VideoError: a video that cannot be read, under the policy `error`.
    """
    optim, system = config.optim, config.system
    model.to(device)
    if system.channels_last:
        use_channels_last(model)
    # Weights whose batch norm is folded came frozen, and must stay so whatever was asked for.
    frozen = optim.freeze_bn or model.frozen_batch_norm
    set_frozen_batch_norm(model, frozen)
    optimizer = build_optimizer(model, optim, backbone_lr=backbone_lr)
    average = moving_average(model, optim.ema) if optim.ema else None
    modules: dict[str, Any] = {"model": model, "optimizer": optimizer}
    if average is not None:
        modules["average"] = average
    weights = folder / "weights"
    weights.mkdir(exist_ok=True)
    state = weights / "state.pt"
    seed_everything(config.seed)
    progress = load_state(state, modules, device) if resume and state.is_file() else Progress()

    steps_an_epoch = math.ceil(math.ceil(len(task.train) / config.batch) / optim.accumulate)
    epochs = config.epochs
    assert epochs is not None  # what was not given, the configuration has chosen
    steps = steps_an_epoch * epochs
    class_weight = _class_weight(task, config, device)
    loader = _batches(model, task, config, device)

    before = {item["id"]: item for item in progress.failures}  # of the run that was cut off

    def failures() -> list[dict[str, Any]]:
        return list({**before, **{f.id: f.to_dict() for f in loader.failures}}.values())

    def save() -> None:
        progress.failures = failures()
        save_state(state, modules, progress)

    def keep(name: str) -> None:
        source = average.module if average is not None else model
        save_model(
            weights / name,
            model,
            class_names=task.class_names,
            multi_label=task.multi_label,
            extra={"epoch": progress.epoch + 1},
            state=source.state_dict(),
        )

    def move(batch: Batch) -> None:
        rate = set_learning_rate(optimizer, schedule(progress.step, steps, optim.warmup))
        _step(model, optimizer, optim.clip_grad, progress.step, batch)
        if average is not None:
            average.update_parameters(model)
        progress.step += 1
        progress.sums["lr"] = rate

    depth = len(stages(model))
    if optim.freeze_backbone or optim.unfreeze:
        log.line(title + _plan(depth, epochs, optim))
    saved_at = time.monotonic()
    while progress.epoch < epochs:
        epoch = progress.epoch
        hold_stages(model, held_stages(epoch, depth, optim))
        model.train()
        loader.set_epoch(epoch, start_batch=progress.batch)
        sums = progress.sums or {"loss": 0.0, "hits": 0.0, "clips": 0.0, "wait": 0.0, "seconds": 0.0}
        progress.sums = sums
        with log.progress(f"{title}epoch {epoch + 1}/{epochs}", len(task.train)) as advance:
            advance(progress.batch * config.batch)
            tick = time.monotonic()
            waiting: Batch | None = None
            for batch in loader:
                sums["wait"] += time.monotonic() - tick
                _learn(
                    model, batch, config, device=device, autocast=autocast, weight=class_weight,
                    classes=len(task.class_names), seed=(config.seed, epoch, batch.number),
                    sums=sums, step=progress.step, teacher=task.teacher,
                )  # fmt: skip
                waiting = batch
                progress.batch = batch.number + 1
                whole = progress.batch % optim.accumulate == 0 or progress.batch == len(loader)
                if whole:
                    move(batch)
                    waiting = None
                sums["seconds"] += time.monotonic() - tick
                advance(len(batch.ids))
                due = system.save_every and progress.step % system.save_every == 0
                if whole and (due or time.monotonic() - saved_at > STATE_EVERY_S):
                    save()
                    saved_at = time.monotonic()
                tick = time.monotonic()
            if waiting is not None:  # the last batch was left out whole: its predecessors still count
                move(waiting)
        row = _row(progress, sums)
        if len(task.val):
            judged = average.module if average is not None else model
            row.update(_validate(judged, task, config, device, autocast, log, title))
        better = bool(len(task.val)) and row["val_top1"] > progress.best
        if better:
            progress.best, progress.best_epoch = row["val_top1"], epoch
        if better and keep_best:
            keep("best.safetensors")
        # epochs on stored features take a blink: a line for each would bury the rest
        quick = task.features is not None and (epoch + 1) % 10 and epoch + 1 < epochs
        log.line(title + _words(row, epochs, _remedy(task)), shown=not quick)
        log.numbers(row)
        progress.rows.append(row)
        progress.epoch, progress.batch, progress.sums = epoch + 1, 0, {}
        stop = bool(config.early_stop) and epoch - max(progress.best_epoch, 0) >= config.early_stop
        write_results(folder / "results.csv", progress.rows)
        save()
        saved_at = time.monotonic()
        if stop:
            log.line(f"{title}stopped early: no better validation score in {config.early_stop} epochs.")
            break
    loader.close()
    if loader.clamped:
        log.line(
            f"{title}{len(loader.clamped)} segments ended less than a frame outside their video and were cut to it."
        )
    progress.epoch -= 1  # what `keep` writes is of the last finished epoch
    keep("last.safetensors")
    if keep_best and progress.best_epoch >= 0:
        return Fitted(
            weights / "best.safetensors",
            progress.best_epoch + 1,
            "best on val",
            progress.rows,
            failures(),
        )
    keep("best.safetensors")
    return Fitted(weights / "best.safetensors", progress.epoch + 1, "last", progress.rows, failures())


def _batches(model: VideoModel, task: Task, config: TrainConfig, device: str) -> Loader | FeatureBatches:
    """What the epochs are made of: clips, or stored features."""
    system = config.system
    if task.features is not None:
        return FeatureBatches(
            task.features,
            task.train,
            task.targets,
            batch=config.batch,
            seed=config.seed,
            policy=system.on_error,
        )
    return make_loader(
        task.manifest,
        task.train,
        model.spec if task.teacher is None else task.teacher.clips,
        class_names=task.class_names,
        train=True,
        batch=config.batch,
        workers=system.workers,
        seed=config.seed,
        augment=config.augment,
        policy=system.on_error,
        cache_bytes=_cache_bytes(config),
        device=device,
        deferred=system.augments_on_device(device, model.spec.modalities),
        flow=task.flow,
    )


def _cache_bytes(config: TrainConfig) -> int:
    """Frames held in memory: by default where this process decodes by itself."""
    megabytes = config.system.cache_mb
    if megabytes is None:
        megabytes = 0 if config.system.workers else 512
    return megabytes * 2**20


def _learn(
    model: VideoModel,
    batch: Batch,
    config: TrainConfig,
    *,
    device: str,
    autocast: str | None,
    weight: Tensor | None,
    classes: int,
    seed: Sequence[int],
    sums: dict[str, float],
    step: int,
    teacher: Teacher | None = None,
) -> None:
    """Forward and backward of one batch; adds to the epoch's sums."""
    optim = config.optim
    batch = augment_batch(batch.to(device), model.spec if teacher is None else teacher.clips)
    inputs, mask, target = batch.inputs, batch.mask, batch.target
    mixed = target
    if config.augment.mixup or config.augment.cutmix:
        generator = torch.Generator().manual_seed(_entropy(seed))
        inputs, mask, mixed = mix_batch(
            inputs,
            mask,
            target,
            num_classes=classes,
            mixup=config.augment.mixup,
            cutmix=config.augment.cutmix,
            cut=config.augment.cut,
            generator=generator,
        )
    said = None
    if teacher is not None:
        said = teacher.logits(inputs, mask)
        inputs = teacher.student_inputs(inputs)
    with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=autocast == "bf16"):
        logits = model(**inputs, mask=mask)
    several = target.ndim == 2
    labelled = torch.ones(len(batch.ids), dtype=torch.bool, device=target.device)
    if teacher is None or said is None:
        loss = clip_loss(
            logits.float(), mixed, multi_label=several, smoothing=optim.label_smoothing, weight=weight
        )
    else:
        labelled = torch.tensor([row < teacher.labelled for row in batch.ids], device=target.device)
        loss = taught_loss(
            logits.float(), said, mixed, labelled, teacher.config, multi_label=several,
            smoothing=optim.label_smoothing, weight=weight,
        )  # fmt: skip
    value = float(loss.detach())
    if not math.isfinite(value):
        raise NonFiniteLossError(
            f"the loss is {value} at step {step}.",
            f"samples in that batch (rows): {', '.join(map(str, batch.ids))}",
            "lower --lr, or look at these samples; the last good weights were kept.",
        )
    (loss / optim.accumulate).backward()
    clips = len(batch.ids)
    if target.ndim == 2:
        right = (target.gather(1, logits.argmax(1, keepdim=True)) > 0)[:, 0]
    else:
        right = logits.argmax(1) == target
    sums["loss"] += value * clips
    sums["hits"] += float((right & labelled).sum())
    sums["labelled"] = sums.get("labelled", 0.0) + float(labelled.sum())
    sums["clips"] += clips


def _entropy(seed: Sequence[int]) -> int:
    """One seed from several numbers, well mixed."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1)


def _step(
    model: VideoModel, optimizer: torch.optim.Optimizer, clip: float | None, step: int, batch: Batch
) -> None:
    """One step of the optimizer on the gradients gathered so far."""
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip if clip is not None else math.inf)
    if not torch.isfinite(norm):
        raise NonFiniteLossError(
            f"the gradient is {float(norm)} at step {step}.",
            f"samples in that batch (rows): {', '.join(map(str, batch.ids))}",
            "lower --lr, or look at these samples; the last good weights were kept.",
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _plan(depth: int, epochs: int, optim: OptimConfig) -> str:
    """Who learns when, in words."""
    held = [held_stages(epoch, depth, optim) for epoch in range(epochs)]
    begins = [f"{depth - n} from epoch {e + 1}" for e, n in enumerate(held) if e == 0 or n != held[e - 1]]
    never = f"; the first {held[-1]} never" if held[-1] else ""
    return f"stages of the backbone that learn, of {depth}, the last ones first: {', '.join(begins)}{never}"


def _validate(
    model: Any, task: Task, config: TrainConfig, device: str, autocast: str | None, log: RunLog, title: str
) -> dict[str, float]:
    """Loss and top-1 on the validation rows, through the same path as every other judgement."""
    predictor: Predictor | FeaturePredictor
    if task.features is not None:
        predictor = FeaturePredictor(model, task.features, config.batch, device)
    else:
        predictor = Predictor(
            TorchRuntime(model, device=device, autocast=autocast),
            model.spec,
            task.class_names,
            multi_label=task.multi_label,
            batch=config.batch,
            flow=task.flow,
        )
    with log.progress(f"{title}validation", len(task.val)) as advance:
        # a sample of val that cannot be read always stops: a score over fewer samples is another score
        table = predictor.logits((task.manifest.sample(int(i)) for i in task.val), advance=advance)
    targets = task.targets[task.val]
    return {
        "val_loss": negative_log_likelihood(table.logits, targets, multi_label=task.multi_label),
        "val_top1": top_k_accuracy(table.logits, targets, multi_label=task.multi_label),
    }


def _class_weight(task: Task, config: TrainConfig, device: str) -> Tensor | None:
    if config.optim.class_weights == "none":
        return None
    rows = task.train if task.teacher is None else task.train[task.train < task.teacher.labelled]
    counts = (
        task.targets[rows].sum(axis=0)
        if task.multi_label
        else np.bincount(task.targets[rows], minlength=len(task.class_names))
    )
    share = counts.sum() / (len(task.class_names) * np.maximum(counts, 1))
    return torch.tensor(share, dtype=torch.float32, device=device)


def _row(progress: Progress, sums: dict[str, float]) -> dict[str, Any]:
    clips = max(1.0, sums["clips"])
    return {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        "lr": sums.get("lr", 0.0),
        "train_loss": sums["loss"] / clips,
        "train_top1": sums["hits"] / max(1.0, sums.get("labelled", 0.0)),
        "clips_per_s": sums["clips"] / max(1e-9, sums["seconds"]),
        "data_wait": sums["wait"] / max(1e-9, sums["seconds"]),
        "seconds": sums["seconds"],
    }


def _words(row: dict[str, Any], epochs: int, remedy: str) -> str:
    text = (
        f"epoch {row['epoch']:>3}/{epochs}  loss {row['train_loss']:.3f}  top-1 {row['train_top1']:.1%}"
        f"  {row['clips_per_s']:.1f} clips/s"
    )
    if "val_top1" in row:
        text += f"  │ val loss {row['val_loss']:.3f}  top-1 {row['val_top1']:.1%}"
    if row["data_wait"] > 0.5 and row["seconds"] > 10:
        text += f"  (waiting for data {row['data_wait']:.0%} of the time: {remedy})"
    return text


def _remedy(task: Task) -> str:
    """What helps where the network waits for frames."""
    packed = "packed_from" in task.manifest.table.column_names
    return "raise --workers" if packed else "pack the data (marey data pack), or raise --workers"
