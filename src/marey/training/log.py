"""Where a training's numbers go: results.csv and log.txt always, other loggers by choice."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from marey.errors import require
from marey.files import write_text

COLUMNS = (
    "epoch", "step", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_map", "clips_per_s", "data_wait",
    "seconds",
)  # fmt: skip
"""Of results.csv. val_map is what a localizer has, top-1 what a classifier has."""


def write_results(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write results.csv whole: a resumed run has each epoch once."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows([{k: _cell(row.get(k)) for k in COLUMNS} for row in rows])
    write_text(path, text.getvalue())


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


class RunLog:
    """Lines for people, on the terminal and in log.txt; numbers for the loggers that were asked for.

    Args:
        folder: the run folder.
        loggers: from "tensorboard", "wandb", "mlflow".
        config: what the loggers store as the run's settings.
        quiet: no lines on the terminal (another process speaks).
    """

    def __init__(
        self,
        folder: Path,
        loggers: Sequence[str] = (),
        config: dict[str, Any] | None = None,
        quiet: bool = False,
    ) -> None:
        self.folder, self.quiet = folder, quiet
        self._file = (folder / "log.txt").open("a", encoding="utf-8")
        self._sinks = [_SINKS[name](folder, config or {}) for name in loggers]

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.line(f"stopped: {type(error).__name__}: {error}", shown=False)
        for sink in self._sinks:
            sink.close()
        self._file.close()

    def line(self, text: str, *, shown: bool = True) -> None:
        """One line, stamped in the file, plain on the terminal."""
        self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        self._file.flush()
        if shown:
            self.show(text)

    def show(self, text: str) -> None:
        """One line on the terminal alone, of what the file has already."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def numbers(self, row: dict[str, Any]) -> None:
        """One epoch's row."""
        values = {k: float(v) for k, v in row.items() if isinstance(v, (int, float))}
        for sink in self._sinks:
            sink.write(values, int(row["step"]))

    @contextmanager
    def progress(self, text: str, total: int, unit: str = "clips") -> Iterator[Any]:
        """A bar with rate and time left where there is a terminal; nothing where there is none (the epoch's
        line says it all). Gives a function that is told how many are done."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda n: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(text, total=total, rate="")
            started = time.monotonic()
            done = 0

            def advance(n: int) -> None:
                nonlocal done
                done += n
                rate = done / max(1e-9, time.monotonic() - started)
                bar.update(task, advance=n, rate=f"{rate:.1f} {unit}/s")

            yield advance


def check_loggers(names: Sequence[str]) -> None:
    """Raise the `MissingExtraError` of the first logger that is not installed, before a run is begun."""
    for name in names:
        require(name, name)


class _TensorBoard:
    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        require("tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder / "tensorboard"))

    def write(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        wandb: Any = require("wandb", "wandb")
        self._run: Any = wandb.init(project="marey", name=folder.name, dir=str(folder), config=config)

    def write(self, values: dict[str, float], step: int) -> None:
        self._run.log(values, step=step)

    def close(self) -> None:
        self._run.finish()


class _Mlflow:
    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        mlflow: Any = require("mlflow", "mlflow")
        self._mlflow = mlflow
        self._mlflow.start_run(run_name=folder.name)
        self._mlflow.log_dict(config, "config.yaml")

    def write(self, values: dict[str, float], step: int) -> None:
        self._mlflow.log_metrics(values, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


_SINKS: dict[str, Any] = {"tensorboard": _TensorBoard, "wandb": _Wandb, "mlflow": _Mlflow}
