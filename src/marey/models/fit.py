"""A checkpoint into a model: match names and shapes, apply the facts, and say what was loaded.

A checkpoint is tried as what it may be: the whole model, another maker's spelling of it
(`convert_state_dict`), or its image backbone alone. The reading that covers most of the model's numbers is
taken, and if none covers half, it is somebody else's network and an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from marey.errors import CheckpointError
from marey.models.base import VideoModel, set_frozen_batch_norm

if TYPE_CHECKING:
    from marey.models.weights import Checkpoint

ENOUGH = 0.5  # of the numbers of the part that a checkpoint is for


@dataclass(frozen=True)
class LoadReport:
    """What became of each tensor.

    Attributes:
        where: the checkpoint.
        matched: loaded, by the model's names.
        missing: in the model, not in the checkpoint: left at random (a new head, say).
        unexpected: in the checkpoint, with no place in the model.
        dropped: a head for other classes, left out.
        applied: facts of the checkpoint that were taken over, in words.
    """

    where: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    dropped: tuple[str, ...]
    applied: tuple[str, ...]

    def __str__(self) -> str:
        counts = [f"{len(self.matched)} tensors loaded"]
        counts += [
            f"{len(keys)} {word} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
            for word, keys in (
                ("left at random", self.missing),
                ("without a place", self.unexpected),
                ("of another head dropped", self.dropped),
            )
            if keys
        ]
        return f"{self.where}: {'; '.join(counts)}." + "".join(f" {fact}." for fact in self.applied)


def load_checkpoint(model: VideoModel, checkpoint: Checkpoint) -> LoadReport:
    """Load `checkpoint` into `model` and apply its facts; the report is also `model.load_report`.

    Raises:
        CheckpointError: hardly anything matches, or a tensor outside the head has another shape.
    """
    own = model.state_dict()
    state = _best_reading(model, checkpoint.state)
    # PyTorch before 0.4.1 counted no batches; a converted file may have none either. It is no weight.
    counters = {k for k in own if k.endswith("num_batches_tracked")}
    matched = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    wrong = sorted(k for k in state.keys() & own.keys() if k not in matched)
    dropped = [k for k in wrong if model._is_head(k)]
    _refuse_misfit(model, own, matched, [k for k in wrong if k not in dropped], checkpoint)
    model.load_state_dict(matched, strict=False)
    report = LoadReport(
        where=checkpoint.where,
        matched=tuple(sorted(matched)),
        missing=tuple(sorted(own.keys() - matched.keys() - counters)),
        unexpected=tuple(sorted(state.keys() - own.keys())),
        dropped=tuple(dropped),
        applied=tuple(_apply_facts(model, checkpoint)),
    )
    model.load_report = report
    return report


def _best_reading(model: VideoModel, state: dict[str, Tensor]) -> dict[str, Tensor]:
    own = model.state_dict()
    readings = [state, model.convert_state_dict(state)]
    readings += [{f"{p}.{k}": v for k, v in state.items()} for p in model.backbone_prefixes]

    def fit(reading: dict[str, Tensor]) -> int:
        return sum(v.numel() for k, v in reading.items() if k in own and own[k].shape == v.shape)

    return max(readings, key=fit)


def _refuse_misfit(
    model: VideoModel,
    own: dict[str, Tensor],
    matched: dict[str, Tensor],
    wrong: list[str],
    checkpoint: Checkpoint,
) -> None:
    prefixes = [p for p in model.backbone_prefixes if any(k.startswith(f"{p}.") for k in matched)]
    target = {
        k: v
        for k, v in own.items()
        if not model._is_head(k) and (not prefixes or any(k.startswith(f"{p}.") for p in prefixes))
    }
    total = sum(v.numel() for v in target.values())
    covered = sum(target[k].numel() for k in matched if k in target)
    if not wrong and covered >= ENOUGH * max(total, 1):
        return
    lines = []
    if wrong:
        key = wrong[0]
        lines.append(f"{len(wrong)} of another shape, such as {key}: the model has {tuple(own[key].shape)}")
    lost = sorted(target.keys() - matched.keys())
    if lost:
        lines.append(f"{len(lost)} of the model's are not in it, such as {lost[0]}")
    lines.append(f"the file's first names: {', '.join(sorted(checkpoint.state)[:3])}")
    if checkpoint.facts.architecture:
        lines.append(f"it says that it is for: {checkpoint.facts.architecture}")
    share = 100 * covered / max(total, 1)
    raise CheckpointError(
        f"these weights do not fit {model.name}: they cover {share:.0f}% of it.",
        *lines,
        where=checkpoint.where,
    )


def _apply_facts(model: VideoModel, checkpoint: Checkpoint) -> list[str]:
    facts, applied = checkpoint.facts, []
    spec = model.spec
    if (
        facts.mean
        and facts.std
        and "rgb" in spec.modalities
        and (spec.mean, spec.std) != (facts.mean, facts.std)
    ):
        model.spec = replace(spec, mean=facts.mean, std=facts.std)
        applied.append(f"its mean {facts.mean} and std {facts.std} normalise the input")
    if facts.pad_type and model.backbone_prefixes:
        applied.append(f"its convolutions pad as {facts.pad_type!r}")
    if facts.folded_batch_norm:
        set_frozen_batch_norm(model)
        applied.append("its batch norm is folded, so it is frozen")
    return applied
