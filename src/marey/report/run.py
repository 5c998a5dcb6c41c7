"""What a run folder holds, read with patience: a part that is missing or damaged is named, never a crash."""

from __future__ import annotations

import csv
import heapq
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marey.errors import DataError

csv.field_size_limit(2**31 - 1)  # one column a class makes long rows


@dataclass(frozen=True)
class Mistake:
    """One confident wrong answer.

    Attributes:
        probability_of_truth: what the model gave the (best) true class, None where not recorded.
    """

    id: str
    path: str
    start: float | None
    end: float | None
    label: str
    predicted: str
    score: float
    group: str
    fold: str
    probability_of_truth: float | None = None


@dataclass
class RunData:
    """One run, as far as its folder tells.

    Attributes:
        folder: the run folder.
        metrics: metrics.json, {} where there is none.
        results: rows of results.csv, text to number where it is one.
        mistakes: the most confident wrong predictions, worst first.
        wrong, predictions: how many there are in all; None where predictions.csv is not there.
        config, command: text of config.yaml and command.txt.
        environment: environment.json.
        notes: what could not be read, in words.
    """

    folder: Path
    metrics: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, float | None]] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    wrong: int | None = None
    predictions: int | None = None
    config: str = ""
    command: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """name -> metrics of a comparison; empty for a single run."""
        found = self.metrics.get("models")
        return {str(k): v for k, v in found.items() if isinstance(v, dict)} if isinstance(found, dict) else {}


def read_run(folder: str | Path, *, metrics: Mapping[str, Any] | None = None, mistakes: int = 12) -> RunData:
    """Read a run folder.

    Args:
        folder: need not hold everything; need not even exist when `metrics` is given.
        metrics: in place of metrics.json.
        mistakes: how many of the worst to keep.

    Raises:
        DataError: there is no such folder and no `metrics`.
    """
    folder = Path(folder)
    if not folder.is_dir() and metrics is None:
        raise DataError(
            "there is no run folder here.", "give the folder that holds metrics.json.", where=str(folder)
        )
    run = RunData(folder)
    run.metrics = dict(metrics) if metrics is not None else _json(run, "metrics.json")
    run.environment = _json(run, "environment.json")
    run.config, run.command = _text(run, "config.yaml"), _text(run, "command.txt").strip()
    run.results = _results(run)
    _predictions(run, mistakes)
    return run


def _text(run: RunData, name: str) -> str:
    try:
        return (run.folder / name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        run.notes.append(f"{name} is not in the run folder")
    except OSError as error:
        run.notes.append(f"{name} cannot be read: {error.strerror}")
    return ""


def _json(run: RunData, name: str) -> dict[str, Any]:
    text = _text(run, name)
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        run.notes.append(f"{name} is not valid JSON: {error}")
        return {}
    if not isinstance(found, dict):
        run.notes.append(f"{name} holds no table of names and values")
        return {}
    return found


def _number(text: str | None) -> float | None:
    try:
        return None if text is None or text == "" else float(text)
    except ValueError:
        return None


def _results(run: RunData) -> list[dict[str, float | None]]:
    text = _text(run, "results.csv")
    return [
        {str(key): _number(value) for key, value in row.items() if not isinstance(value, list)}
        for row in csv.DictReader(text.splitlines())
    ]


def _predictions(run: RunData, keep: int) -> None:
    """Stream predictions.csv: it holds a row a sample and a column a class, so it is never held whole."""
    path = run.folder / "predictions.csv"
    multi_label = run.metrics.get("task") == "multi-label"
    worst: list[tuple[float, int, Mistake]] = []
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            at = {name: i for i, name in enumerate(header)}
            missing = [name for name in ("path", "label", "predicted", "score") if name not in at]
            if missing:
                run.notes.append(f"predictions.csv has no column {missing[0]!r}")
                return
            run.predictions = run.wrong = 0
            for number, row in enumerate(rows):
                if len(row) < len(header):
                    continue
                run.predictions += 1
                label, predicted = row[at["label"]], row[at["predicted"]]
                labels = label.split("|") if multi_label else [label]
                # A multi-label answer is the list of classes above the threshold: wrong where one is not held
                guesses = [g for g in predicted.split("|") if g] if multi_label else [predicted]
                false = [g for g in guesses if g not in labels]
                if not label or not (false if multi_label else predicted != label):
                    continue
                run.wrong += 1
                truth = [p for p in (_cell(row, at, f"p:{name}") for name in labels) if p is not None]
                held = [p for p in (_cell(row, at, f"p:{name}") for name in false) if p is not None]
                score = max(held) if multi_label and held else (_number(row[at["score"]]) or 0.0)
                mistake = Mistake(
                    id=row[at["id"]] if "id" in at else str(number),
                    path=row[at["path"]],
                    start=_cell(row, at, "start"),
                    end=_cell(row, at, "end"),
                    label=label,
                    predicted=predicted,
                    score=score,
                    group=row[at["group"]] if "group" in at else "",
                    fold=row[at["fold"]] if "fold" in at else "",
                    probability_of_truth=max(truth) if truth else None,
                )
                item = (score, -number, mistake)  # equal scores: the earlier row is the worse
                (heapq.heappush if len(worst) < keep else heapq.heappushpop)(worst, item)
    except FileNotFoundError:
        run.notes.append("predictions.csv is not in the run folder")
    except (OSError, csv.Error) as error:
        run.notes.append(f"predictions.csv cannot be read: {error}")
    run.mistakes = [mistake for _, _, mistake in sorted(worst, key=lambda item: item[:2], reverse=True)]


def _cell(row: list[str], at: Mapping[str, int], name: str) -> float | None:
    return _number(row[at[name]]) if name in at else None
