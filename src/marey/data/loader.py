"""Batches of an epoch: the same ones whatever the number of workers, from any batch on."""

from __future__ import annotations

import functools
import gc
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from marey.data.augment import AugmentConfig
from marey.data.clips import padded_length
from marey.data.collate import collate
from marey.data.dataset import Batch, ClipDataset, Failure, Item, Key
from marey.data.manifest import Manifest
from marey.data.memory import FrameMemory
from marey.data.motion import FlowMemory, FlowSource
from marey.data.origin import DataWarning
from marey.data.randomness import epoch_order
from marey.data.room import AHEAD, batch_bytes, check_shared_memory, in_hand
from marey.data.sending import Asked, Fetched, Loaded, Ring
from marey.data.watch import Watch, WatchedDataset
from marey.errors import ConfigError
from marey.spec import InputSpec
from marey.video.reader import Truncated
from marey.video.sampling import sampler_from_dict

Policy: TypeAlias = Literal["error", "skip"]
_WORTH_SHARING = 1 << 20  # bytes of a table from which on workers map one copy


class Loader:
    """Iterating gives the batches of the current epoch; `set_epoch` chooses it. Made by `make_loader`.

    Attributes:
        failures: samples that could not be loaded, each once, in the order they were met (policy `skip`).
        clamped: rows whose segment reached less than a frame outside its video and was cut to it.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        order: _EpochBatches,
        *,
        workers: int,
        policy: Policy,
        pin: bool,
        patience: float,
    ) -> None:
        self.dataset = dataset
        self.policy = policy
        self.clamped: set[int] = set()
        self._failures: dict[int, Failure] = {}
        self._order = order
        parallel: dict[str, Any] = {}
        loaded: Any = dataset
        self._watch: Watch | None = None
        if workers:
            if dataset.manifest.table.nbytes > _WORTH_SHARING:
                self._share()
            loaded = WatchedDataset(dataset, workers)
            self._watch = Watch(loaded, patience)
            self._places = (
                in_hand(workers),
                batch_bytes(dataset.spec, order.batch, deferred=dataset.deferred),
            )
            self._new_ring(loaded)
            parallel = {
                "prefetch_factor": AHEAD,
                "persistent_workers": True,
                "multiprocessing_context": _context(),
                "worker_init_fn": _start_worker,
            }
        self._loader: DataLoader[Any] = DataLoader(
            loaded,
            batch_sampler=order,  # lists of (epoch, row)
            num_workers=workers,
            collate_fn=functools.partial(_collated, spec=dataset.spec, deferred=dataset.deferred),
            pin_memory=pin,
            generator=torch.Generator(),  # or it would draw from the global one, and resuming would differ
            **parallel,
        )

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration gives."""
        return self._order.epoch

    @property
    def failures(self) -> list[Failure]:
        return list(self._failures.values())

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Choose what the next iteration gives: `epoch`, from its batch number `start_batch` on. Batches before
        that are not loaded."""
        self._order.epoch, self._order.start = epoch, start_batch

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return self._order.total

    def __iter__(self) -> Iterator[Batch]:
        """Batches in order. One of which nothing could be loaded is left out; its number is left out with it.

        Raises:
            DataError: the first sample that cannot be loaded, under the policy `error`.
            WorkerError: a worker died or hung; names its sample.
        """
        for number, loaded in enumerate(self._loaded(), self._order.start):
            self.clamped.update(loaded.clamped)
            for failure in loaded.failures:
                if self.policy == "error":
                    self.close()
                    raise failure.error
                self._failures.setdefault(failure.id, failure)
            if loaded.batch is not None:
                yield replace(loaded.batch, number=number)

    def _loaded(self) -> Iterator[Loaded]:
        """What the workers send, until all is there or one of them is gone."""
        batches: Any = iter(self._loader)
        if self._watch is None:
            yield from batches
            return
        workers = batches._workers
        self._watch.start(workers)
        try:
            yield from batches
        # torch says that a worker is gone, and not over what; or a batch was on its way that went with its worker
        except (RuntimeError, OSError, EOFError) as error:
            named = self._watch.error(workers)
            if named is None:
                raise
            self.close()
            raise named from error
        finally:
            self._watch.stop()

    def _new_ring(self, watched: WatchedDataset) -> None:
        watched.ring = self._order.ring = Ring(*self._places)

    def _share(self) -> None:
        """Lay a large table down where the workers map it; the file goes when this loader does."""
        folder = tempfile.mkdtemp(prefix="marey-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.dataset.share(Path(folder) / "manifest.arrow")

    def close(self) -> None:
        """End the workers; iterating again starts new ones.

        Left to the garbage collector, workers that hang on an exception's traceback are waited for in vain: by
        then the queue that tells them to stop is gone.
        """
        running = getattr(self._loader, "_iterator", None)
        if running is not None:
            running._shutdown_workers()
            self._loader._iterator = None
            if self._watch is not None:
                self._new_ring(self._watch.watched)  # places on their way went with the workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_loader(
    manifest: Manifest,
    indices: Sequence[int] | NDArray[np.int64],
    spec: InputSpec,
    *,
    class_names: Sequence[str],
    train: bool,
    batch: int,
    workers: int = 0,
    seed: int = 0,
    epoch: int = 0,
    start_batch: int = 0,
    augment: AugmentConfig | None = None,
    policy: Policy = "error",
    drop_last: bool = False,
    shuffle: bool | None = None,
    device: torch.device | str | None = None,
    cache_bytes: int = 0,
    truncated: Truncated = "error",
    deferred: bool = False,
    flow: FlowSource | None = None,
    patience: float = 600.0,
) -> Loader:
    """A loader of some rows of a manifest.

    A sample is a pure function of (seed, epoch, row), and the order of (seed, epoch): the batches are the same
    for any number of workers, and starting at a batch gives exactly the rest of that epoch.

    Args:
        manifest: the samples.
        indices: the rows to load.
        spec: what the model needs.
        class_names: the order of the classes, which travels with the checkpoint.
        train: draw jitter and augmentation; else the deterministic choice of test time.
        batch: clips a batch.
        workers: processes that decode; 0 decodes in this one.
        seed: of order, jitter and augmentation.
        epoch, start_batch: what the first iteration gives; see `Loader.set_epoch`.
        augment: with `train`. None: the times are jittered, the middle is cropped, nothing else.
        policy: what a sample that cannot be loaded does: `error` stops with its typed error, naming the
            sample; `skip` leaves it out of its batch and lists it in `Loader.failures`. No other sample ever
            takes its place.
        drop_last: leave out a last batch that is not full.
        shuffle: by default as `train`.
        device: where batches will go; for a GPU they are put in pinned memory.
        cache_bytes: hold decoded frames of short videos between epochs, up to so many bytes. In this process
            alone: with workers, each sees another part of the data in every epoch and would gain little.
        truncated: what a file that ends early does: error, or give what it has.
        patience: seconds that one sample may take in a worker; one that takes longer ends with a `WorkerError`.
        deferred: leave augmentation to `marey.data.batched.augment_batch`, on the device (never with flow).
        flow: where optical flow comes from (`marey.data.flow_folder.FlowFolder`); None computes it, and then
            remembers it in half of `cache_bytes`.

    Raises:
        ConfigError: numbers that cannot be, a sampler that gives more frames than the model takes, or too little
            shared memory for the batches of so many workers.
        ManifestError: a label that `class_names` does not have.
    """
    if batch < 1 or workers < 0 or seed < 0 or epoch < 0 or start_batch < 0:
        raise ConfigError(
            "batch must be 1 or more, and workers, seed, epoch and start_batch 0 or more;"
            f" got {batch}, {workers}, {seed}, {epoch}, {start_batch}."
        )
    if policy not in ("error", "skip"):
        raise ConfigError(f"the policy for samples that fail is error or skip; got {policy!r}.")
    rows = np.asarray(indices, dtype=np.int64)
    if len(rows) == 0:
        raise ConfigError("there are no samples to load.", "is the split empty?")
    longest = sampler_from_dict(spec.sampler).length
    if longest is not None:
        padded_length(spec, longest)  # said here, where it still is the caller's own error, not in a worker
    if workers:
        check_shared_memory(spec, batch, workers, deferred=deferred)
    opener: dict[str, Any] = {}
    if cache_bytes and workers:
        warnings.warn(
            "frames are held in memory with workers=0 alone; nothing is held.", DataWarning, stacklevel=2
        )
    elif cache_bytes:
        if "flow" in spec.modalities and flow is None:
            cache_bytes //= 2
            flow = FlowMemory(cache_bytes)
        opener["opener"] = FrameMemory(cache_bytes, spec)
    dataset = ClipDataset(
        manifest, spec, class_names=class_names, train=train, augment=augment, seed=seed, truncated=truncated,
        deferred=deferred, flow=flow, **opener,
    )  # fmt: skip
    order = _EpochBatches(rows, batch, seed, train if shuffle is None else shuffle, drop_last)
    order.epoch, order.start = epoch, start_batch
    pin = device is not None and torch.device(device).type == "cuda"
    return Loader(dataset, order, workers=workers, policy=policy, pin=pin, patience=patience)


class _EpochBatches:
    """Lists of (epoch, row), from batch number `start` on; for workers with a place for each batch."""

    def __init__(
        self, rows: NDArray[np.int64], batch: int, seed: int, shuffle: bool, drop_last: bool
    ) -> None:
        self.rows, self.batch, self.seed, self.shuffle = rows, batch, seed, shuffle
        self.epoch, self.start = 0, 0
        self.ring: Ring | None = None
        self.total = len(rows) // batch if drop_last else -(-len(rows) // batch)

    def __len__(self) -> int:
        return max(self.total - self.start, 0)

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        rows = epoch_order(self.rows, self.seed, epoch) if self.shuffle else self.rows
        for number in range(self.start, self.total):
            keys: list[Key] = [
                (epoch, int(row)) for row in rows[number * self.batch : (number + 1) * self.batch]
            ]
            yield keys if self.ring is None else Asked(keys, self.ring.take())


def _collated(fetched: Fetched | list[Item], spec: InputSpec, deferred: bool) -> Loaded:
    if isinstance(fetched, list):
        return Loaded(*collate(fetched, spec, deferred=deferred))
    return Loaded(*collate(fetched.items, spec, deferred=deferred, room=fetched.room), fetched)


def _context() -> Any:
    """How workers start. A fork would copy this process with the locks of torch's, FFmpeg's and the GPU's threads
    held by threads that do not live on in the copy, and hang sooner or later. A server that has imported all
    that a worker needs and started no thread is forked instead: as quick, and safe. Windows has `spawn` alone.
    """
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["marey.data.loader"])
    return context


def _start_worker(_: int) -> None:
    """One thread a worker: as many workers as cores share them out best. What is imported by now stays, and need not
    be gone through each time that Python looks for garbage."""
    gc.freeze()
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    """Leave when the training process is gone, killed without a word or not. torch's own watch looks at the
    process that forked the worker, and that is the server, which lives as long as its workers do."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
