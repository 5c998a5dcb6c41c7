"""From a clip's frames to the inputs of a model, by modality. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.types import BoolArray, Clip, FloatArray, UInt8Array


def clip_inputs(
    clip: Clip, modalities: tuple[str, ...], *, flow_method: str = "dis-medium"
) -> dict[str, NDArray[Any]]:
    """What `forward` takes, by name, without the batch axis.

    Args:
        clip: frames uint8 `(T, H, W, 3)` at the size that the network sees.
        modalities: from `rgb`, `flow`, `diff`.
        flow_method: a name from `marey.video.flow.METHODS`.

    Returns:
        rgb: uint8 `(T, 3, H, W)`;
        flow: float32 `(T−1, 2, H, W)`, −1…1 for ∓20 pixels a frame interval, cut off there as 8-bit flow is;
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
            inputs[name] = _flow(clip.frames, clip.times, clip.mask, flow_method)
    return inputs


def channels_first(frames: UInt8Array) -> UInt8Array:
    """`(T, H, W, C)` as decoded to `(T, C, H, W)` as networks take it."""
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))


def _difference(frames: UInt8Array, mask: BoolArray) -> NDArray[np.float32]:
    planes = channels_first(frames).astype(np.float32)
    change = np.diff(planes, axis=0) / np.float32(255)
    change[~mask[1:]] = 0
    return change


def _flow(frames: UInt8Array, times: FloatArray, mask: BoolArray, method: str) -> NDArray[np.float32]:
    from marey.video.flow import BOUND, compute_flow

    real = int(mask.sum())
    fields = np.zeros((max(len(frames) - 1, 0), 2, *frames.shape[1:3]), dtype=np.float32)
    if real > 1:
        found = compute_flow(frames[:real], times[:real], method).fields
        fields[: real - 1] = np.clip(found / np.float32(BOUND), -1, 1)
    return fields
