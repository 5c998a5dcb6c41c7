"""A small student from a teacher's scores: a training like any other, with a teacher beside."""

from __future__ import annotations

from pathlib import Path

from marey.errors import ConfigError
from marey.jobs.outcome import Trained
from marey.jobs.train import train
from marey.training.config import TrainConfig


def distill(config: TrainConfig, *, resume: str | Path | None = None, quiet: bool = False) -> Trained:
    """Train a student, judge it and report.

    Args:
        config: of the student's training; `distill` names the teacher.
        resume, quiet: as in `train`.

    Raises:
        ConfigError: no teacher, one with other classes, or one that cannot see the student's clips. And what
            `train` raises.
    """
    if config.distill.teacher is None:
        raise ConfigError(
            "there is nobody to learn from.", "give --teacher: a run, its weights or an exported artifact"
        )
    return train(config, resume=resume, quiet=quiet)
