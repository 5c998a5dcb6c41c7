"""What the loader's workers are doing, as the training process sees it: which sample each has in hand, since when,
and a word for the one that died or does not come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from marey.data.dataset import ClipDataset, Item, Key
from marey.data.sending import Asked, Fetched, Ring
from marey.errors import WorkerError

_EVERY_S = 0.5
_SIGNALS = {-9: "was killed, as the system does when memory runs out", -11: "crashed (a fault of a decoder)",
            -7: "crashed on a bus error, as where shared memory (/dev/shm) is full, or a pack was written over",
            -6: "gave up (a fault of a decoder)"}  # fmt: skip


class WatchedDataset(Dataset[Item]):
    """A data set that says in shared memory which sample it is loading.

    Args:
        dataset: the samples.
        workers: how many processes will load.
    """

    def __init__(self, dataset: ClipDataset, workers: int) -> None:
        self.dataset = dataset
        # of each worker: the row in hand (-1: none), and since when on the clock that all processes share
        self.ring: Ring | None = None  # where batches are laid
        self.hands = torch.full((workers, 2), -1.0, dtype=torch.float64).share_memory_()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, asked: Asked) -> Fetched:
        """All samples of a batch; torch calls this rather than asking for one after the other."""
        fetched = Fetched([], self.ring, asked.place)
        places = self.dataset.places(fetched.room, len(asked.keys))
        fetched.items.extend(self._load(key, place) for key, place in zip(asked.keys, places, strict=True))
        return fetched

    def __getitem__(self, key: Key) -> Item:
        return self._load(key, None)

    def _load(self, key: Key, place: Tensor | None) -> Item:
        worker = get_worker_info()
        assert worker is not None, "only workers are watched"
        hand = self.hands[worker.id]
        hand[1] = time.monotonic()
        hand[0] = key[1]
        try:
            return self.dataset.load(key, place)
        finally:
            hand[0] = -1


class Watch:
    """Ends workers that hold on to one sample for too long, and says who died over what.

    Args:
        watched: what the workers load from.
        patience: seconds that one sample may take.
    """

    def __init__(self, watched: WatchedDataset, patience: float) -> None:
        self.watched, self._patience = watched, patience
        self._hung: dict[int, int] = {}
        self._over = threading.Event()

    def start(self, workers: Sequence[BaseProcess]) -> None:
        """Look at these processes until `stop`."""
        self.stop()
        self._hung.clear()
        self._over = threading.Event()
        threading.Thread(target=self._look, args=(list(workers), self._over), daemon=True).start()

    def stop(self) -> None:
        """Look no longer."""
        self._over.set()

    def error(self, workers: Sequence[BaseProcess]) -> WorkerError | None:
        """The error that names the first worker that is gone, and the sample that it had in hand."""
        for number, process in enumerate(workers):
            process.join(0.2)  # its connections are closed a moment before it counts as ended
            if number in self._hung or not process.is_alive():
                return self._error(number, process.exitcode)
        return None

    def _look(self, workers: list[BaseProcess], over: threading.Event) -> None:
        while not over.wait(min(_EVERY_S, self._patience / 4)):
            now = time.monotonic()
            for number, (row, since) in enumerate(self.watched.hands.tolist()):
                late = row >= 0 and now - since > self._patience and number not in self._hung
                if late and workers[number].is_alive():
                    self._hung[number] = int(row)
                    workers[number].kill()  # the loader sees it die, within its five seconds

    def _error(self, number: int, code: int | None) -> WorkerError:
        row = self._hung.get(number, int(self.watched.hands[number, 0]))
        details: list[Any] = []
        where = None
        if row >= 0:
            sample = self.watched.dataset.manifest.sample(row)
            where = sample.where or None
            details.append(f"sample {row}: {sample.path}")
        doing = "while it loaded this sample" if row >= 0 else "between two samples"
        if number in self._hung:
            what = (
                f"worker {number} did not come back from this sample for {self._patience:g} s and was ended."
            )
            details.append("look at the file (marey data check), and at the disk that it lies on")
        else:
            how = _SIGNALS.get(code or 0, f"ended with exit code {code}")
            what = f"worker {number} {how}, {doing}."
            details.append("lower --workers or --batch if memory is short, or look at the file")
        return WorkerError(what, *details, where=where)
