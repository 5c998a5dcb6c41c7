"""Augmentation of whole clips with torchvision v2, labels kept right.

A clip `(T, C, H, W)` is one `tv_tensors.Video`, so every geometric transform is one draw for all its frames.
Photometric ones are one draw too, unless `per_frame` asks for flicker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from marey.data.augment import AugmentConfig, TimeJitter
from marey.data.directions import FlipRule, flip_map_from_names, flip_rule, names_direction
from marey.data.randomness import seeded
from marey.errors import ConfigError
from marey.spec import InputSpec

__all__ = [
    "AugmentConfig",
    "ClipTransform",
    "TimeJitter",
    "flip_map_from_names",
    "names_direction",
]

Target = int | np.ndarray


class ClipTransform:
    """Training augmentation of a clip, in two steps: `geometry` moves pixels and labels, `photometric` changes
    colours. Flow is computed between the two, so that it belongs to the moved pixels and sees no flicker.

    Args:
        config: what to do.
        spec: the size that comes out, and the mean colour that erasing paints with.
        class_names: for flips: what the labels mean. A `DataWarning` tells which classes are not flipped.
    """

    def __init__(self, config: AugmentConfig, spec: InputSpec, class_names: Sequence[str] = ()) -> None:
        self.config = config
        self.spec = spec
        self._flips: list[tuple[Any, FlipRule]] = []
        if config.flip:
            self._flips.append((F.horizontal_flip, flip_rule(class_names, config.flip_map)))
        if config.vertical_flip:
            rule = flip_rule(class_names, config.vertical_flip_map, "vertical")
            self._flips.append((F.vertical_flip, rule))
        height, width = spec.size
        shape = width / height
        self._crop = v2.RandomResizedCrop(
            spec.size, config.scale, (config.ratio[0] * shape, config.ratio[1] * shape), antialias=True
        )
        self._colour = None
        if config.brightness or config.contrast or config.saturation or config.hue:
            if config.hue and len(spec.mean) != 3:
                raise ConfigError("hue can be changed in colour pictures only.")
            self._colour = v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue)
        self._erase = None
        if config.erasing:
            mean = [round(255 * level) for level in spec.mean]
            self._erase = v2.RandomErasing(config.erasing, scale=(0.02, 0.25), value=mean)

    def __call__(self, frames_TCHW: Tensor, target: Target, *, seed: int) -> tuple[Tensor, Target]:
        """Both steps.

        Args:
            frames_TCHW: uint8, real frames only, at any size not below the crop.
            target: class index, or `(K,)` numbers for several labels.
            seed: all randomness; the same seed gives the same result in any process.

        Returns:
            uint8 `(T, C, *spec.size)`, and the target as it is after the flips.
        """
        moved, target = self.geometry(frames_TCHW, target, seed=seed)
        return self.photometric(moved, seed=seed), target

    def geometry(self, frames_TCHW: Tensor, target: Target, *, seed: int) -> tuple[Tensor, Target]:
        """Random crop and flips: one draw for all frames."""
        video = tv_tensors.Video(frames_TCHW)
        with seeded(_stream(seed, 0)):
            toss = torch.rand(2).tolist()  # drawn always: one setting changes no other's draws
            video = self._random_crop(video)
        for coin, (flip, rule) in zip(toss, self._flips, strict=False):
            if coin < 0.5 and _may_flip(target, rule):
                video = flip(video)
                target = _flipped(target, rule)
        return video.as_subclass(Tensor).contiguous(), target

    def photometric(self, frames_TCHW: Tensor, *, seed: int) -> Tensor:
        """Colour jitter and erasing."""
        video: Tensor = tv_tensors.Video(frames_TCHW)
        with seeded(_stream(seed, 1)):
            if self._colour is not None and self.config.per_frame:
                video = tv_tensors.Video(
                    torch.stack([self._colour(tv_tensors.Image(f)) for f in frames_TCHW])
                )
            elif self._colour is not None:
                video = self._colour(video)
        with seeded(_stream(seed, 2)):
            if self._erase is not None:
                video = self._erase(video)
        return video.as_subclass(Tensor)

    def _random_crop(self, video: Tensor) -> Tensor:
        if self.config.scale == (1, 1):
            short = min(video.shape[-2:])
            needed = max(self.spec.size)
            video = video if short >= needed else F.resize(video, [needed], antialias=True)
            return F.center_crop(video, list(self.spec.size))
        return self._crop(video)


def _stream(seed: int, number: int) -> int:
    """Independent seeds of the steps: changing one step's settings leaves the others' draws as they are."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])


def _may_flip(target: Target, rule: FlipRule) -> bool:
    if isinstance(target, np.ndarray):
        return bool(rule.allowed[target > 0].all())
    return bool(rule.allowed[target])


def _flipped(target: Target, rule: FlipRule) -> Target:
    if isinstance(target, np.ndarray):
        after = np.zeros_like(target)
        after[rule.becomes] = target
        return after
    return int(rule.becomes[target])
