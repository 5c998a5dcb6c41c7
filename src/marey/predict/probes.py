"""Clips that are the same on every machine, made of whole numbers alone.

What torch said of them stands in an artifact's certificate, so that a runtime on a machine without torch can be held
against torch. They move, have edges and grain, and differ from each other; they are no videos.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.spec import InputSpec

COUNT = 4
_SPEEDS = ((3, 0), (0, -2), (-4, 1), (2, 5))  # pixels a frame, to the right and down


def probe_inputs(spec: InputSpec, *, batch: int = COUNT) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
    """Inputs by modality and a mask, as a runtime takes them, of `spec.padded_frames(spec.frames)` frames, all real."""
    frames = spec.padded_frames(spec.frames)
    rgb = np.stack([_clip(number, frames, spec.size) for number in range(batch)])
    planes = rgb.astype(np.int64)
    inputs: dict[str, NDArray[Any]] = {}
    for name in spec.modalities:
        if name == "rgb":
            inputs[name] = rgb
        elif name == "diff":
            inputs[name] = (np.diff(planes, axis=1) / 255).astype(np.float32)
        else:  # fields that vary from place to place and in time, in 8-bit steps as flow has
            inputs[name] = ((planes[:, 1:, :2] - 128) // 4 / 127).astype(np.float32)
    return inputs, np.ones((batch, frames), dtype=bool)


def _clip(number: int, frames: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Three crossed gratings and some grain, moving as one: `(T, 3, H, W)`."""
    across, down = _SPEEDS[number % len(_SPEEDS)]
    t = np.arange(frames, dtype=np.int64)[:, None, None, None]
    c = np.arange(3, dtype=np.int64)[None, :, None, None]
    y = np.arange(size[0], dtype=np.int64)[None, None, :, None] - down * t
    x = np.arange(size[1], dtype=np.int64)[None, None, None, :] - across * t
    wave = _triangle((5 + number) * x + (2 + c) * y) + _triangle(
        (3 * c - 7) * x + (9 - number) * y + 90 * number
    )
    grain = ((x + 4099) * 2654435761 ^ (y + 8209) * 2246822519 ^ (c + 1 + number) * 3266489917) >> 7 & 63
    return np.clip(wave // 2 * 3 // 4 + grain, 0, 255).astype(np.uint8)


def _triangle(phase: NDArray[np.int64]) -> NDArray[np.int64]:
    """0…255…0, with a period of 510."""
    return np.abs(phase % 510 - 255)
