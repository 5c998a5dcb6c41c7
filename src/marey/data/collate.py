"""How samples become a batch: laid side by side, padded to one length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from marey.data.clips import padded_length
from marey.data.dataset import Batch, Failure, Item
from marey.spec import InputSpec


def collate(
    items: Sequence[Item], spec: InputSpec, *, deferred: bool = False, room: Tensor | None = None
) -> tuple[Batch | None, list[Failure], list[int]]:
    """Items that could be loaded as one batch, padded with zeros to the longest (then as the spec needs).

    Args:
        deferred: the items hold crops of any size and their draws; see `Batch.draws`.
        room: uint8 bytes to lay the inputs in, where they fit.

    Returns:
        the batch, or None if nothing could be loaded; the failures; the ids of clamped segments.
    """
    good = [item for item in items if item.failure is None]
    failures = [item.failure for item in items if item.failure is not None]
    clamped = [item.id for item in good if item.clamped > 0]
    if not good:
        return None, failures, clamped
    length = padded_length(spec, max(len(item.mask) for item in good))
    mask = torch.zeros(len(good), length, dtype=torch.bool)
    for row, item in zip(mask, good, strict=True):
        row[: len(item.mask)] = item.mask
    inputs, memory = {}, _Room(room)
    for name in good[0].inputs:
        # flow and differences lie between frames: one fewer of them
        found = [item.inputs[name] for item in good]
        inputs[name] = _stacked(found, length - (name != "rgb"), memory)
    targets = [item.target for item in good]
    if isinstance(targets[0], np.ndarray):
        target = torch.from_numpy(np.stack([np.asarray(t) for t in targets]))
    else:
        target = torch.tensor(targets, dtype=torch.long)
    draws = tuple(item.draw for item in good if item.draw is not None) if deferred else ()
    real = tuple(int(item.mask.sum()) for item in good)
    batch = Batch(inputs, mask, target, [item.id for item in good], draws=draws, real_frames=real)
    return batch, failures, clamped


def _stacked(clips: Sequence[Tensor], length: int, room: _Room) -> Tensor:
    """Clips `(T, C, H, W)` in the corner of zeros `(B, length, C, H, W)` of the largest height and width."""
    height, width = (max(clip.shape[axis] for clip in clips) for axis in (-2, -1))
    stack = room.empty((len(clips), length, clips[0].shape[1], height, width), clips[0].dtype)
    if any(
        _same_memory(clip, stack) and not _lies(clip, place) for place, clip in zip(stack, clips, strict=True)
    ):
        clips = [clip.clone() for clip in clips]  # one would be laid over another
    for place, clip in zip(stack, clips, strict=True):
        if _lies(clip, place):
            place[len(clip) :] = 0
        elif clip.shape[-2:] == place.shape[-2:]:
            place[: len(clip)] = clip
            place[len(clip) :] = 0
        else:
            place.zero_()
            place[: len(clip), :, : clip.shape[-2], : clip.shape[-1]] = clip
    return stack


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _lies(clip: Tensor, place: Tensor) -> bool:
    """Whether a clip is already where it belongs."""
    same = clip.data_ptr() == place.data_ptr() and clip.dtype == place.dtype
    return same and clip.shape[1:] == place.shape[1:] and clip.is_contiguous()


class _Room:
    """Memory for the inputs of a batch: the bytes that are given, as far as they go, else new ones."""

    def __init__(self, given: Tensor | None) -> None:
        self._rest = given

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        size = math.prod(shape) * dtype.itemsize
        if self._rest is None or size > len(self._rest):
            self._rest = None
            return torch.empty(shape, dtype=dtype)
        taken, self._rest = self._rest[:size], self._rest[size + -size % 64 :]
        return taken.view(dtype).view(shape)
