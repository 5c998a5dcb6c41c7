"""From a file on disk to a `Predictor`: `marey.load("runs/train/x/weights/best.safetensors").predict("a.mp4")`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from marey.errors import CheckpointError, ConfigError
from marey.predict.predictor import Predictor, Views
from marey.predict.runtime import TorchRuntime

AUTO = "auto"
TORCH: dict[str, dict[str, bool]] = {
    "torch": {},
    "torch-contiguous": {"channels_last": False},
    "torch-compiled": {"compiled": True},
}
"""How torch runs weights, by name."""
SUFFIX = ".onnx"
STEP = ".step"  # stands before it in the name of a step form

if TYPE_CHECKING:
    from marey.models.saved import SavedModel


def load(
    path: str | Path, *, device: str = "auto", clips: int = 1, crops: int = 1, runtime: str = AUTO
) -> Predictor:
    """A predictor from a run folder, a weights file or an exported artifact. An artifact needs no torch.

    Args:
        path: `weights/best.safetensors`, the folder of a run that has it, or an artifact (`.onnx`).
        device: "auto", "cpu", "cuda" or "mps".
        clips, crops: the views that are averaged.
        runtime: what runs an artifact: a name from `predict.runtimes.table.RUNTIMES`, or "auto", the fastest of
            those here that passes parity. Weights are run by torch: "torch", "torch-contiguous" or "torch-compiled".

    Raises:
        CheckpointError: no such file, or not a model that marey saved or exported; for a cross-validation, which
            holds one model a fold, names them.
        ConfigError: weights with a runtime that takes artifacts alone. MissingExtraError: no such package here.
    """
    file = find_weights(path)
    if file.suffix == SUFFIX:
        return _load_artifact(file, device=device, views=Views(clips, crops), runtime=runtime)
    if runtime not in (AUTO, *TORCH):
        raise ConfigError(
            f"the runtime {runtime!r} takes exported artifacts, and these are a run's weights.",
            "export them first: marey export RUN --to onnx",
            where=str(file),
        )
    from marey.models.saved import load_model
    from marey.predict.device import choose_autocast, choose_device

    place = choose_device(device)
    saved = load_model(file, place)
    return predictor_of(
        saved, device=place, autocast=choose_autocast("auto", place), views=Views(clips, crops),
        runtime="torch" if runtime == AUTO else runtime,
    )  # fmt: skip


def _load_artifact(file: Path, *, device: str, views: Views, runtime: str) -> Predictor:
    from marey.predict.artifact import read_artifact
    from marey.predict.runtimes.choose import choose
    from marey.predict.runtimes.table import make_runtime
    from marey.work import cores

    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"artifacts run on cpu or cuda, not on {device}.", where=str(file))
    artifact = read_artifact(file)
    if runtime == AUTO:
        chosen, _ = choose(artifact, device=device)
    else:
        chosen = make_runtime(artifact, runtime, threads=cores())
    about = artifact.about
    return Predictor(
        chosen,
        about.spec,
        about.class_names,
        multi_label=about.multi_label,
        temperature=about.temperature,
        views=views,
    )


def predictor_of(
    saved: SavedModel,
    *,
    device: str,
    autocast: str | None = None,
    views: Views | None = None,
    runtime: str = "torch",
) -> Predictor:
    """A predictor around a model in memory, with the calibration that its file carries."""
    return Predictor(
        TorchRuntime(saved.model, device=device, autocast=autocast, **TORCH[runtime]),
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
