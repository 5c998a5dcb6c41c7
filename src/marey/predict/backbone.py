"""The network that a localizer's features come from, found again and checked before it is believed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from marey.data.features import NETWORK, FeatureGrid
from marey.errors import CheckpointError
from marey.predict.extract import Extractor

if TYPE_CHECKING:
    from marey.localize.saved import SavedLocalizer

_SPEC = ("modalities", "size", "resize", "mean", "std")


def grid_of(saved: SavedLocalizer, weights: Path) -> FeatureGrid:
    """The grid of the features that a localizer was trained on.

    Raises:
        CheckpointError: its file does not say.
    """
    about = saved.features
    if "fps" not in about:
        raise CheckpointError(
            "this localizer does not say on which grid its features lay.",
            "train it again on features with a features.json",
            where=str(weights),
        )
    return FeatureGrid(float(about["fps"]), int(about.get("num_frames", 1)), int(about.get("feat_stride", 1)))


def load_extractor(
    saved: SavedLocalizer,
    weights: Path,
    *,
    backbone: str | Path | None = None,
    device: str = "cpu",
    autocast: str | None = None,
    batch: int = 16,
) -> Extractor:
    """What makes of a raw video the features that a localizer was trained on.

    Args:
        saved: the localizer.
        weights: its file; the network lies beside it as `network.safetensors`, unless
        backbone: names it: the file, the folder of its run, of the localizer's run, or of features.
        device, autocast, batch: how it is run.

    Raises:
        CheckpointError: the localizer learnt from features of other tools; the network is not there; or it is another
            one than made the features.
    """
    from marey.models.saved import fingerprint, load_model

    grid, about = grid_of(saved, weights), saved.features
    if "network" not in about:
        raise CheckpointError(
            "this localizer was trained on features of which nothing says what network made them.",
            "give the features of these videos, made in the same way: --features FOLDER",
            where=str(weights),
        )
    file = _find(backbone, weights, str(about.get("model")))
    network = load_model(file, device)
    if fingerprint(network.model) != about["network"]:
        raise CheckpointError(
            "this network is not the one that made the features that the localizer learnt from: its weights differ.",
            f"it was {about.get('model')} with the fingerprint {str(about['network'])[:12]}…; "
            f"this is {network.model.name} with {fingerprint(network.model)[:12]}…",
            "name the right one with --backbone",
            where=str(file),
        )
    spec = network.spec.to_dict()
    differs = [key for key in _SPEC if spec[key] != about.get("input", spec).get(key)]
    if differs:
        raise CheckpointError(
            f"this network takes another input than the features were made of: {differs[0]} is {spec[differs[0]]}, "
            f"and was {about['input'].get(differs[0])}.",
            "name the right one with --backbone",
            where=str(file),
        )
    return Extractor(network.model, grid, device, autocast, batch)


def _find(backbone: str | Path | None, weights: Path, model: str) -> Path:
    from marey.predict.load import find_weights

    if backbone is None:
        file = weights.parent / NETWORK
        if not file.is_file():
            raise CheckpointError(
                f"the network of its features ({model}) does not lie beside this localizer.",
                f"expected {file}",
                "name it with --backbone: the file, the folder of its run, or the folder of features",
                where=str(weights),
            )
        return file
    for inside in (Path(backbone) / NETWORK, Path(backbone) / "weights" / NETWORK):
        if inside.is_file():
            return inside
    return find_weights(backbone)


def features_differ(settings: dict[str, Any], saved: SavedLocalizer) -> str:
    """In what a folder of features is of another kind than a localizer learnt from; "" where it is not."""
    for key in ("fps", "num_frames", "feat_stride", "network"):
        here, there = settings.get(key), saved.features.get(key)
        if key != "network":
            here, there = here or 1, there or 1
        if here != there:
            return f"{key} is {here} here, and was {there} there"
    return ""
