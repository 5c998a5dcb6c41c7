"""Stored features of a manifest's samples, and batches of them: what a head learns from in place of clips."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from marey.data.dataset import Batch, Failure
from marey.data.features import FeatureFolder, Features, check_widths
from marey.data.loader import Policy
from marey.data.manifest import Manifest
from marey.data.randomness import epoch_order
from marey.errors import DataError

IN_MEMORY = 2 << 30  # bytes; beyond it, features are read from the disk as they are used


class FeatureTable:
    """The features of every sample of a manifest, by row.

    Attributes:
        folder: where they lie.
        manifest: the samples.
        width: D.
        positions: the most that a sample has.
        failures: row to what was wrong, of samples that have none.
    """

    def __init__(self, folder: FeatureFolder, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.failures: dict[int, Failure] = {}
        self._held: dict[int, Features] = {}
        held, self.positions = 0, 0
        widths: list[tuple[str, Features]] = []
        for row in range(len(manifest)):
            try:
                array = self._read(row)
            except DataError as error:
                sample = manifest.sample(row)
                self.failures[row] = Failure(row, sample.path, error, sample.where)
                continue
            widths.append((manifest.sample(row).path, array[:1].copy()))
            self.positions = max(self.positions, len(array))
            if held + array.nbytes <= IN_MEMORY:
                self._held[row] = np.array(array, dtype=np.float32)
                held += self._held[row].nbytes
        if not widths:
            first = next(iter(self.failures.values()))
            raise DataError(
                f"none of the {len(manifest)} samples has features here.",
                f"the first: {first.error}",
                where=str(folder.path),
            )
        self.width = check_widths(widths)

    def array(self, row: int) -> Features:
        """Float32 `(T', D)`.

        Raises:
            DataError: this sample has none; says why.
        """
        if row in self.failures:
            raise self.failures[row].error
        if row in self._held:
            return self._held[row]
        return np.array(self._read(row), dtype=np.float32)

    def _read(self, row: int) -> Features:
        sample = self.manifest.sample(row)
        try:
            return self.folder.read(sample.path, sample.start, sample.end)
        except DataError as error:
            if sample.where:
                error.details = (*error.details, f"sample {row}: {sample.where}")
            raise


class FeatureBatches:
    """Iterating gives the batches of the current epoch, as `marey.data.loader.Loader` does for clips.

    Args:
        table: the features.
        rows: the samples to load.
        targets: int `(N,)`, or 0/1 `(N, K)`, of all rows of the manifest.
        batch: samples a batch.
        seed: of the order.
        policy: `error` stops at a sample without features, `skip` leaves it out and lists it.
    """

    clamped: frozenset[int] = frozenset()  # segments are cut where positions lie, to no frame

    def __init__(
        self,
        table: FeatureTable,
        rows: NDArray[np.int64],
        targets: NDArray[np.int64],
        *,
        batch: int,
        seed: int,
        policy: Policy,
    ) -> None:
        self.table, self.rows, self.targets, self.batch, self.seed = table, rows, targets, batch, seed
        self.failures = [table.failures[int(row)] for row in rows if int(row) in table.failures]
        if self.failures and policy == "error":
            raise self.failures[0].error
        self._epoch, self._start = 0, 0

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Choose what the next iteration gives: `epoch`, from its batch number `start_batch` on."""
        self._epoch, self._start = epoch, start_batch

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch)

    def __iter__(self) -> Iterator[Batch]:
        order = epoch_order(self.rows, self.seed, self._epoch)
        for number in range(self._start, len(self)):
            chosen = order[number * self.batch : (number + 1) * self.batch]
            rows = [int(row) for row in chosen if int(row) not in self.table.failures]
            if rows:
                features, mask = stack_features([self.table.array(row) for row in rows])
                target = torch.from_numpy(np.asarray(self.targets[rows]))
                yield Batch(
                    {"features": features}, mask, target if target.ndim == 1 else target.float(), rows, number
                )

    def close(self) -> None:
        """Nothing is held open."""


def stack_features(arrays: list[Features]) -> tuple[torch.Tensor, torch.Tensor]:
    """Arrays `(T', D)` as `(B, T', D)`, padded with zeros to the longest, and the mask `(B, T')`."""
    longest = max(map(len, arrays))
    features = torch.zeros(len(arrays), longest, arrays[0].shape[1])
    mask = torch.zeros(len(arrays), longest, dtype=torch.bool)
    for row, array in enumerate(arrays):
        features[row, : len(array)] = torch.from_numpy(np.ascontiguousarray(array))
        mask[row, : len(array)] = True
    return features, mask
