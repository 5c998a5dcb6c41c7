"""Judging by stored features: what `Predictor.logits` does, where the network has been run before."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from marey.data.feature_batches import FeatureTable, stack_features
from marey.data.manifest import Sample
from marey.errors import DataError
from marey.metrics.temporal import perturb
from marey.models.probe import Probe
from marey.predict.predictor import LogitTable, Policy


@dataclass(frozen=True, eq=False)
class FeaturePredictor:
    """A head, or a probe whose head is used, on the features of a manifest's samples.

    Orders other than `ordered` disturb positions. That is what disturbing the frames does where each position
    is one frame, and only there.

    Attributes:
        model: the probe.
        table: the features.
        batch: samples at once.
        device: where it runs.
    """

    model: Probe
    table: FeatureTable
    batch: int = 8
    device: str = "cpu"

    @property
    def protocol(self) -> str:
        """How a sample is judged, in words."""
        grid = self.table.folder.grid
        return f"1 clip × 1 crop from stored features, {grid or 'on an unknown grid'}"

    def logits(
        self,
        samples: Iterable[Sample],
        *,
        order: str = "ordered",
        seed: int = 0,
        policy: Policy = "error",
        advance: Callable[[int], None] | None = None,
    ) -> LogitTable:
        """Logits of all samples; arguments as in `Predictor.logits`.

        Raises:
            DataError: a sample without features, under the policy `error`.
        """
        failures: list[dict[str, Any]] = []
        ids, rows = [], []
        wanted = iter(samples)
        while group := list(itertools.islice(wanted, self.batch)):
            arrays = []
            for sample in group:
                try:
                    array = self.table.array(sample.id)
                except DataError as error:
                    if policy == "error":
                        raise
                    failures.append(
                        {"id": sample.id, "path": sample.path, "where": sample.where, "error": str(error)}
                    )
                    continue
                if order != "ordered":
                    rng = np.random.default_rng([seed, sample.id, 0])
                    array = perturb(array, np.ones(len(array), bool), order, rng)
                ids.append(sample.id)
                arrays.append(array)
            if arrays:
                rows.append(self._judge(arrays))
            if advance:
                advance(len(group))
        return LogitTable(
            np.array(ids, dtype=np.int64),
            np.concatenate(rows) if rows else np.zeros((0, self.model.num_classes), np.float32),
            np.zeros((len(ids), 2)),
            failures,
        )

    def _judge(self, arrays: list[np.ndarray]) -> np.ndarray:
        features, mask = stack_features(arrays)
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                found = self.model(features=features.to(self.device), mask=mask.to(self.device))
        finally:
            self.model.train(training)
        return np.asarray(found.float().cpu().numpy(), dtype=np.float32)
