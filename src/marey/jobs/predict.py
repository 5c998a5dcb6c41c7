"""Classify videos: files, folders and globs in, one prediction a video out."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from marey.config import to_yaml
from marey.data.manifest import Sample
from marey.errors import MareyError, UsageError, VideoNotFoundError
from marey.predict.load import load
from marey.predict.predictor import Predictor
from marey.runs import RunFolder
from marey.types import Prediction
from marey.video.packed.names import is_there

SUFFIXES = (
    ".mp4",
    ".mkv",
    ".webm",
    ".avi",
    ".mov",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".gif",
    ".ts",
    ".flv",
    ".wmv",
    ".3gp",
)


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Classify videos with a trained model."""

    weights: Annotated[str, tyro.conf.Positional]
    """Weights file, the folder of a run, or an artifact (.onnx)."""
    videos: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Files, folders (searched for videos, folders below included) and globs."""
    clips: int = 1
    """Clips a video that are averaged."""
    crops: Literal[1, 3] = 1
    """Crops a clip that are averaged."""
    top: int = 5
    """Classes that are named."""
    batch: int = 8
    """Clips at once."""
    workers: int = 2
    """Threads that decode."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes a GPU where there is one."""
    runtime: str = "auto"
    """What runs an artifact: auto (the fastest here that gives the same answers), onnxruntime, openvino, …"""
    json: bool = False
    """One JSON object a line, for machines."""
    out: str = "runs"
    """Folder of all runs; the predictions are kept there too."""
    name: str = "predict"
    """Name of the run."""
    seed: int = 0
    """Written into the run; nothing here is random."""


def predictor_for(config: PredictConfig) -> Predictor:
    """The model that the configuration names, ready to predict."""
    predictor = load(
        config.weights, device=config.device, clips=config.clips, crops=config.crops, runtime=config.runtime
    )
    return replace(predictor, batch=config.batch, workers=config.workers)


def predict(
    config: PredictConfig,
    predictor: Predictor | None = None,
    *,
    on_error: Callable[[str, MareyError], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Predictions as plain JSON, one by one, also written to `predictions.jsonl` of a run folder.

    Args:
        predictor: the model, where it is loaded already.
        on_error: told of each video that cannot be read, which is then left out; else the first one raises.

    Raises:
        UsageError: a pattern that matches nothing. VideoError: see `on_error`.
    """
    paths = find_videos(config.videos)
    predictor = predictor or predictor_for(config)
    run = RunFolder.create(config.out, "predict", config.name)
    run.describe(to_yaml(config))
    samples = (Sample(number, path, ()) for number, path in enumerate(paths))
    failed = None if on_error is None else (lambda sample, error: on_error(sample.path, error))
    with (run.path / "predictions.jsonl").open("w", encoding="utf-8") as file:
        for prediction in predictor.predict_many(samples, on_error=failed):
            item = as_json(prediction, config.top)
            file.write(json.dumps(item) + "\n")
            yield item


def find_videos(patterns: tuple[str, ...]) -> list[str]:
    """The files that files, folders and globs stand for, in order, each once.

    Raises:
        VideoNotFoundError: a name that is not there. UsageError: a folder or glob without videos.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            inside = sorted(str(p) for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not inside:
                raise UsageError(
                    f"there is no video in the folder {pattern!r}.", f"looked for: {' '.join(SUFFIXES)}"
                )
        elif is_there(pattern):
            inside = [pattern]
        elif glob.has_magic(pattern):
            inside = sorted(p for p in glob.glob(pattern, recursive=True) if not Path(p).is_dir())  # noqa: PTH207
            if not inside:
                raise UsageError(f"the pattern {pattern!r} matches no file.")
        else:
            raise VideoNotFoundError(pattern, "there is no such file or folder.")
        found.update(dict.fromkeys(inside))
    if not found:
        raise UsageError("no videos were named.", "give files, folders or globs after the weights")
    return list(found)


def as_json(prediction: Prediction, top: int) -> dict[str, Any]:
    """A prediction in plain JSON types. `labels` are those that are said to be there: the most probable one,
    or for a multi-label model each with a probability of at least one half."""
    said = (
        [name for name, p in prediction.top(len(prediction.class_names)) if p >= 0.5]
        if prediction.multi_label
        else [prediction.label]
    )
    return {
        "path": prediction.path,
        "start": round(prediction.start, 6),
        "end": round(prediction.end, 6),
        "labels": said,
        "top": [{"label": name, "score": round(p, 6)} for name, p in prediction.top(top)],
        "protocol": prediction.protocol,
    }
