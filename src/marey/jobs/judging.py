"""From a predictor and rows of a manifest to metrics.json, predictions.csv and the audit."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import marey
from marey.data.manifest import Manifest, Sample
from marey.data.splits import grouping
from marey.errors import DataError
from marey.files import write_text
from marey.metrics.calibration import fit_temperature, probabilities
from marey.metrics.classification import judge
from marey.metrics.temporal import KINDS, audit
from marey.predict.branches import branch_names, side_by_side
from marey.predict.predictor import Policy, Predictor

if TYPE_CHECKING:
    from marey.models.base import VideoModel
    from marey.predict.on_features import FeaturePredictor

Logits = NDArray[np.float32]
Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, eq=False)
class Judged:
    """What one model said of some rows.

    Attributes:
        rows: int `(N,)`, rows of the manifest that could be read.
        logits: kind of order → float32 `(N, K)`; `ordered` always, the others where the audit ran.
        fold: int `(N,)`, the fold whose model judged the row, or 0.
        failures: samples that could not be read.
        branches: of a two-stream model: branch → float32 `(N, K)`, what each says by itself, in order.
    """

    rows: NDArray[np.int64]
    logits: dict[str, Logits]
    fold: NDArray[np.int64]
    failures: list[dict[str, Any]] = field(default_factory=list)
    branches: dict[str, Logits] = field(default_factory=dict)


def judge_rows(
    predictor: Predictor | FeaturePredictor,
    manifest: Manifest,
    rows: NDArray[np.int64],
    *,
    orders: Sequence[str] = ("ordered",),
    policy: Policy = "error",
    seed: int = 0,
    fold: int = 0,
    bar: Bar,
) -> Judged:
    """Judge rows of a manifest under each order of time.

    Args:
        orders: `("ordered",)`, or all of `KINDS` for the audit.
        policy: `error` or `skip` for samples that cannot be read.
        bar: makes a progress bar: `bar(text, total)` is a context manager that gives `advance(n)`.

    Raises:
        DataError: nothing at all could be read.
    """
    logits: dict[str, Logits] = {}
    kept, failures = rows, []
    branches: dict[str, Logits] = {}
    names = branch_names(predictor) if isinstance(predictor, Predictor) else ()
    wide = side_by_side(predictor) if isinstance(predictor, Predictor) and names else predictor
    for order in orders:
        asked = wide if order == "ordered" else predictor
        words = "judging" if order == "ordered" else f"judging, {order}"
        with bar(words, len(kept)) as advance:
            table = asked.logits(
                (manifest.sample(int(i)) for i in kept),
                order=order,
                seed=seed,
                policy=policy,
                advance=advance,
            )
        kept = table.ids
        failures += table.failures
        answers = np.split(table.logits, 1 + len(names), axis=1) if asked is not predictor else [table.logits]
        logits[order] = answers[0]
        branches |= dict(zip(names, answers[1:], strict=False))
        if not len(kept):
            raise DataError(
                f"none of the {len(rows)} samples could be read.", f"the first: {failures[0]['error']}"
            )
    assert all(len(x) == len(kept) for x in logits.values()), "a file changed while it was being judged"
    return Judged(kept, logits, np.full(len(kept), fold, dtype=np.int64), failures, branches)


def about_model(model: VideoModel) -> dict[str, Any]:
    """What metrics.json says of the model itself."""
    from marey.models.cost import profile
    from marey.models.probe import Probe

    if isinstance(model, Probe) and model.network is None:  # a head alone: no frames to count by
        parameters = sum(p.numel() for p in model.parameters())
        return {"name": model.name, "kwargs": model.kwargs, "parameters": parameters, "gmacs": None}
    cost = profile(model)
    return {"name": model.name, "kwargs": model.kwargs, "parameters": cost.parameters, "gmacs": cost.gmacs}


def pooled(parts: Sequence[Judged]) -> Judged:
    """The folds' held-out rows together, each judged by the model that had not seen it."""
    return Judged(
        np.concatenate([p.rows for p in parts]),
        {kind: np.concatenate([p.logits[kind] for p in parts]) for kind in parts[0].logits},
        np.concatenate([p.fold for p in parts]),
        [failure for p in parts for failure in p.failures],
        {name: np.concatenate([p.branches[name] for p in parts]) for name in parts[0].branches},
    )


def targets_of(manifest: Manifest, class_names: Sequence[str]) -> NDArray[np.int64]:
    """Class indices `(N,)`, or 0/1 `(N, K)` for a multi-label manifest."""
    if not manifest.multi_label:
        return manifest.targets(class_names)
    manifest.check_classes(class_names)
    index = {name: k for k, name in enumerate(class_names)}
    table = np.zeros((len(manifest), len(class_names)), dtype=np.int64)
    for row in range(len(manifest)):
        table[row, [index[label] for label in manifest.sample(row).labels]] = 1
    return table


def cross_fitted_temperatures(
    logits: Logits, targets: NDArray[np.int64], parts: NDArray[np.int64], *, multi_label: bool
) -> NDArray[np.float64]:
    """A temperature for each row, fitted on the rows of the *other* parts: none is judged by its own fit."""
    temperatures = np.ones(len(logits))
    for part in np.unique(parts):
        inside = parts == part
        if not inside.all():
            temperatures[inside] = fit_temperature(logits[~inside], targets[~inside], multi_label=multi_label)
    return temperatures


def metrics_of(
    judged: Judged,
    manifest: Manifest,
    class_names: tuple[str, ...],
    *,
    temperatures: NDArray[np.float64],
    baseline: Logits | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The judged part of metrics.json: numbers, intervals, calibration, the audit where its orders are there.

    Args:
        temperatures: float `(N,)`, what each row's logits are divided by for calibration.
        baseline: logits `(N, K)` of a frame-averaging model on the same rows.
    """
    multi = manifest.multi_label
    targets = targets_of(manifest.select(judged.rows), class_names)
    groups = grouping(manifest).ids[judged.rows].tolist()
    found = judge(
        judged.logits["ordered"],
        targets,
        class_names=class_names,
        groups=groups,
        multi_label=multi,
        temperature=temperatures,
        seed=seed,
    )
    if judged.branches:
        found["branches"] = {
            name: _summary(
                judge(logits, targets, class_names=class_names, groups=groups, multi_label=multi, seed=seed)
            )
            for name, logits in {**judged.branches, "fusion": judged.logits["ordered"]}.items()
        }
    found["audit"] = None
    if set(KINDS) <= set(judged.logits):
        found["audit"] = audit(
            judged.logits,
            targets,
            class_names=class_names,
            groups=groups,
            baseline=baseline,
            multi_label=multi,
            seed=seed,
        )
    found["failures"] = judged.failures
    return {"marey": marey.__version__, "task": "multi-label" if multi else "single-label"} | {
        "class_names": list(class_names),
        **found,
    }


def _summary(judged: dict[str, Any]) -> dict[str, Any]:
    """The numbers by which branches are put side by side, with their intervals."""
    keys = [k for k in ("top1", "map", "mean_class_accuracy", "macro_f1") if judged.get(k) is not None]
    intervals = judged.get("intervals") or {}
    return {k: judged[k] for k in keys} | {"intervals": {k: intervals.get(k) for k in keys}}


def write_predictions(
    path: Path,
    manifest: Manifest,
    judged: Judged,
    class_names: tuple[str, ...],
    *,
    temperatures: NDArray[np.float64],
) -> None:
    """predictions.csv: one row a sample with its label, what was predicted, and every class's probability."""
    multi = manifest.multi_label
    probs = probabilities(judged.logits["ordered"] / temperatures[:, None], multi_label=multi)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ("id", "path", "start", "end", "split", "group", "fold", "label", "predicted", "score")
    writer.writerow([*head, *(f"p:{name}" for name in class_names)])
    for row, fold, p in zip(judged.rows, judged.fold, probs, strict=True):
        sample = manifest.sample(int(row))
        best = int(np.argmax(p))
        said = [class_names[k] for k in np.flatnonzero(p >= 0.5)] if multi else [class_names[best]]
        writer.writerow(
            [*_place(sample), int(fold) or "", "|".join(sample.labels), "|".join(said), f"{p[best]:.6f}"]
            + [f"{x:.6f}" for x in p]
        )
    write_text(path, text.getvalue())


def baseline_logits(
    run: Path, manifest: Manifest, rows: NDArray[np.int64], class_names: Sequence[str]
) -> Logits:
    """Log-probabilities `(N, K)` that another run gave to the same samples, from its predictions.csv.

    Raises:
        DataError: no predictions there, other classes, or samples that the other run did not judge.
    """
    path = run / "predictions.csv"
    if not path.is_file():
        raise DataError(
            "there are no predictions to compare with.", "give the folder of a run", where=str(path)
        )
    with path.open(newline="", encoding="utf-8") as file:
        found = {(r["path"], r["start"], r["end"]): r for r in csv.DictReader(file)}
    columns = [f"p:{name}" for name in class_names]
    if found and any(column not in next(iter(found.values())) for column in columns):
        raise DataError("the baseline was trained on other classes.", where=str(path))
    logits = np.empty((len(rows), len(class_names)), dtype=np.float32)
    for i, row in enumerate(rows):
        _, *key, _, _ = _place(manifest.sample(int(row)))
        other = found.get(tuple(str(x) for x in key))  # type: ignore[arg-type]
        if other is None:
            raise DataError(
                "the baseline has not judged this sample, so the two cannot be compared.",
                "train both on the same data with the same --seed and --folds",
                where=f"{path}: {key[0]}",
            )
        logits[i] = np.log(np.maximum([float(other[c]) for c in columns], 1e-7))
    return logits


def _place(sample: Sample) -> tuple[Any, ...]:
    """id, path, start, end, split, group as predictions.csv writes them."""
    times = ("" if t is None else f"{t:.3f}" for t in (sample.start, sample.end))
    return (sample.id, sample.path, *times, sample.split or "", sample.group or "")
