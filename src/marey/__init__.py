"""marey: train, judge and ship video classifiers that really learn motion.

    import marey

    run = marey.train(marey.TrainConfig(data="videos.csv", model="cnn_gru"))
    model = marey.load(run.run)
    print(model.predict("new.mp4").top(3))

    with marey.open_video("new.mp4") as video:
        clip = video.frames_at(video.times[:16], size=128)

Names are imported when they are first used, so that `import marey` is light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Clip": "marey.types",
    "DistillConfig": "marey.training.config",
    "EvalConfig": "marey.jobs.evaluate",
    "FuseConfig": "marey.jobs.fuse",
    "InputSpec": "marey.spec",
    "Manifest": "marey.data.manifest",
    "MareyError": "marey.errors",
    "PackConfig": "marey.jobs.pack",
    "Prediction": "marey.types",
    "Predictor": "marey.predict.predictor",
    "Segment": "marey.types",
    "TrainConfig": "marey.training.config",
    "create_model": "marey.models.registry",
    "distill": "marey.jobs.distill",
    "evaluate": "marey.jobs.evaluate",
    "fuse_runs": "marey.jobs.fuse",
    "list_models": "marey.models.registry",
    "load": "marey.predict.load",
    "make_motion": "marey.video.synthetic",
    "open_stream": "marey.predict.stream",
    "open_video": "marey.video.reader",
    "pack": "marey.jobs.pack",
    "train": "marey.jobs.train",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from marey.data.manifest import Manifest as Manifest
    from marey.errors import MareyError as MareyError
    from marey.jobs.distill import distill as distill
    from marey.jobs.evaluate import EvalConfig as EvalConfig
    from marey.jobs.evaluate import evaluate as evaluate
    from marey.jobs.fuse import FuseConfig as FuseConfig
    from marey.jobs.fuse import fuse_runs as fuse_runs
    from marey.jobs.pack import PackConfig as PackConfig
    from marey.jobs.pack import pack as pack
    from marey.jobs.train import train as train
    from marey.models.registry import create_model as create_model
    from marey.models.registry import list_models as list_models
    from marey.predict.load import load as load
    from marey.predict.predictor import Predictor as Predictor
    from marey.predict.stream import open_stream as open_stream
    from marey.spec import InputSpec as InputSpec
    from marey.training.config import DistillConfig as DistillConfig
    from marey.training.config import TrainConfig as TrainConfig
    from marey.types import Clip as Clip
    from marey.types import Prediction as Prediction
    from marey.types import Segment as Segment
    from marey.video.reader import open_video as open_video
    from marey.video.synthetic import make_motion as make_motion


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'marey' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
