"""Small models as files, and clips that they take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import marey
from marey.data.clips import fit_clip
from marey.data.motion import compute_fields
from marey.export.graph import describe_model, trace
from marey.models.base import VideoModel
from marey.models.saved import save_model
from marey.predict.about import Description
from marey.predict.artifact import Artifact, artifact_of
from marey.spec import InputSpec
from marey.types import Clip
from marey.video.synthetic import MOTIONS, render_motion
from tests.models.small import small_model

CLASSES = ("a", "b", "c", "d", "e")


def description(model: VideoModel, **rest: Any) -> Description:
    """As an export writes it, before there is a certificate."""
    plain = Description(model.name, marey.__version__, model.spec, CLASSES, temperature=1.5, **rest)
    return describe_model(model, plain)


def traced(model: VideoModel, **rest: Any) -> Artifact:
    """The artifact of a model, in memory."""
    return artifact_of(
        trace(model, description(model, **rest)).SerializeToString(), path=f"{model.name}.onnx"
    )


def moving_clips(spec: InputSpec, count: int, seed: int = 0) -> list[Clip]:
    """Clips of known motion at the model's own size, with flow where it takes it."""
    clips = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        video = render_motion(MOTIONS[number], rng, size=spec.resize, frames=max(spec.frames, 4), fps=8.0)
        frames = video.frames[: spec.frames]
        times = np.arange(len(frames)) / 8
        flow = None
        if "flow" in spec.modalities:
            flow = compute_fields(frames, times, np.ones(len(frames) - 1, bool), "farneback")
        clips.append(fit_clip(Clip(frames, times, np.ones(len(frames), bool), flow), spec, "center"))
    return clips


def saved_model(folder: Path, name: str = "cnn_gru", **rest: Any) -> Path:
    """A weights file as a training leaves it."""
    weights = folder / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    model = small_model(name, **rest)
    save_model(weights / "best.safetensors", model, class_names=CLASSES, extra={"temperature": 1.5})
    return weights / "best.safetensors"
