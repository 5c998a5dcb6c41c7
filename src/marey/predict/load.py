"""From a file on disk to a `Predictor`: `marey.load("runs/train/x/weights/best.safetensors").predict("a.mp4")`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from marey.errors import CheckpointError
from marey.predict.predictor import Predictor, Views
from marey.predict.runtime import TorchRuntime

if TYPE_CHECKING:
    from marey.models.saved import SavedModel


def load(path: str | Path, *, device: str = "auto", clips: int = 1, crops: int = 1) -> Predictor:
    """A predictor from a run folder or a weights file.

    Args:
        path: `weights/best.safetensors`, or the folder of a run that has it.
        device: "auto", "cpu", "cuda" or "mps".
        clips, crops: the views that are averaged.

    Raises:
        CheckpointError: no such file, or not a model that marey saved; for a cross-validation, which holds
            one model a fold, names them.
    """
    from marey.models.saved import load_model
    from marey.predict.device import choose_autocast, choose_device

    file = find_weights(path)
    place = choose_device(device)
    saved = load_model(file, place)
    return predictor_of(
        saved, device=place, autocast=choose_autocast("auto", place), views=Views(clips, crops)
    )


def predictor_of(
    saved: SavedModel, *, device: str, autocast: str | None = None, views: Views | None = None
) -> Predictor:
    """A predictor around a model in memory, with the calibration that its file carries."""
    return Predictor(
        TorchRuntime(saved.model, device=device, autocast=autocast),
        saved.spec,
        saved.class_names,
        multi_label=saved.multi_label,
        temperature=float(saved.extra.get("temperature", 1.0)),
        views=views or Views(),
    )


def find_weights(path: str | Path) -> Path:
    """The weights file that a path means: itself, or `weights/best.safetensors` of a run folder."""
    path = Path(path)
    if not path.is_dir():
        return path
    inside = path / "weights" / "best.safetensors"
    if inside.is_file():
        return inside
    below = sorted(path.glob("*/weights/best.safetensors"))
    if below:
        raise CheckpointError(
            f"this run holds {len(below)} models; say which.",
            *(str(p) for p in below[:10]),
            where=str(path),
        )
    raise CheckpointError(
        "there are no weights in this folder.", "expected weights/best.safetensors", where=str(path)
    )
