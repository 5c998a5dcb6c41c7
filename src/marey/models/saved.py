"""A model in one file: safetensors weights with everything in the metadata that rebuilds it.

`marey.tensors` says how it is written and read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import marey
from marey.errors import CheckpointError, MareyError
from marey.models.base import VideoModel, set_frozen_batch_norm
from marey.models.registry import create_model
from marey.spec import InputSpec
from marey.tensors import fill, read_tensors, write_tensors


@dataclass(frozen=True)
class SavedModel:
    """What `load_model` gives.

    Attributes:
        model: in eval mode, with its weights.
        class_names: K names in the order of the logits.
        multi_label: whether the classes are independent.
        spec: the model's `InputSpec`.
        extra: what the writer put beside it (calibration, metrics), plain JSON.
        version: of marey, that wrote the file.
    """

    model: VideoModel
    class_names: tuple[str, ...]
    multi_label: bool
    spec: InputSpec
    extra: dict[str, Any] = field(default_factory=dict)
    version: str = ""


def save_model(
    path: str | Path,
    model: VideoModel,
    *,
    class_names: Sequence[str],
    multi_label: bool = False,
    extra: dict[str, Any] | None = None,
    state: dict[str, Tensor] | None = None,
) -> None:
    """Write `model` to `path` (.safetensors), whole or not at all.

    Args:
        path: the file; its folder must exist.
        model: one that `create_model` made.
        class_names: K names in the order of the logits.
        multi_label: whether the classes are independent.
        extra: anything JSON can hold.
        state: weights to write in place of the model's own (their moving average, say), same names.

    Raises:
        CheckpointError: the number of class names is not the model's, or `extra` is no JSON.
    """
    if len(class_names) != model.num_classes:
        raise CheckpointError(
            f"{len(class_names)} class names for a model of {model.num_classes} classes.", where=str(path)
        )
    about = {
        "version": marey.__version__,
        "name": model.name,
        "kwargs": model.kwargs,
        "spec": model.spec.to_dict(),
        "class_names": list(class_names),
        "multi_label": multi_label,
        "frozen_batch_norm": model.frozen_batch_norm,
        "extra": extra or {},
    }
    write_tensors(path, state or model.state_dict(), about)


def fingerprint(model: VideoModel) -> str:
    """SHA-256 of what a model computes: its name, its keywords and every weight, wherever they came from."""
    digest = hashlib.sha256(json.dumps([model.name, model.kwargs], sort_keys=True).encode())
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What a saved model says of itself, without reading its weights.

    Raises:
        CheckpointError: no such file, not safetensors, damaged, or not written by marey.
    """
    return read_tensors(path, tensors=False)[1]


def load_model(path: str | Path, device: str | torch.device = "cpu") -> SavedModel:
    """Rebuild a model from its one file, in eval mode on `device`.

    Raises:
        CheckpointError: no such file, not safetensors, damaged, not written by marey, or its weights do not
            fit the model that it names.
    """
    path = Path(path)
    state, about = read_tensors(path)
    if "localizer" in about:
        raise CheckpointError(
            "this is a localizer, which says when and not what, and no network of videos by itself.",
            "marey localize takes it",
            where=str(path),
        )
    try:
        model = create_model(about["name"], **about["kwargs"])
        model.spec = InputSpec.from_dict(about["spec"])
        class_names = tuple(about["class_names"])
    except (MareyError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"its model cannot be built again: {error}",
            f"it was written by marey {about.get('version', '?')}; this is {marey.__version__}",
            where=str(path),
        ) from error
    fill(model, state, name=model.name, path=path)
    if len(class_names) != model.num_classes:
        raise CheckpointError(
            f"its {len(class_names)} class names do not fit a model of {model.num_classes} classes.",
            where=str(path),
        )
    if about.get("frozen_batch_norm"):
        set_frozen_batch_norm(model)
    model.to(device).eval()
    return SavedModel(
        model=model,
        class_names=class_names,
        multi_label=bool(about.get("multi_label", False)),
        spec=model.spec,
        extra=about.get("extra") or {},
        version=str(about.get("version", "")),
    )
