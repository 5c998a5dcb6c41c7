"""How deep a parameter stands: what fine-tuning needs that lets the last stages learn first, or faster.

A stage is what learns together: the stem, a residual block, a transformer layer. A family names its stages by
prefixes of parameter names (`VideoModel.stage_prefixes`); the longest prefix that fits a name decides. The
head is no stage. With two branches, stages that are equally far from the head learn together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from marey.models.base import VideoModel

Stages = list[tuple[str, ...]]


def stages(model: VideoModel) -> list[list[str]]:
    """Names of the backbone's parameters by depth: the stem first, last what stands before the head.

    Every parameter outside the head is in exactly one stage; no stage is empty.
    """
    place = {prefix: i for i, prefixes in enumerate(model.stage_prefixes()) for prefix in prefixes}
    found: list[list[str]] = [[] for _ in range(max(place.values(), default=-1) + 1)]
    for name, _ in model.named_parameters():
        if model._is_head(name):
            continue
        fits = [p for p in _beginnings(name) if p in place]
        assert fits, f"{name} of {model.name} is in no stage"
        found[place[fits[-1]]].append(name)
    return [names for names in found if names]


def hold_stages(model: VideoModel, count: int) -> None:
    """The first `count` stages neither learn nor renew their batch norm's statistics; the others do.

    Frozen batch norm (`set_frozen_batch_norm`) stays frozen everywhere.
    """
    frozen = {id(p) for norm in model._frozen_norms() for p in norm.parameters()}
    for depth, names in enumerate(stages(model)):
        for name in names:
            parameter = model.get_parameter(name)
            parameter.requires_grad_(depth >= count and id(parameter) not in frozen)
    model.held_stages = count
    model.train(model.training)


def numbered(prefix: str, count: int) -> Stages:
    """`prefix.0` to `prefix.(count − 1)`, a stage each."""
    return [(f"{prefix}.{i}",) for i in range(count)]


def image_stages(network: nn.Module, prefix: str) -> Stages:
    """The stages of a timm network by its own grouping, under `prefix`."""
    from timm.models import group_parameters

    groups = group_parameters(network, network.group_matcher(coarse=False))  # type: ignore[operator]
    return [tuple(f"{prefix}.{name}" for name in groups[depth]) for depth in sorted(groups)]


def from_the_end(branches: Iterable[Sequence[Sequence[str]]]) -> Stages:
    """Branches' stages joined so that the last ones stand together; a shallower branch begins later."""
    found: Stages = []
    for branch in branches:
        while len(found) < len(branch):
            found.insert(0, ())
        offset = len(found) - len(branch)
        for i, names in enumerate(branch):
            found[offset + i] += tuple(names)
    return found


def _beginnings(name: str) -> list[str]:
    """ "a.b.c" as "a", "a.b", "a.b.c"."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
