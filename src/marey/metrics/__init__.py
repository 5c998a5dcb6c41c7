"""Predictions -> numbers: classification, calibration, intervals, the temporal audit. NumPy only."""

from marey.metrics.classification import judge
from marey.metrics.temporal import KINDS, audit, perturb

__all__ = ["KINDS", "audit", "judge", "perturb"]
