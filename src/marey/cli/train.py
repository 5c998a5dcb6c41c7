"""`marey train`: train, judge and report."""

from __future__ import annotations

from collections.abc import Sequence

from marey.cli.parse import _take, parse
from marey.errors import UsageError
from marey.training.config import TrainConfig


def run(args: Sequence[str]) -> int:
    """Train from flags, or go on with `--resume RUN`."""
    words, resume = _take(list(args), "--resume")
    if resume and words:
        raise UsageError(
            f"--resume goes on exactly as the run began; {words[0]!r} would change it.",
            f"run: marey train --resume {resume[0]}",
        )
    config = None if resume else parse(TrainConfig, words, "train")

    from rich.console import Console

    from marey.jobs.train import resume_config, train
    from marey.report.text import audit_table, logistic_line, metrics_table

    done = train(config or resume_config(resume[0]), resume=resume[0] if resume else None)
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
