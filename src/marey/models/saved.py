"""A model in one file: safetensors weights with everything in the metadata that rebuilds it.

Nothing unpickles. Writing goes to a neighbour file first, is forced to the disk and then renamed, so that a
kill or a power cut leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import marey
from marey.errors import CheckpointError, MareyError
from marey.files import write_atomically
from marey.models.base import VideoModel, set_frozen_batch_norm
from marey.models.registry import create_model
from marey.spec import InputSpec

_KEY = "marey"


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
    from safetensors.torch import save

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
    try:
        text = json.dumps(about, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the metadata cannot be written as JSON: {error}.", where=str(path)) from error
    tensors = {k: v.detach().cpu().contiguous() for k, v in (state or model.state_dict()).items()}
    write_atomically(Path(path), save(tensors, metadata={"format": "pt", _KEY: text}))


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What a saved model says of itself, without reading its weights.

    Raises:
        CheckpointError: no such file, not safetensors, damaged, or not written by marey.
    """
    return _read(Path(path), tensors=False)[1]


def load_model(path: str | Path, device: str | torch.device = "cpu") -> SavedModel:
    """Rebuild a model from its one file, in eval mode on `device`.

    Raises:
        CheckpointError: no such file, not safetensors, damaged, not written by marey, or its weights do not
            fit the model that it names.
    """
    path = Path(path)
    state, about = _read(path, tensors=True)
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
    own = model.state_dict()
    wrong = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if wrong or missing or unexpected or len(class_names) != model.num_classes:
        raise CheckpointError(
            f"its weights do not fit {model.name}: {len(missing)} missing, {len(unexpected)} unexpected, "
            f"{len(wrong)} of another shape.",
            *(f"for instance {kind}: {keys[0]}" for kind, keys in
              (("missing", missing), ("unexpected", unexpected), ("shape", wrong)) if keys),
            where=str(path),
        )  # fmt: skip
    model.load_state_dict(state)
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


def _read(path: Path, *, tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        what = "this is a folder, not a file." if path.is_dir() else "there is no such file."
        raise CheckpointError(what, "give the path of a run's weights/best.safetensors", where=str(path))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()} if tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"this is not a whole safetensors file: {error}.",
            "it is damaged, cut short, or of another kind; nothing else is opened, since it could run code",
            where=str(path),
        ) from error
    if _KEY not in metadata:
        raise CheckpointError(
            "these weights were not saved by marey: nothing in them says which model they are.",
            "start a model from them with create_model(name, num_classes=…, pretrained=path)",
            where=str(path),
        )
    try:
        about = json.loads(metadata[_KEY])
        if not isinstance(about, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise CheckpointError(f"the metadata is damaged: {error}.", where=str(path)) from error
    return state, about
