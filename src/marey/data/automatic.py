"""RandAugment and TrivialAugment for clips: which operations, and how strong. NumPy only.

RandAugment: Cubuk et al. 2019, arXiv 1909.13719. TrivialAugment (wide): Müller, Hutter 2021, arXiv 2103.10158.
The operations and their ranges are those of the papers but for two things that motion asks for:

- No operation turns a direction of motion by more than 30°, so that "left" stays left: TrivialAugment's turn ends
  at 30° (not 135°) and its shear at 0.5 (not 0.99). There is no mirror among them; flips have settings of their own,
  which take the label along. The operations of one clip are different ones, so that no turn is made twice.
- All that moves pixels is done before all that changes colours, because flow is computed between the two.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from marey.data.augment import MAGNITUDES
from marey.data.draws import Operation

# the value of each operation at its strongest, RandAugment's and TrivialAugment's
WARPS = {
    "shear_x": (0.3, 0.5),  # pixels sideways for each pixel down
    "shear_y": (0.3, 0.5),
    "shift_x": (150 / 331, 32 / 224),  # share of the side
    "shift_y": (150 / 331, 32 / 224),
    "turn": (30.0, 30.0),  # degrees, clockwise on the screen
}
_FACTORS = dict.fromkeys(("brightness", "contrast", "saturation", "sharpness"), (0.9, 0.99))
_BITS_LOST = (4, 6)  # of 8, by posterize
NAMES = ("nothing", *WARPS, *_FACTORS, "posterize", "solarize", "autocontrast", "equalize")


def rand_augment(rng: np.random.Generator, count: int, strength: int) -> list[Operation]:
    """`count` different operations (all, if there are fewer) at `strength` of 30, in either direction."""
    chosen = rng.permutation(len(NAMES))[:count]
    return [_operation(NAMES[int(i)], strength / MAGNITUDES, rng, 0) for i in chosen]


def trivial_augment(rng: np.random.Generator) -> list[Operation]:
    """One operation at any strength."""
    name = NAMES[int(rng.integers(len(NAMES)))]
    return [_operation(name, int(rng.integers(MAGNITUDES + 1)) / MAGNITUDES, rng, 1)]


def _operation(name: str, share: float, rng: np.random.Generator, kind: int) -> Operation:
    """At a share 0…1 of its strongest; `kind` 0 is RandAugment, 1 TrivialAugment."""
    sign = 1 if rng.random() < 0.5 else -1  # drawn always
    if name in WARPS:
        return Operation(name, sign * share * WARPS[name][kind])
    if name in _FACTORS:
        return Operation(name, 1 + sign * share * _FACTORS[name][kind])
    if name == "posterize":
        return Operation(name, 8 - round(share * _BITS_LOST[kind]))
    if name == "solarize":
        return Operation(name, 255 * (1 - share))
    return Operation(name)


def source_of(warps: tuple[Operation, ...], height: int, width: int) -> NDArray[np.float64]:
    """Where each pixel of the result comes from: `(2, 3)`, from (x, y, 1) to (x, y), in pixels from the middle."""
    forward = np.eye(3)
    for warp in warps:
        forward = _matrix(warp, height, width) @ forward
    return np.asarray(np.linalg.inv(forward)[:2])


def _matrix(warp: Operation, height: int, width: int) -> NDArray[np.float64]:
    matrix, value = np.eye(3), warp.value
    if warp.name == "turn":
        angle = math.radians(value)  # y grows downwards, so that a positive angle is clockwise
        matrix[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    elif warp.name == "shear_x":
        matrix[0, 1] = value
    elif warp.name == "shear_y":
        matrix[1, 0] = value
    elif warp.name == "shift_x":
        matrix[0, 2] = value * width
    else:
        assert warp.name == "shift_y", warp.name
        matrix[1, 2] = value * height
    return matrix
