"""How batches come from workers to the training process: through places in shared memory that are used over and over.

torch lays every tensor of every batch into shared memory of its own. The system then finds, clears and maps some
megabytes a batch in both processes, and drops them again, which takes longer than to fill them. Here a batch is laid
into a place that stays mapped. The training process says with each list of rows which place is free, and a place is
free again when nothing there holds the batch that lay in it. Whoever keeps batches, keeps them unchanged: where no
place is free, or none is large enough, a batch travels as torch sends it.
"""

from __future__ import annotations

import itertools
import weakref
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marey.data.dataset import Batch, Failure, Item, Key
from marey.errors import WorkerError

_ALIGN = 64
_KEYS = itertools.count()
_RINGS: weakref.WeakValueDictionary[int, Ring] = weakref.WeakValueDictionary()


class Ring:
    """Places for batches in memory that processes share. Nothing of it is taken before it is written to.

    Args:
        places: how many.
        size: bytes of each.
    """

    def __init__(self, places: int, size: int) -> None:
        size += -size % _ALIGN
        storage = torch.UntypedStorage._new_shared(places * size)
        self.memory = torch.empty(0, dtype=torch.uint8).set_(storage).view(places, size)
        self.key = next(_KEYS)
        self._free = list(range(places))
        _RINGS[self.key] = self

    def __getstate__(self) -> dict[str, Any]:
        """For a worker, which writes where it is told and gives out nothing."""
        return {"memory": self.memory, "key": self.key}

    def take(self) -> int | None:
        """A free place, if there is one."""
        return self._free.pop() if self._free else None

    def give_back(self, place: int) -> None:
        """Nothing lies there any more."""
        self._free.append(place)

    def held(self, place: int) -> Tensor:
        """The bytes of a place; when no tensor that shares them is left, the place is free."""
        array = self.memory[place].numpy()
        weakref.finalize(array, self._free.append, place).atexit = False
        return torch.from_numpy(array)  # its memory holds on to the array, and so do all views of it


@dataclass(frozen=True)
class Asked:
    """What a worker is asked for: these samples, and the place to lay them in."""

    keys: list[Key]
    place: int | None


@dataclass(frozen=True, eq=False)
class Fetched:
    """What it has read, before it is one batch."""

    items: list[Item]
    ring: Ring | None = None
    place: int | None = None

    @property
    def room(self) -> Tensor | None:
        """The place in memory."""
        return None if self.ring is None or self.place is None else self.ring.memory[self.place]


class Loaded:
    """What a worker sends. A class, so that the loader pins its tensors and leaves the rest alone.

    Args:
        batch: None where nothing could be loaded.
        failures, clamped: see `marey.data.collate.collate`.
        fetched: where it was made of.
    """

    def __init__(
        self,
        batch: Batch | None,
        failures: list[Failure],
        clamped: list[int],
        fetched: Fetched | None = None,
    ) -> None:
        self.batch, self.failures, self.clamped, self._fetched = batch, failures, clamped, fetched

    def pin_memory(self) -> Loaded:
        return Loaded(self.batch and self.batch.pin_memory(), self.failures, self.clamped)

    def __reduce__(self) -> tuple[Any, ...]:
        room = None if self._fetched is None else self._fetched.room
        if self._fetched is None or self._fetched.ring is None or room is None:
            return Loaded, (self.batch, self.failures, self.clamped)
        lying = None
        if self.batch is not None:
            batch = self.batch
            lying = {
                name: (x.data_ptr() - room.data_ptr(), x.shape, x.dtype) for name, x in batch.inputs.items()
            }
            if all(0 <= at < len(room) for at, _, _ in lying.values()):
                small = (batch.mask.numpy(), batch.target.numpy(), batch.ids, batch.draws, batch.real_frames)
                sent = self._fetched.ring.key, self._fetched.place, lying, small, self.failures, self.clamped
                return _from_place, sent
        loaded = Loaded(self.batch and _out_of(room, self.batch), self.failures, self.clamped)
        return _from_elsewhere, (self._fetched.ring.key, self._fetched.place, loaded)


def _out_of(room: Tensor, batch: Batch) -> Batch:
    """A batch of which nothing lies in the place any more: it is free when the batch arrives, where another of its
    inputs did not fit in."""
    there = range(room.data_ptr(), room.data_ptr() + len(room))
    return replace(
        batch, inputs={name: x.clone() if x.data_ptr() in there else x for name, x in batch.inputs.items()}
    )


def _from_place(
    key: int,
    place: int,
    lying: dict[str, tuple[int, torch.Size, torch.dtype]],
    small: tuple[np.ndarray, np.ndarray, list[int], tuple[Any, ...], tuple[int, ...]],
    failures: list[Failure],
    clamped: list[int],
) -> Loaded:
    """The batch that lies in a place of this process's ring.

    Raises:
        WorkerError: the loader whose ring it is was closed while the batch was on its way.
    """
    ring = _RINGS.get(key)
    if ring is None:
        raise WorkerError(
            "a batch arrived whose place in shared memory is gone: its loader was closed or thrown away while the "
            "workers still sent.",
            "iterate over a loader in the process that made it, and do not go on with an iterator after closing it",
        )
    room = ring.held(place)
    inputs = {
        name: room[at : at + shape.numel() * dtype.itemsize].view(dtype).view(shape)
        for name, (at, shape, dtype) in lying.items()
    }
    mask, target, ids, draws, real = small
    batch = Batch(
        inputs, torch.from_numpy(mask), torch.from_numpy(target), ids, draws=draws, real_frames=real
    )
    return Loaded(batch, failures, clamped)


def _from_elsewhere(key: int, place: int, loaded: Loaded) -> Loaded:
    """A batch that did not lie in the place that was kept for it."""
    if key in _RINGS:
        _RINGS[key].give_back(place)
    return loaded
