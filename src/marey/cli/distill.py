"""`marey distill`: train a small student on what a teacher says."""

from __future__ import annotations

from collections.abc import Sequence

from marey.cli.parse import _take, parse
from marey.cli.train import show_trained
from marey.errors import UsageError
from marey.training.config import TrainConfig


def run(args: Sequence[str]) -> int:
    """Distill from flags, or go on with `--resume RUN`."""
    words, resume = _take(list(args), "--resume")
    if resume and words:
        raise UsageError(
            f"--resume goes on exactly as the run began; {words[0]!r} would change it.",
            f"run: marey distill --resume {resume[0]}",
        )
    config = None if resume else parse(TrainConfig, words, "distill")

    from marey.jobs.distill import distill
    from marey.jobs.train import resume_config

    return show_trained(distill(config or resume_config(resume[0]), resume=resume[0] if resume else None))
