"""Predictions -> numbers: classification, calibration, intervals, the temporal audit. NumPy and SciPy only.

Names are imported when they are first used: a prediction needs the probabilities alone, and SciPy takes as long to
import as all else together.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_PUBLIC = {"KINDS": "temporal", "audit": "temporal", "judge": "classification", "perturb": "temporal"}

__all__ = ["KINDS", "audit", "judge", "perturb"]

if TYPE_CHECKING:
    from marey.metrics.classification import judge as judge
    from marey.metrics.temporal import KINDS as KINDS
    from marey.metrics.temporal import audit as audit
    from marey.metrics.temporal import perturb as perturb


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'marey.metrics' has no attribute {name!r}")
    return getattr(importlib.import_module(f"marey.metrics.{_PUBLIC[name]}"), name)
