"""Parameter groups, optimizer, schedule and the moving average of weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import Parameter
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from marey.models.depth import stages
from marey.training.config import OptimConfig

if TYPE_CHECKING:
    from marey.models.base import VideoModel


def build_optimizer(model: VideoModel, config: OptimConfig, *, backbone_lr: float) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum, over the groups {head, backbone} × {decayed, not decayed}.

    Biases and the scales of norms (all tensors with fewer than two dimensions) are not decayed. With
    `layer_decay` d below 1 each of the backbone's n stages is a group of its own, whose rate is that of the last
    one times d^(n − 1 − i) (layer-wise decay; Clark et al., ELECTRA, https://arxiv.org/abs/2003.10555, §A).

    Args:
        backbone_lr: peak learning rate of the backbone, of its last stage where they differ; the head has
            `config.lr`.
    """
    groups = []
    for found, lr in _with_rates(model, config, backbone_lr):
        for decayed in (True, False):
            chosen = [p for p in found if (p.ndim >= 2) == decayed]
            if chosen:
                decay = config.weight_decay if decayed else 0.0
                groups.append({"params": chosen, "lr": lr, "peak_lr": lr, "weight_decay": decay})
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=config.lr)


def _with_rates(
    model: VideoModel, config: OptimConfig, backbone_lr: float
) -> list[tuple[list[Parameter], float]]:
    """Parameters with their peak learning rate, the head first."""
    head, backbone = list(model.head_parameters()), list(model.backbone_parameters())
    if config.layer_decay == 1:
        return [(head, config.lr), (backbone, backbone_lr)]
    learns = {id(p) for p in backbone}  # without frozen batch norm
    by_depth = [[model.get_parameter(name) for name in names] for names in stages(model)]
    last = len(by_depth) - 1
    return [(head, config.lr)] + [
        ([p for p in found if id(p) in learns], backbone_lr * config.layer_decay ** (last - depth))
        for depth, found in enumerate(by_depth)
    ]


def held_stages(epoch: int, count: int, config: OptimConfig) -> int:
    """How many of the backbone's `count` stages, from the stem on, do not learn in an epoch (from 0)."""
    if epoch < config.freeze_backbone:
        return count
    if not config.unfreeze:
        return 0
    return max(0, count - config.unfreeze * (epoch - config.freeze_backbone + 1))


def schedule(step: int, steps: int, warmup: float) -> float:
    """Factor 0…1 on the peak learning rate: linear over the first `warmup` share, then half a cosine to 0.

    Args:
        step: from 0.
        steps: of the whole training.
        warmup: share of `steps`.
    """
    rising = min(round(warmup * steps), steps - 1)
    if step < rising:
        return (step + 1) / (rising + 1)
    through = (step - rising) / max(1, steps - rising)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, through)))


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Scale every group's peak by `factor`; gives the largest of the rates."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    return max(float(group["lr"]) for group in optimizer.param_groups)


def moving_average(model: VideoModel, decay: float) -> AveragedModel:
    """An exponential moving average of the parameters; buffers (batch-norm statistics) are the model's own."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=False)
