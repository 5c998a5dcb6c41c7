"""Several models on the same splits, side by side: accuracy, what it costs, and whether a difference is real."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import tyro

import marey
from marey.config import from_tree, read_yaml, to_tree, to_yaml
from marey.data.augment import AugmentConfig
from marey.data.manifest import Manifest
from marey.errors import CheckpointError, ConfigError, MareyError, UnknownNameError, UsageError
from marey.files import write_json
from marey.jobs.contest import against_baseline, conclusion_of, same_split, training_seconds
from marey.jobs.train import check_model, resume_config, train
from marey.runs import RunFolder
from marey.training.config import InputConfig, OptimConfig, SystemConfig, TrainConfig

# What makes runs comparable: no contender may have its own.
SHARED = ("data", "root", "val_fraction", "folds", "seed", "out", "name", "baseline")
# What stands in CompareConfig for all contenders, under the names of TrainConfig.
COMMON = ("data", "root", "backbone", "weights", "epochs", "batch", "val_fraction", "folds", "audit", "input",
          "optim", "augment", "system", "seed")  # fmt: skip

Settings = dict[str, dict[str, Any] | None]


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Train several models on the same splits and put them side by side.

    `marey compare videos.csv --models frame_average,cnn_gru,r2plus1d_18`. A contender that needs settings of
    its own has them in a --config file, under `contenders`, spelt as in the config.yaml of a training:

        contenders:
          frame_average: {weights: default}
          wide gru: {model: cnn_gru, model_args: [hidden=512], optim: {lr: 5e-4}}

    --resume RUN goes on with a comparison that was cut off; what is trained is not trained again.
    """

    data: Annotated[str, tyro.conf.Positional] = ""
    """Manifest (.csv, .parquet) or folder of class folders."""
    models: str = ""
    """Contenders, with commas between: names from `marey models`, or from the file's contenders (default: all
    of these)."""
    contenders: tyro.conf.Suppress[Settings] = field(default_factory=dict)
    """Settings of single contenders, in a --config file only: name -> what differs from all others."""
    baseline: str | None = None
    """Contender that the others are measured against (default: the first)."""
    root: str | None = None
    """Folder that relative video paths start from (default: that of the manifest)."""
    backbone: str | None = None
    """timm backbone of all contenders that say nothing else."""
    weights: str | None = None
    """Where the weights of all contenders start that say nothing else: as in `marey train`."""
    epochs: int = 8
    """Passes over the training samples."""
    batch: int = 8
    """Clips in a batch."""
    val_fraction: float = 0.2
    """Share held out for validation where the manifest has no split (grouped, stratified)."""
    folds: int = 0
    """K: grouped, stratified K-fold cross-validation with pooled predictions."""
    audit: bool = True
    """Run the temporal audit of each."""
    input: InputConfig = field(default_factory=InputConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    system: SystemConfig = field(default_factory=SystemConfig)
    timed: int = 10
    """Clips that each model is timed on, in turns with the others (0: not timed)."""
    out: str = "runs"
    """Folder of all runs."""
    name: str | None = None
    """Name of the run (default: that of the data). A name that exists gets a number."""
    seed: int = 0
    """Of everything random."""

    def __post_init__(self) -> None:
        if self.timed < 0:
            raise ConfigError(f"--timed must not be below 0; got {self.timed}.")


@dataclass(frozen=True)
class Compared:
    """What a comparison leaves.

    Attributes:
        run: the run folder; each contender's own run is beneath it, under its name.
        metrics: what metrics.json holds: `models` (name to its metrics, with `contest`) and `conclusion`.
        report: the HTML page.
    """

    run: Path
    metrics: dict[str, Any]
    report: Path


def compare(config: CompareConfig, *, resume: str | Path | None = None, quiet: bool = False) -> Compared:
    """Train every contender that is not trained yet, time them in turns, and write the comparison.

    Args:
        config: what to do.
        resume: the folder of a comparison that was cut off; `config` must be the one it was started with.
        quiet: print nothing.

    Raises:
        UsageError, ConfigError: nothing to compare, settings that cannot be; said before anything is trained.
        CheckpointError: contenders that were not trained on the same samples.
        Whatever `train` raises.
    """
    from marey.report.html import write_report

    settings = contenders(config)
    baseline = config.baseline or next(iter(settings))
    if baseline not in settings:
        raise UnknownNameError("contender", baseline, settings)
    manifest = Manifest.read(config.data, root=config.root)
    for name, training in settings.items():
        if training.features is not None:
            continue  # a head has no network to build; `train` looks at its folder before it writes anything
        try:
            check_model(training, len(manifest.class_names))
        except MareyError as error:
            error.where = f"contender {name!r}" + (f": {error.where}" if error.where else "")
            raise
    if resume is None:
        run = RunFolder.create(config.out, "compare", config.name or Path(config.data).stem)
        run.describe(to_yaml(config))
    else:
        run = RunFolder(Path(resume))
    # A frame average stands in the audit of the others, so it is trained first.
    beside = baseline if settings[baseline].model == "frame_average" else None
    order = sorted(settings, key=lambda name: name != baseline)
    for number, name in enumerate(order, 1):
        if not quiet:
            print(f"\n{name} ({number} of {len(order)})")
        folder = str(run.path / beside) if beside and name != beside else None
        _train_once(settings[name], run.path / name, folder, quiet=quiet)
    runs = {name: run.path / name for name in settings}
    same_split(runs)
    models = {name: _metrics_of(path) for name, path in runs.items()}
    clocks = _clocks(runs, config.timed, manifest)
    for name, metrics in models.items():
        metrics["contest"] = {
            "settings": (config.contenders.get(name) or {}),
            "training_seconds": training_seconds(runs[name]),
            **clocks.get(name, {}),
            **({} if name == baseline else against_baseline(name, runs[name], baseline, runs[baseline], manifest)),
        }  # fmt: skip
    metrics = {
        "marey": marey.__version__,
        "baseline": baseline,
        "conclusion": conclusion_of(models, baseline),
        "models": models,
    }
    write_json(run.path / "metrics.json", metrics)
    return Compared(run.path, metrics, write_report(run.path))


def resumed(run: str | Path) -> CompareConfig:
    """The configuration that a comparison was started with."""
    path = Path(run) / "config.yaml"
    if not path.is_file():
        raise CheckpointError(
            "this is not the folder of a comparison: it has no config.yaml.", where=str(run)
        )
    return read_yaml(CompareConfig, path)


def contenders(config: CompareConfig) -> dict[str, TrainConfig]:
    """Name to the training of each contender: what is common, with its own settings in place of that.

    Raises:
        UsageError, ConfigError: fewer than two, a name twice, a name that is no model, an unknown setting.
    """
    if not config.data:
        raise UsageError(
            "there is nothing to compare on.", "give a manifest: marey compare videos.csv --models …"
        )
    asked = [name.strip() for name in config.models.split(",") if name.strip()] or list(config.contenders)
    if len(asked) < 2:
        raise UsageError(
            f"a comparison needs two contenders; got {', '.join(asked) or 'none'}.",
            "name them with --models a,b,c, or under contenders: in a --config file",
        )
    if twice := sorted({name for name in asked if asked.count(name) > 1}):
        raise UsageError(f"the contender {twice[0]!r} is named twice.")
    return {name: _training(name, config) for name in asked}


def _training(name: str, config: CompareConfig) -> TrainConfig:
    where = f"contender {name!r}"
    if not re.fullmatch(r"[\w+.,=()\- ]+", name) or name in (".", ".."):
        raise ConfigError(
            "a contender's name is also its folder's: letters, digits, spaces and + - _ . only.", where=where
        )
    own = {key.replace("-", "_"): value for key, value in (config.contenders.get(name) or {}).items()}
    if shared := [key for key in own if key in SHARED]:
        raise ConfigError(
            f"{shared[0]} is the same for all contenders: their numbers would not be comparable.",
            f"give it once, outside contenders: {shared[0]}: …",
            where=where,
        )
    tree = {key: value for key, value in to_tree(config).items() if key in COMMON}
    tree |= {"model": name, "out": config.out, "name": name}
    own_input = own.get("input") or {}
    if own_input.get("sampler") or own_input.get("frames"):  # one is another spelling of the other
        tree["input"] |= {"sampler": None, "frames": None}
    return from_tree(TrainConfig, _merged(tree, own), where=where)


def _merged(tree: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    tree = copy.copy(tree)
    for key, value in own.items():
        inner = tree.get(key)
        tree[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return tree


def _train_once(config: TrainConfig, folder: Path, baseline: str | None, *, quiet: bool) -> None:
    """Train what is not trained; go on with what was begun."""
    from marey.report.html import write_report

    config = from_tree(TrainConfig, {**to_tree(config), "baseline": baseline})
    if (folder / "metrics.json").is_file():
        if not quiet:
            print(f"trained already: {folder}")
        if not (folder / "report.html").is_file():
            write_report(folder)
        return
    if (folder / "split.csv").is_file():
        train(resume_config(folder), resume=folder, quiet=quiet)
        return
    folder.mkdir(exist_ok=True)
    train(config, run=RunFolder(folder), quiet=quiet)


def _metrics_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))


def _clocks(runs: dict[str, Path], clips: int, manifest: Manifest) -> dict[str, dict[str, Any]]:
    if not clips:
        return {}
    from marey.predict.load import load
    from marey.predict.timing import time_side_by_side

    predictors = {name: load(_weights(path)) for name, path in runs.items()}
    samples = [manifest.sample(i % len(manifest)) for i in range(clips)]
    return {name: found.to_dict() for name, found in time_side_by_side(predictors, samples).items()}


def _weights(run: Path) -> Path:
    """A model of the run: folds differ in weights alone."""
    return run / "fold-1" if (run / "fold-1").is_dir() else run


assert set(COMMON) <= {f.name for f in fields(TrainConfig)}
