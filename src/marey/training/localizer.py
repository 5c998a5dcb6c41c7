"""Train a localizer or a dense labeller on stored features."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from marey.data.annotated import Annotated
from marey.errors import DataError, NonFiniteLossError
from marey.localize.anchors import AnchorLocalizer, anchor_segments, assign_anchors
from marey.localize.crops import choose_window, cut
from marey.localize.losses import centre_length_loss, focal_loss, offsets_to_segments, overlap_loss
from marey.localize.ms_tcn import MSTCN, dense_loss
from marey.localize.pyramid import Localizer
from marey.localize.targets import assign
from marey.training.checkpoint import Progress, load_state, save_state, seed_everything
from marey.training.localizer_config import LocalizerConfig
from marey.training.log import RunLog
from marey.training.optim import schedule, set_learning_rate

_SLOW = 0.9  # of the moving average of positives: what a batch's count changes is a tenth


def fit_localizer(
    model: Localizer | AnchorLocalizer | MSTCN,
    videos: Sequence[Annotated],
    config: LocalizerConfig,
    folder: Path,
    log: RunLog,
    *,
    device: str,
    crop: int,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    resume: bool = False,
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Train `model` in place.

    Args:
        videos: to learn from.
        folder: where `weights/state.pt` goes, from which `resume` goes on bit-equal.
        device: where.
        crop: positions of a training window.
        validate: numbers of the model as it is, for results.csv and the log; called about ten times, and at the end.

    Returns:
        what is to be judged and kept (the moving average, where there is one), and a row an epoch.

    Raises:
        NonFiniteLossError: NaN or infinity; names the videos of the batch.
    """
    model.to(device)
    optimizer = torch.optim.AdamW(_groups(model, config), lr=config.lr)
    average = (
        AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
        if config.ema
        else None
    )
    positives = _Positives()
    modules: dict[str, Any] = {"model": model, "optimizer": optimizer, "positives": positives}
    if average is not None:
        modules["average"] = average
    state = folder / "weights" / "state.pt"
    state.parent.mkdir(exist_ok=True)
    seed_everything(config.seed)
    progress = load_state(state, modules, device) if resume and state.is_file() else Progress()
    judged: nn.Module = model if average is None else average.module
    items = [video for video in range(len(videos)) for _ in range(config.repeat)]
    steps = math.ceil(len(items) / config.batch) * config.epochs
    while progress.epoch < config.epochs:
        started, loss_sum, count = time.monotonic(), 0.0, 0
        order = np.random.default_rng([config.seed, progress.epoch]).permutation(len(items))
        model.train()
        with log.progress(f"epoch {progress.epoch + 1}/{config.epochs}", len(items), "windows") as advance:
            for begin in range(0, len(order), config.batch):
                chosen = order[begin : begin + config.batch]
                rate = set_learning_rate(optimizer, schedule(progress.step, steps, config.warmup))
                batch = [
                    _window(
                        videos[items[i]], crop, np.random.default_rng([config.seed, progress.epoch, int(i)])
                    )
                    for i in chosen
                ]
                loss = _loss(model, batch, config, positives, device)
                if not math.isfinite(float(loss.detach())):
                    raise NonFiniteLossError(
                        f"the loss is {float(loss.detach())} at step {progress.step}.",
                        *(f"in that batch: {videos[items[i]].timeline.path}" for i in chosen),
                        "lower --lr, or look at these videos.",
                    )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                if average is not None:
                    average.update_parameters(model)
                progress.step += 1
                loss_sum += float(loss.detach()) * len(chosen)
                count += len(chosen)
                advance(len(chosen))
        progress.epoch += 1
        row: dict[str, Any] = {
            "epoch": progress.epoch, "step": progress.step, "lr": rate, "train_loss": loss_sum / count,
            "clips_per_s": count / max(1e-9, time.monotonic() - started), "seconds": time.monotonic() - started,
        }  # fmt: skip
        last = progress.epoch == config.epochs
        if validate is not None and (last or progress.epoch % max(1, config.epochs // 10) == 0):
            row |= validate(judged.eval())
        numbers = "  ".join(f"{k.replace('_', ' ')} {v:.1%}" for k, v in row.items() if k.startswith("val_"))
        log.line(
            f"epoch {progress.epoch:>3}/{config.epochs}  loss {row['train_loss']:.3f}  {numbers}".rstrip()
        )
        log.numbers(row)
        progress.rows.append(row)
        save_state(state, modules, progress)
    return judged.eval(), progress.rows


class _Positives(nn.Module):
    """A moving average of how many points of a batch have something to find: what the loss is divided by."""

    def __init__(self) -> None:
        super().__init__()
        self.average: Tensor
        self.register_buffer("average", torch.tensor(-1.0))

    def update(self, count: float) -> float:
        before = float(self.average)
        value = count if before < 0 else _SLOW * before + (1 - _SLOW) * count
        self.average.fill_(value)
        return max(value, 1.0)


Window = tuple[Tensor, np.ndarray, np.ndarray]


def _window(video: Annotated, crop: int, rng: np.random.Generator) -> Window:
    """Features `(t, D)` of a window, and the segments and labels in it."""
    first = choose_window(rng, len(video), min(crop, len(video)), video.segments)
    size = min(crop, len(video))
    segments, labels = cut(video.segments, video.timeline.labels, first, size)
    part = np.array(video.features[first : first + size], dtype=np.float32)
    return torch.from_numpy(part), segments, labels


def _loss(
    model: Localizer | AnchorLocalizer | MSTCN,
    batch: Sequence[Window],
    config: LocalizerConfig,
    positives: _Positives,
    device: str,
) -> Tensor:
    longest = max(len(x) for x, _, _ in batch)
    features = torch.zeros(len(batch), longest, batch[0][0].shape[1])
    mask = torch.zeros(len(batch), longest, dtype=torch.bool)
    for i, (x, _, _) in enumerate(batch):
        features[i, : len(x)], mask[i, : len(x)] = x, True
    features, mask = features.to(device), mask.to(device)
    if isinstance(model, MSTCN):
        target = torch.stack([dense_target(s, k, longest, model.num_classes - 1) for _, s, k in batch])
        return dense_loss(model(features, mask), target.to(device), mask, smoothing=config.dense.smoothing)
    if isinstance(model, AnchorLocalizer):
        return _anchor_loss(model, features, mask, batch, config, positives)
    logits_BPK, offsets_BP2, real_BP = model(features, mask)
    points = model.points(longest)
    pairs = [
        assign(
            points, torch.from_numpy(s).to(device), torch.from_numpy(k).to(device), model.num_classes,
            radius=config.pyramid.of_points.radius,
        )
        for _, s, k in batch
    ]  # fmt: skip
    classes_BPK, true_BP2 = (torch.stack(column) for column in zip(*pairs, strict=True))
    found_BP = classes_BPK.any(dim=-1) & real_BP
    divisor = positives.update(float(found_BP.sum()))
    loss = focal_loss(logits_BPK[real_BP], classes_BPK[real_BP]).sum() / divisor
    if found_BP.any():
        ends = overlap_loss(
            offsets_to_segments(offsets_BP2[found_BP]),
            offsets_to_segments(true_BP2[found_BP]),
            kind=config.pyramid.of_points.ends_loss,
        )
        loss = loss + config.pyramid.ends_weight * ends.sum() / divisor
    return loss


def _anchor_loss(
    model: AnchorLocalizer,
    features: Tensor,
    mask: Tensor,
    batch: Sequence[Window],
    config: LocalizerConfig,
    positives: _Positives,
) -> Tensor:
    """Focal loss of the classes that are asked, and smooth L1 on centre and log-length in the anchor's terms."""
    logits_BPK, offsets_BP2, real_BP = model(features, mask)
    points = model.points(features.shape[1])
    device = features.device
    parts = [
        assign_anchors(
            points, torch.from_numpy(s).to(device), torch.from_numpy(k).to(device), model.num_classes
        )
        for _, s, k in batch
    ]
    classes_BPK, asked_BPK, ends_BP2 = (torch.stack(column) for column in zip(*parts, strict=True))
    found_BP = classes_BPK.any(dim=-1) & real_BP
    divisor = positives.update(float(found_BP.sum()))
    counted = asked_BPK & real_BP[..., None]
    loss = focal_loss(logits_BPK[counted], classes_BPK[counted]).sum() / divisor
    if found_BP.any():
        said_BP2 = offsets_to_segments(offsets_BP2 * points.stride[:, None], points.position)
        anchor_BP2 = anchor_segments(points).expand_as(ends_BP2)
        ends = centre_length_loss(said_BP2[found_BP], ends_BP2[found_BP], anchor_BP2[found_BP])
        loss = loss + config.pyramid.ends_weight * ends.sum() / divisor
    return loss


def dense_target(segments: np.ndarray, labels: np.ndarray, positions: int, background: int) -> Tensor:
    """The class of every position: int64 `(T,)`; a position is in a segment if it stands between its ends."""
    target = torch.full((positions,), background, dtype=torch.int64)
    for (start, end), label in zip(segments, labels, strict=True):
        target[max(math.ceil(start), 0) : max(math.ceil(end), 0)] = int(label)
    return target


def check_dense(videos: Sequence[Annotated], class_names: Sequence[str]) -> None:
    """One label at every moment: segments must not overlap.

    Raises:
        DataError: names the rows of the first two that do.
    """
    for video in videos:
        order = np.argsort(video.timeline.segments[:, 0], kind="stable")
        segments = video.timeline.segments[order]
        over = np.flatnonzero(segments[1:, 0] < segments[:-1, 1] - 1e-3)
        if len(over):
            a, b = order[over[0]], order[over[0] + 1]
            names = [class_names[video.timeline.labels[i]] for i in (a, b)]
            raise DataError(
                f"{names[0]!r} and {names[1]!r} overlap, and dense labelling gives every moment one label.",
                f"the other: {video.timeline.where[b]}",
                "localize segments that overlap with --task localize",
                where=video.timeline.where[a],
            )


def _groups(model: nn.Module, config: LocalizerConfig) -> list[dict[str, Any]]:
    """Weights that are decayed, and biases, norms and scales that are not."""
    found: list[dict[str, Any]] = []
    for decayed in (True, False):
        chosen = [
            p
            for name, p in model.named_parameters()
            if (p.ndim >= 2 and not name.endswith("scale")) == decayed
        ]
        decay = config.weight_decay if decayed else 0.0
        found.append({"params": chosen, "lr": config.lr, "peak_lr": config.lr, "weight_decay": decay})
    return found
