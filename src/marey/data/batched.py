"""Augmentation of a whole batch on its device: the crops as they were cut, and what was drawn for each, to the clips
that the model sees.

What a worker does then is decode and cut; scaling, flips, warps, colours and noise are left to the GPU. The clips are
those that `ClipTransform` makes one by one on a CPU, level for level but for rounding: tests compare the two on a CPU,
over all operations; on a GPU the comparison has not been made.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from marey.data.dataset import Batch
from marey.data.transforms import change_light, fill_of
from marey.data.warp import move_batch
from marey.spec import InputSpec


def augment_batch(batch: Batch, spec: InputSpec) -> Batch:
    """Do what `batch.draws` say. A batch without draws is as it should be already.

    Args:
        batch: `inputs["rgb"]` holds the crops, uint8 `(B, T, C, H, W)`, each in the upper left corner of its place.

    Returns:
        The batch with the inputs that `spec` asks for (never flow, which a worker computes) and no draws.
    """
    if not batch.draws:
        return batch
    fill = fill_of(spec)
    moved = move_batch(batch.inputs["rgb"], batch.draws, spec.size, fill)
    inputs: dict[str, Tensor] = {}
    for name in spec.modalities:
        assert name in ("rgb", "diff"), name
        inputs[name] = _coloured(moved, batch, fill) if name == "rgb" else _difference(moved, batch.mask)
    return replace(batch, inputs=inputs, draws=())


def _coloured(moved: Tensor, batch: Batch, fill: tuple[int, ...]) -> Tensor:
    """Real frames alone are measured and changed; padding is zeros."""
    clips = [clip[:real] for clip, real in zip(moved, batch.real_frames, strict=True)]
    out = torch.zeros_like(moved)
    for place, clip in zip(out, change_light(clips, batch.draws, fill), strict=True):
        place[: len(clip)] = clip
    return out


def _difference(moved: Tensor, mask_BT: Tensor) -> Tensor:
    """As `marey.data.modalities` has it: frame_t − frame_{t−1} on the scale −1…1, zero where padding begins."""
    planes = moved.to(torch.float32)
    return (planes[:, 1:] - planes[:, :-1]) / 255 * mask_BT[:, 1:, None, None, None]
