"""Gaussian noise that is the same on every device: a function of a seed and a place, not of a generator's state.

A GPU's generator gives other numbers than a CPU's, and fields made on the CPU would have to travel. Here each place
mixes its own number (SplitMix64: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"), and
Box-Muller makes two even numbers into a normal one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from marey.data.draws import ClipDraw

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # as signed 64-bit numbers, whose products wrap as unsigned ones do
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64
_BITS = 24  # of each even number: as many as float32 holds exactly


def add_noise(clips: Sequence[Tensor], draws: Sequence[ClipDraw]) -> list[Tensor]:
    """Each clip with its noise: one field for all frames, or with `grain` one for each.

    Args:
        clips: uint8 `(T, C, H, W)` each.
    """
    noisy = []
    for clip, draw in zip(clips, draws, strict=True):
        if draw.noise:
            shape = (len(clip) if draw.grain else 1, *clip.shape[1:])
            field = draw.noise * normal_field(draw.noise_seed, shape, clip.device)
            clip = (clip.to(torch.float32) + field).round_().clamp_(0, 255).to(torch.uint8)
        noisy.append(clip)
    return noisy


def normal_field(seed: int, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Independent standard normal numbers, float32."""
    place = torch.arange(1, math.prod(shape) + 1, dtype=torch.int64, device=device)
    mixed = place * _GOLDEN + seed
    mixed = (mixed ^ _right(mixed, 30)) * _FIRST
    mixed = (mixed ^ _right(mixed, 27)) * _SECOND
    mixed = mixed ^ _right(mixed, 31)
    first = _right(mixed, 64 - _BITS).to(torch.float32)
    second = (_right(mixed, 64 - 2 * _BITS) & (2**_BITS - 1)).to(torch.float32)
    radius = torch.sqrt(-2 * torch.log((first + 0.5) / 2**_BITS))
    return (radius * torch.cos(second * (2 * math.pi / 2**_BITS))).view(*shape)


def _right(x: Tensor, bits: int) -> Tensor:
    """Shift to the right that fills with zeros, as of unsigned numbers."""
    return (x >> bits) & (2 ** (64 - bits) - 1)
