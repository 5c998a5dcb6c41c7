"""From trained weights to everything that a run says: judged, calibrated, audited, written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from marey.data.lengths import median_length
from marey.data.manifest import Manifest
from marey.data.splits import grouping
from marey.files import write_json
from marey.jobs.judging import (
    Bar,
    Judged,
    about_model,
    baseline_logits,
    cross_fitted_temperatures,
    judge_rows,
    metrics_of,
    pooled,
    targets_of,
    write_predictions,
)
from marey.jobs.partition import Part
from marey.metrics.calibration import fit_temperature
from marey.metrics.temporal import KINDS
from marey.predict.load import predictor_of
from marey.runs import RunFolder
from marey.training.config import TrainConfig

if TYPE_CHECKING:
    from marey.data.motion import FlowSource
    from marey.jobs.bench import Bench
    from marey.models.base import VideoModel
    from marey.predict.on_features import FeaturePredictor
    from marey.predict.predictor import Predictor

FUSED = "fuse.yaml"
"""In a run that was fused of two others: what was asked for."""


@dataclass(frozen=True)
class Trained:
    """What a training leaves.

    Attributes:
        run: the run folder.
        weights: the self-contained model files, one a fold.
        metrics: what metrics.json holds.
        report: the HTML page.
    """

    run: Path
    weights: tuple[Path, ...]
    metrics: dict[str, Any]
    report: Path


def fold_folder(run: Path, part: Part) -> Path:
    """Where a part's weights and curves go."""
    return run / f"fold-{part.fold}" if part.fold else run


@dataclass
class Outcome:
    """Gathers what the model of each part says of the samples it has not seen, and writes it into the run.

    Attributes:
        config: of the run: batch, audit, baseline, seed, folds.
        manifest, parts, rule: the samples and who judges which.
        device, autocast: where the network runs.
        flow: where optical flow comes from that need not be computed.
        bench: of a head on stored features: what stands in for videos.
    """

    config: TrainConfig
    manifest: Manifest
    parts: list[Part]
    rule: str
    device: str
    autocast: str | None = None
    flow: FlowSource | None = None
    bench: Bench | None = None
    about: dict[str, Any] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    _judged: list[Judged] = field(default_factory=list)
    _temperatures: list[NDArray[np.float64]] = field(default_factory=list)
    _files: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.targets = targets_of(self.manifest, self.manifest.class_names)

    def begin(self, model: VideoModel) -> bool:
        """Count the model's parameters and cost; True for the first of the folds' models."""
        first = not self.about
        if first:
            self.about = about_model(model)
        return first

    @property
    def model_words(self) -> str:
        """The model and its cost in a line."""
        words = f"model: {self.about['name']}, {self.about['parameters'] / 1e6:.2f} M parameters"
        return f"{words}, {self.about['gmacs']:.2f} GMACs a clip" if self.about["gmacs"] else words

    def judge(
        self, part: Part, weights: Path, *, chosen: str, bar: Bar, say: Callable[..., None] | None = None
    ) -> None:
        """Judge one part's model on its held-out samples and write its calibration into its file.

        Args:
            weights: the file; what is judged is what was written, rebuilt from that file alone.
            chosen: which weights they are, in words.
            say: takes sentences about how features were judged.
        """
        from marey.models.saved import load_model, save_model

        config, manifest, targets, bench = self.config, self.manifest, self.targets, self.bench
        saved = load_model(weights, self.device)
        predictor: Predictor | FeaturePredictor
        orders: Sequence[str] = KINDS if config.audit else ("ordered",)
        if bench is None:
            predictor = predictor_of(saved, device=self.device, autocast=self.autocast)
            predictor = replace(predictor, batch=config.batch, flow=self.flow)
        else:
            saved = bench.whole(saved)
            self.about = about_model(saved.model)
            predictor, orders, said = bench.judge(saved)
            if part is self.parts[0] and say is not None:
                say(said, bench.check(saved, part.judged))
        found = judge_rows(
            predictor, manifest, part.judged, orders=orders,
            policy=config.system.on_error if bench is not None else "error",
            seed=config.seed, fold=part.fold, bar=bar,
        )  # fmt: skip
        self._judged.append(found)
        temperature = 1.0
        if len(part.val) and not np.array_equal(part.val, part.judged):
            table = predictor.logits(manifest.sample(int(i)) for i in part.val)
            temperature = fit_temperature(table.logits, targets[table.ids], multi_label=manifest.multi_label)
            self._temperatures.append(np.full(len(found.rows), temperature))
        elif len(found.rows):
            temperature = fit_temperature(
                found.logits["ordered"], targets[found.rows], multi_label=manifest.multi_label
            )
        save_model(
            weights, saved.model, class_names=manifest.class_names, multi_label=manifest.multi_label,
            extra={
                **saved.extra, "temperature": temperature, "chosen": chosen, "data": Path(config.data).name,
                "clip_seconds": median_length(manifest, part.train),
            },
        )  # fmt: skip
        self._files.append(weights)
        self.protocol = protocol_of(
            config, manifest, self.parts, self.rule, predictor.protocol, saved.spec.to_dict(), chosen
        )

    def write(
        self, run: RunFolder, failures: list[dict[str, Any]], more: dict[str, Any] | None = None
    ) -> Trained:
        """metrics.json, predictions.csv and the report of all parts together.

        Args:
            failures: training samples that could not be read.
            more: further entries of metrics.json.
        """
        from marey.report.html import write_report

        config, manifest, names = self.config, self.manifest, self.manifest.class_names
        together = pooled(self._judged)
        scale = (
            np.concatenate(self._temperatures)
            if self._temperatures
            else cross_fitted_temperatures(
                together.logits["ordered"], self.targets[together.rows], halves(manifest, together, len(self.parts)),
                multi_label=manifest.multi_label,
            )
        )  # fmt: skip
        beside = (
            baseline_logits(Path(config.baseline), manifest, together.rows, names)
            if config.baseline
            else None
        )
        metrics = metrics_of(together, manifest, names, temperatures=scale, baseline=beside, seed=config.seed)
        metrics["failures"] += failures
        metrics = {
            "marey": metrics.pop("marey"),
            "task": metrics.pop("task"),
            "model": self.about,
            **metrics,
            "protocol": self.protocol,
            **(more or {}),
        }
        write_predictions(run.path / "predictions.csv", manifest, together, names, temperatures=scale)
        write_json(run.path / "metrics.json", metrics)
        return Trained(run.path, tuple(self._files), metrics, write_report(run.path))


def protocol_of(
    config: TrainConfig,
    manifest: Manifest,
    parts: list[Part],
    rule: str,
    words: str,
    spec: dict[str, Any],
    chosen: str,
) -> dict[str, Any]:
    judged = np.concatenate([p.judged for p in parts])
    test = bool(len(parts) == 1 and len(parts[0].val) and not np.array_equal(parts[0].val, parts[0].judged))
    return {
        "split": "held-out folds" if config.folds else ("test" if test or not len(parts[0].val) else "val"),
        "views": words.split(",")[0],
        "frames": spec["frames"],
        "size": spec["size"],
        "sampler": spec["sampler"],
        "groups": len(np.unique(grouping(manifest).ids[judged])),
        "rule": rule,
        "weights": f"{chosen} epoch" if chosen == "last" else chosen,
        "temperature": "fitted on val" if test else "cross-fitted between groups of the judged samples",
        "seed": config.seed,
    }


def halves(manifest: Manifest, judged: Judged, parts: int) -> NDArray[np.int64]:
    """The folds, or two halves of the groups, between which calibration is cross-fitted."""
    if parts > 1:
        return judged.fold
    _, rank = np.unique(grouping(manifest).ids[judged.rows], return_inverse=True)
    return (rank % 2).astype(np.int64)
