"""How far a runtime's probabilities may lie from torch's, and how far they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.metrics.calibration import probabilities
from marey.predict.about import Description

LIMIT = 1e-3  # of a probability
STEP_LIMIT = 1e-4  # of one that was come to frame by frame, against that of the whole clip


def limit_of(about: Description) -> float:
    """How far an artifact's probabilities may lie from torch's; weights in half precision have the wider limit."""
    return STEP_LIMIT if about.form == "step" and about.precision == "fp32" else LIMIT


@dataclass
class Answers:
    """What was found over many batches.

    Attributes:
        delta: the largest difference of a probability; infinite where one is no number.
        worst: the batch in which it was.
        agree, total: clips on whose most probable class both agree, and all.
    """

    delta: float = 0.0
    worst: str = ""
    agree: int = 0
    total: int = 0

    def add(
        self, wanted: NDArray[np.float32], got: NDArray[np.float32], about: Description, words: str
    ) -> None:
        """Compare logits `(B, K)` as probabilities."""
        p, q = (
            probabilities(x, temperature=about.temperature, multi_label=about.multi_label)
            for x in (wanted, got)
        )
        self.add_probabilities(p, q, words)

    def add_probabilities(self, p: NDArray[np.float64], q: NDArray[np.float64], words: str) -> None:
        """Compare probabilities `(B, K)`."""
        apart = np.abs(p - q)
        largest = float(apart.max()) if np.isfinite(apart).all() else float("inf")
        if largest >= self.delta:
            self.delta, self.worst = largest, words
        self.agree += int((p.argmax(axis=1) == q.argmax(axis=1)).sum())
        self.total += len(p)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; an infinite difference is written as 1, the largest that there can be."""
        return {
            "delta": min(self.delta, 1.0),
            "worst": self.worst,
            "top1": self.agree / max(self.total, 1),
            "clips": self.total,
        }
