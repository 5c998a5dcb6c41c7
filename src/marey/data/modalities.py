"""From a clip's frames to the inputs of a model, by modality. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.data.motion import STILL, compute_fields
from marey.types import BoolArray, Clip, UInt8Array


def clip_inputs(
    clip: Clip, modalities: tuple[str, ...], *, flow_method: str = "dis-medium"
) -> dict[str, NDArray[Any]]:
    """What `forward` takes, by name, without the batch axis.

    Args:
        clip: frames uint8 `(T, H, W, 3)` at the size that the network sees, with their flow. A clip that
            brings none, of frames from elsewhere, has it computed here, of these frames as they are.
        modalities: from `rgb`, `flow`, `diff`.
        flow_method: for such a clip: a name from `marey.video.flow.METHODS`.

    Returns:
        rgb: uint8 `(T, 3, H, W)`;
        flow: float32 `(T−1, 2, H, W)`, −1…1 for ∓20 pixels a frame interval;
        diff: float32 `(T−1, 3, H, W)`, frame_t − frame_{t−1}, −1…1 for ∓255 levels.
        Field i lies between frames i and i+1, and is zero where the later of them is padding.
    """
    inputs: dict[str, NDArray[Any]] = {}
    for name in modalities:
        if name == "rgb":
            inputs[name] = channels_first(clip.frames)
        elif name == "diff":
            inputs[name] = _difference(clip.frames, clip.mask)
        else:
            fields = clip.flow
            if fields is None:
                fields = compute_fields(clip.frames, clip.times, clip.mask[1:], flow_method)
            inputs[name] = flow_input(fields)
    return inputs


def flow_input(fields: UInt8Array) -> NDArray[np.float32]:
    """8-bit flow as a network takes it: −1…1 for ∓20 pixels, float32 of the same shape."""
    return (fields.astype(np.float32) - STILL) / np.float32(127)


def channels_first(frames: UInt8Array) -> UInt8Array:
    """`(T, H, W, C)` as decoded to `(T, C, H, W)` as networks take it."""
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))


def _difference(frames: UInt8Array, mask: BoolArray) -> NDArray[np.float32]:
    planes = channels_first(frames).astype(np.float32)
    change = np.diff(planes, axis=0) / np.float32(255)
    change[~mask[1:]] = 0
    return change
