"""Train a localizer: segments in, features on the way, a run folder with its judgement out."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import marey
from marey.config import read_yaml, to_tree, to_yaml
from marey.data.annotated import Annotated, annotate
from marey.data.features import NETWORK, FeatureFolder
from marey.data.manifest import Manifest
from marey.data.splits import check_split, grouping, split
from marey.data.timelines import Timeline, timelines
from marey.errors import CheckpointError, ConfigError, DataError
from marey.files import key_of, write_json, write_text
from marey.jobs.timelines import (
    average_map,
    dense_scores,
    judge_run,
    segments_of,
    sure_score,
    write_timelines,
)
from marey.localize.proposing import Proposal, propose, propose_scales, propose_step
from marey.runs import RunFolder
from marey.training.localizer_config import LocalizerConfig
from marey.training.log import RunLog, write_results
from marey.types import FloatArray


@dataclass(frozen=True)
class LocalizerTrained:
    """What the training of a localizer leaves.

    Attributes:
        run: the run folder.
        weights: the localizer's file; the network of its features lies beside it, where it is known.
        metrics: what metrics.json holds.
        report: the HTML page.
    """

    run: Path
    weights: Path
    metrics: dict[str, Any]
    report: Path


def resume_localizer_config(run: str | Path) -> LocalizerConfig:
    """The configuration that a run was started with."""
    path = Path(run) / "config.yaml"
    if not path.is_file():
        raise CheckpointError("this is not the folder of a training: it has no config.yaml.", where=str(run))
    return read_yaml(LocalizerConfig, path)


def train_localizer(
    config: LocalizerConfig,
    *,
    resume: str | Path | None = None,
    run: RunFolder | None = None,
    quiet: bool = False,
) -> LocalizerTrained:
    """Train, judge on the videos held out, and report.

    Args:
        config: what to do.
        resume: the folder of a run that was cut off; `config` must be the one it was started with.
        run: an empty folder to use instead of a new one under `config.out`.
        quiet: print nothing.

    Raises:
        ManifestError, SegmentError: rows that cannot be used as they stand.
        DataError: features that are missing, damaged, or of another grid.
        ConfigError, CheckpointError: settings or weights that cannot be.
    """
    from marey.predict.device import choose_device

    manifest, rule = _split(config)
    names, lines = timelines(manifest, background=config.background)
    device = choose_device(config.device)
    if resume is None:
        run = run or RunFolder.create(config.out, "train", config.name or config.task)
        run.describe(to_yaml(config))
    else:
        run = RunFolder(Path(resume))
    _same_split(run.path / "split.csv", lines, began=resume is not None)
    with RunLog(run.path, (), to_tree(config), quiet=quiet) as log:
        log.line(
            f"data: {len(lines)} videos, {sum(map(len, lines))} segments of {len(names)} classes; {rule}"
        )
        log.line(f"run folder: {run.path}")
        folder = _features(config, lines, log)
        annotated, cut = annotate(folder, lines)
        if cut:
            log.line(
                f"{cut} segments reached less than a step of the grid over their video and were cut to it."
            )
        return _train(
            config,
            names,
            annotated,
            folder,
            manifest,
            rule,
            run,
            log,
            device=device,
            resume=resume is not None,
        )


def _train(
    config: LocalizerConfig,
    names: tuple[str, ...],
    annotated: list[Annotated],
    folder: FeatureFolder,
    manifest: Manifest,
    rule: str,
    run: RunFolder,
    log: RunLog,
    *,
    device: str,
    resume: bool,
) -> LocalizerTrained:
    from marey.localize.saved import load_localizer, save_localizer
    from marey.predict.localizer import LocalizerPredictor
    from marey.report.html import write_report
    from marey.training.checkpoint import seed_everything
    from marey.training.localizer import check_dense, fit_localizer

    train = [item for item in annotated if item.timeline.split == "train"]
    judged = [item for item in annotated if item.timeline.split == "test"] or [
        item for item in annotated if item.timeline.split == "val"
    ]
    if not train or not judged:
        raise ConfigError("there must be videos to learn from and videos to judge by.", where=config.data)
    if not sum(len(item.timeline) for item in judged):
        raise DataError("the videos to judge by have no segment at all.", where=config.data)
    if config.task == "dense":
        check_dense(annotated, names)
    lengths = np.concatenate([np.diff(item.timeline.segments, axis=1)[:, 0] for item in train])
    proposal = propose(
        lengths,
        np.array([item.map.end - item.map.start for item in train]),
        train[0].map.grid.step,
    )
    kind, kwargs = _network(config, proposal, len(names), annotated[0].features.shape[1], lengths)
    log.line(proposal.words(kwargs.get("scales")))
    seed_everything(config.seed)
    model = _build(kind, kwargs)
    parameters = sum(p.numel() for p in model.parameters())
    log.line(f"model: {kind}, {parameters / 1e6:.2f} M parameters, on {device}")

    def predictor(network: Any) -> LocalizerPredictor:
        return LocalizerPredictor(network, names, config.decode, device)

    # a test split is judged at the end, once
    held_out = [item for item in annotated if item.timeline.split == "val" and len(item.timeline)] or judged

    def validate(network: Any) -> dict[str, float]:
        return {"val_map": average_map(predictor(network), held_out, names)}

    crop = config.pyramid.crop or proposal.window
    if config.task == "dense":
        crop = max(len(item) for item in train)
    best, rows = fit_localizer(
        model, train, config, run.path, log, device=device, crop=crop, validate=validate, resume=resume
    )
    weights = run.weights / "best.safetensors"
    extra = {"decode": asdict(config.decode), "background": config.background, "proposal": asdict(proposal)}
    if config.task == "localize":
        extra["sure"] = sure_score(predictor(best), held_out, names)
    save_localizer(
        weights, kind, kwargs, best.state_dict(), class_names=names, features=folder.settings, extra=extra
    )
    if folder.network is not None:
        shutil.copyfile(folder.network, run.weights / NETWORK)
    saved = load_localizer(weights, device)  # what is judged is what was written
    final = predictor(saved.model)
    predictions = {item.timeline.path: segments_of(final, item) for item in judged}
    metrics: dict[str, Any] = {
        "marey": marey.__version__,
        "task": config.task,
        "class_names": list(names),
        "model": {"name": kind, "kwargs": kwargs, "parameters": parameters},
        "n": len(judged),
        "n_segments": sum(len(item.timeline) for item in judged),
        **judge_run(predictions, judged, names, manifest, seed=config.seed),
        "protocol": {
            "split": str(judged[0].timeline.split),
            "rule": rule,
            "features": str(train[0].map.grid),
            "feature_model": folder.settings.get("model"),
            "weights": "last epoch",
            "suppression": config.decode.suppression,
            "seed": config.seed,
        },
        "failures": [],
    }
    if config.task == "dense":
        metrics["segmentation"] = dense_scores(final, judged, names, config.background)
    write_results(run.path / "results.csv", rows)
    write_timelines(run.path, predictions, judged, names)
    write_json(run.path / "metrics.json", metrics)
    return LocalizerTrained(run.path, weights, metrics, write_report(run.path))


def _split(config: LocalizerConfig) -> tuple[Manifest, str]:
    manifest = Manifest.read(config.data, root=config.root)
    if manifest.splits:
        return manifest, f"the manifest's own split, {check_split(manifest).rule}"
    made = split(manifest, {"train": 1 - config.val_fraction, "val": config.val_fraction}, seed=config.seed)
    return made, f"a split made here, {grouping(made).rule}, seed {config.seed}"


def _same_split(path: Path, lines: Sequence[Timeline], *, began: bool) -> None:
    """Write which video is on which side, or look that a run goes on with the videos it began with."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "segments", "group", "split"))
    writer.writerows((line.path, len(line), line.group or "", line.split or "") for line in lines)
    if not began:
        write_text(path, text.getvalue())
    elif not path.is_file() or path.read_text(encoding="utf-8") != text.getvalue():
        raise CheckpointError(
            "the data has changed since this run began; going on would mix two trainings.",
            "start a new run, or put the data back",
            where=str(path),
        )


def _features(config: LocalizerConfig, lines: Sequence[Timeline], log: RunLog) -> FeatureFolder:
    """The features: those that are there, or computed now into a folder that another run finds again."""
    source = config.source
    if source.features is not None:
        return FeatureFolder.open(source.features)
    from marey.jobs.extract import ExtractConfig, extract

    durations = np.concatenate([np.diff(line.segments, axis=1)[:, 0] for line in lines])
    durations = durations[np.isfinite(durations)]
    stride = source.stride or max(1, round(propose_step(durations) * source.fps))
    if source.window is not None:
        stride = min(stride, source.window)
    asked = {**asdict(source), "stride": stride}
    out = Path(config.out) / "features" / f"{source.feature_model or 'network'}-{key_of(asked)}"
    log.line(f"features: {out}")
    done = extract(
        ExtractConfig(
            data=config.data,
            root=config.root,
            out=str(out),
            model=source.feature_model,
            weights=source.weights,
            fps=source.fps,
            window=source.window,
            stride=stride,
            device=config.device,
        ),
        say=log.line,
    )
    if done.failures:
        raise DataError(
            f"{len(done.failures)} videos gave no features.",
            *(f"{video}: {error}" for video, error in done.failures[:5]),
            "mend them or take their rows out",
        )
    return FeatureFolder.open(out)


def _network(
    config: LocalizerConfig, proposal: Proposal, classes: int, width: int, lengths: FloatArray
) -> tuple[str, dict[str, Any]]:
    """Kind of network and its keywords, as JSON has them."""
    if config.task == "dense":
        dense = config.dense
        return "ms-tcn", {
            "num_classes": classes + 1,
            "features": width,
            "channels": dense.dense_channels,
            "layers": dense.layers,
            "refine_layers": dense.refine_layers,
            "refinements": dense.refinements,
            "dropout": dense.dense_dropout,
        }
    pyramid, told = config.pyramid, config.pyramid.of_points
    if pyramid.head == "anchors":
        return "anchors", {
            "num_classes": classes,
            "features": width,
            "scales": list(pyramid.anchor_scales or propose_scales(lengths / proposal.step)),
            "channels": pyramid.channels,
            "context": pyramid.context,
            "dropout": pyramid.dropout,
        }
    ranges = [list(r) for r in proposal.ranges]
    if pyramid.levels is not None:
        last = ranges[-1][1]
        ranges = [[0.0, 4.0]] + [[2.0 ** (i + 1), 2.0 ** (i + 2)] for i in range(1, pyramid.levels)]
        ranges[-1][1] = last
    return "localizer", {
        "num_classes": classes,
        "features": width,
        "channels": pyramid.channels,
        "mixer": told.mixer,
        "ranges": ranges,
        "stem": told.stem,
        "window": told.attention_window,
        "heads": told.heads,
        "dropout": pyramid.dropout,
        "drop_path": told.drop_path,
    }


def _build(kind: str, kwargs: dict[str, Any]) -> Any:
    from marey.localize.saved import KINDS

    return KINDS[kind](**kwargs)
