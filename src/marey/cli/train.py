"""`marey train`: train, judge and report."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from marey.cli.parse import _take, parse
from marey.errors import UsageError
from marey.training.config import TrainConfig
from marey.training.localizer_config import LocalizerConfig

if TYPE_CHECKING:
    from marey.jobs.outcome import Trained


def run(args: Sequence[str]) -> int:
    """Train from flags, or go on with `--resume RUN`. `--task localize` and `--task dense` train a localizer."""
    words, resume = _take(list(args), "--resume")
    if _localizes(words, resume):
        return _train_localizer(words, resume)
    if resume and words:
        raise UsageError(
            f"--resume goes on exactly as the run began; {words[0]!r} would change it.",
            f"run: marey train --resume {resume[0]}",
        )
    config = None if resume else parse(TrainConfig, words, "train")

    from marey.jobs.train import resume_config, train

    return show_trained(train(config or resume_config(resume[0]), resume=resume[0] if resume else None))


def show_trained(done: Trained) -> int:
    """Print what a training gave, and where it lies."""
    from rich.console import Console

    from marey.report.text import audit_table, logistic_line, metrics_table

    console = Console()
    console.print(metrics_table(done.metrics))
    if done.metrics.get("logistic"):
        print(logistic_line(done.metrics))
    if done.metrics.get("audit"):
        console.print(audit_table(done.metrics["audit"], done.metrics["protocol"]))
    for path in done.weights:
        print(f"weights: {path}")
    print(f"report:  {done.report}")
    if done.metrics["failures"]:
        print(
            f"warning: {len(done.metrics['failures'])} samples could not be read; they are listed in the report."
        )
    return 0


def _localizes(words: Sequence[str], resume: Sequence[str]) -> bool:
    """Whether a localizer is meant: by --task, by the configuration file, or by the run to go on with."""
    import yaml

    task = [b for a, b in pairwise(words) if a == "--task"]
    task += [w.partition("=")[2] for w in words if w.startswith("--task=")]
    files = [Path(b) for a, b in pairwise(words) if a == "--config"]
    files += [Path(run) / "config.yaml" for run in resume]
    for file in files:
        if file.is_file():
            tree = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
            task += [str(tree.get("task"))] if isinstance(tree, dict) and "task" in tree else []
    return bool(task)


def _train_localizer(words: Sequence[str], resume: Sequence[str]) -> int:
    if resume and words:
        raise UsageError(
            f"--resume goes on exactly as the run began; {words[0]!r} would change it.",
            f"run: marey train --resume {resume[0]}",
        )
    config = None if resume else parse(LocalizerConfig, words, "train")

    from rich.console import Console

    from marey.jobs.localizing import resume_localizer_config, train_localizer
    from marey.report.text import timelines_table

    done = train_localizer(config or resume_localizer_config(resume[0]), resume=resume[0] if resume else None)
    Console().print(timelines_table(done.metrics))
    print(f"weights: {done.weights}")
    print(f"report:  {done.report}")
    return 0
