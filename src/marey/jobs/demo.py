"""The demo: videos with known motion, a baseline that averages frames, a model of time, and the difference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import marey
from marey.config import to_yaml
from marey.data.augment import AugmentConfig
from marey.errors import ConfigError
from marey.files import write_json
from marey.jobs.train import Trained, train
from marey.runs import RunFolder
from marey.training.config import InputConfig, OptimConfig, SystemConfig, TrainConfig

BASELINE, TEMPORAL = "frame_average", "r2plus1d_tiny"


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Make videos with known motion, train a frame average and a model of time on them, and compare."""

    clips: int = 1200
    """Videos to make."""
    epochs: int = 15
    """Passes of the temporal model over the training videos; the baseline a fifth as many."""
    seed: int = 0
    """Of the videos and of the training."""
    out: str = "runs"
    """Folder of all runs."""
    name: str = "motion"
    """Name of the run."""

    def __post_init__(self) -> None:
        if self.clips < 100:
            raise ConfigError(f"the demo needs at least 100 clips to hold some out; got {self.clips}.")


@dataclass(frozen=True)
class Demonstrated:
    """What the demo leaves: the run folder, metrics.json, the page, the trained weights and one prediction."""

    run: Path
    metrics: dict[str, Any]
    report: Path
    weights: Path
    example: str
    example_label: str
    example_prediction: str
    example_score: float


def demo(config: DemoConfig | None = None) -> Demonstrated:
    """Run the whole demo."""
    from marey.data.manifest import Manifest
    from marey.predict.load import load
    from marey.report.html import write_report
    from marey.video.synthetic import make_motion

    config = config or DemoConfig()
    run = RunFolder.create(config.out, "demo", config.name)
    run.describe(to_yaml(config))
    data = make_motion(
        Path(config.out) / "demo" / f"videos-{config.clips}-{config.seed}",
        clips=config.clips,
        seed=config.seed,
    )
    print(f"{config.clips} videos of eleven motions: {data.parent}\n")
    runs: dict[str, Trained] = {}
    for name in (BASELINE, TEMPORAL):
        folder = RunFolder(run.path / name)
        folder.path.mkdir()
        beside = runs[BASELINE].run if name == TEMPORAL else None
        runs[name] = train(_training(name, config, data, beside), run=folder)
        print()
    models = {name: trained.metrics for name, trained in runs.items()}
    metrics = {
        "marey": marey.__version__,
        "models": models,
        "top1": {name: model["top1"] for name, model in models.items()},
        "audit": {name: model["audit"] for name, model in models.items()},
        "chance": models[TEMPORAL]["chance"],
        "conclusion": conclusion(models),
        "protocol": models[TEMPORAL]["protocol"],
    }
    write_json(run.path / "metrics.json", metrics)
    weights = runs[TEMPORAL].weights[0]
    manifest = Manifest.read(data)
    sample = manifest.sample(int(manifest.indices("val")[0]))
    said = load(weights).predict(sample.path)
    return Demonstrated(
        run.path,
        metrics,
        write_report(run.path),
        weights,
        sample.path,
        sample.labels[0],
        said.label,
        said.score,
    )


def conclusion(models: dict[str, dict[str, Any]]) -> str:
    """One sentence: what knowing the order of the frames is worth here."""
    base, time = models[BASELINE], models[TEMPORAL]
    chance, beside = time["chance"], time["audit"]
    sentence = (
        f"On the same {time['n']} held-out videos the average of frames is right for {base['top1']:.0%} "
        f"(chance: {chance:.0%}) and the model of time for {time['top1']:.0%}; with its frames shuffled, reversed or "
        f"frozen that falls to {beside['shuffled']['top1']:.0%}, {beside['reversed']['top1']:.0%} and "
        f"{beside['frozen']['top1']:.0%}"
    )
    worst = max(beside[kind]["top1"] for kind in ("shuffled", "reversed", "frozen"))
    if time["top1"] - base["top1"] > 0.3 and time["top1"] - worst > 0.3:
        return sentence + ": what it has learnt is the motion."
    return sentence + "."


def _training(name: str, config: DemoConfig, data: Path, baseline: Path | None) -> TrainConfig:
    """The same clips, crops and batches for both; only the model differs (and how long it takes to converge)."""
    return TrainConfig(
        data=str(data),
        model=name,
        backbone="test_resnet" if name == BASELINE else None,
        epochs=config.epochs if name == TEMPORAL else max(1, config.epochs // 5),
        batch=16,
        input=InputConfig(frames=8, size=56, resize=56),
        optim=OptimConfig(lr=4e-3 if name == TEMPORAL else 2e-3),
        augment=AugmentConfig(scale=(0.9, 1.0)),
        system=SystemConfig(cache_mb=1024),
        baseline=str(baseline) if baseline else None,
        out=config.out,
        name=name,
        seed=config.seed,
    )
