"""A localizer in one file: weights, classes, the grid and network of its features, and how it is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import marey
from marey.errors import CheckpointError, MareyError
from marey.localize.anchors import AnchorLocalizer
from marey.localize.ms_tcn import MSTCN
from marey.localize.pyramid import Localizer
from marey.tensors import fill, read_tensors, write_tensors

KINDS: dict[str, type[nn.Module]] = {"localizer": Localizer, "anchors": AnchorLocalizer, "ms-tcn": MSTCN}


@dataclass(frozen=True)
class SavedLocalizer:
    """What `load_localizer` gives.

    Attributes:
        model: in eval mode, with its weights: a `Localizer`, an `AnchorLocalizer`, or an `MSTCN` whose last class is
            the background.
        kind: "localizer", "anchors" or "ms-tcn".
        class_names: without the background.
        features: what made its features: the settings of their folder (`features.json`).
        extra: what the writer put beside it, plain JSON.
    """

    model: Localizer | AnchorLocalizer | MSTCN
    kind: str
    class_names: tuple[str, ...]
    features: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)


def save_localizer(
    path: str | Path,
    kind: str,
    kwargs: dict[str, Any],
    state: dict[str, Tensor],
    *,
    class_names: Sequence[str],
    features: dict[str, Any],
    extra: dict[str, Any],
) -> None:
    """Write a localizer, whole or not at all; `kwargs` are its constructor's, as JSON has them."""
    write_tensors(
        path,
        state,
        {
            "version": marey.__version__,
            "localizer": kind,
            "kwargs": kwargs,
            "class_names": list(class_names),
            "features": features,
            "extra": extra,
        },
    )


def is_localizer(path: str | Path) -> bool:
    """Whether a file that marey saved is a localizer, and not a classifier."""
    return "localizer" in read_tensors(path, tensors=False)[1]


def load_localizer(path: str | Path, device: str | torch.device = "cpu") -> SavedLocalizer:
    """Rebuild a localizer from its file.

    Raises:
        CheckpointError: no such file, damaged, or no localizer.
    """
    state, about = read_tensors(path)
    kind = about.get("localizer")
    if kind not in KINDS:
        raise CheckpointError(
            "this is a classifier, not a localizer.",
            "a classifier localizes by sliding windows: marey localize takes both",
            where=str(path),
        )
    try:
        model = KINDS[kind](**about["kwargs"])
        class_names = tuple(about["class_names"])
    except (MareyError, KeyError, TypeError) as error:
        raise CheckpointError(f"its model cannot be built again: {error}", where=str(path)) from error
    fill(model, state, name=kind, path=path)
    assert isinstance(model, Localizer | AnchorLocalizer | MSTCN)
    return SavedLocalizer(
        model.to(device).eval(), kind, class_names, about.get("features") or {}, about.get("extra") or {}
    )
