"""Augmentation of whole clips, labels and motion kept right.

What chance decides for a clip is drawn first (`ClipDraw`), then done: by itself where it was decoded, or with a whole
batch on the device (`marey.data.batched`), with the same result. Geometry is one draw for all frames of a clip,
always; so are colours and noise, unless `per_frame` asks for flicker.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from marey.data.augment import AugmentConfig, TimeJitter
from marey.data.automatic import WARPS, rand_augment, trivial_augment
from marey.data.boxes import random_box
from marey.data.colours import change_colours
from marey.data.directions import FlipRule, flip_map_from_names, flip_rule, names_direction
from marey.data.draws import Box, ClipDraw, Operation
from marey.data.noise import add_noise
from marey.data.randomness import seeded
from marey.data.warp import cut_box, move_clip, move_flow
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

_JITTER = ("brightness", "contrast", "saturation", "hue")  # in the order of v2.ColorJitter's numbers


class ClipTransform:
    """Training augmentation of a clip: `draw`, then `geometry`, which moves pixels, then `photometric`, which changes
    colours. Flow is known before both and sees no flicker; `motion` moves it as `geometry` moves the pixels.

    Args:
        config: what to do.
        spec: the size that comes out, and the mean colour that erasing and warps paint with.
        class_names: for flips: what the labels mean. A `DataWarning` tells which classes are not flipped.

    Raises:
        ConfigError: a setting that could change nothing, or not rightly, for these modalities.
    """

    def __init__(self, config: AugmentConfig, spec: InputSpec, class_names: Sequence[str] = ()) -> None:
        config.check_modalities(spec.modalities)
        self.config = config
        self.spec = spec
        self.fill = fill_of(spec)
        self._flips: dict[str, FlipRule] = {}
        if config.flip:
            self._flips["mirrored"] = flip_rule(class_names, config.flip_map)
        if config.vertical_flip:
            self._flips["upside_down"] = flip_rule(class_names, config.vertical_flip_map, "vertical")
        self._jitter = None
        if config.brightness or config.contrast or config.saturation or config.hue:
            if config.hue and len(spec.mean) != 3:
                raise ConfigError("hue can be changed in colour pictures only.")
            self._jitter = v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue)
        self._erase = v2.RandomErasing(config.erasing, scale=(0.02, 0.25)) if config.erasing else None

    def __call__(self, frames_TCHW: Tensor, target: Target, *, seed: int) -> tuple[Tensor, Target]:
        """All of it.

        Args:
            frames_TCHW: uint8, real frames only, at any size not below the crop.
            target: class index, or `(K,)` numbers for several labels.
            seed: all randomness; the same seed gives the same result in any process.

        Returns:
            uint8 `(T, C, *spec.size)`, and the target as it is after the flips.
        """
        draw, target = self.draw(frames_TCHW.shape, target, seed=seed)
        return self.photometric(self.geometry(frames_TCHW, draw), draw), target

    def draw(self, shape: Sequence[int], target: Target, *, seed: int) -> tuple[ClipDraw, Target]:
        """What is to be done to a clip of `(T, C, H, W)`, and its target after the flips. Each part has a stream of
        its own, made where it is drawn from: one setting changes no other's draws."""
        frames, _, height, width = shape
        chance = torch.Generator().manual_seed(_stream(seed, 0) % 2**63)
        toss = torch.rand(2, generator=chance).tolist()  # drawn always
        box = self._box(height, width, chance)
        flips = {}
        for coin, (name, rule) in zip(toss, self._flips.items(), strict=False):
            if coin < 0.5 and _may_flip(target, rule):
                flips[name] = True
                target = _flipped(target, rule)
        jitter: list[tuple[Operation, ...]] = []
        if self._jitter is not None:
            with seeded(_stream(seed, 1)):
                jitter = [self._colours() for _ in range(frames if self.config.per_frame else 1)]
        automatic = self._automatic(seed)
        noise, noise_seed = 0.0, 0
        if self.config.noise:
            rng = np.random.default_rng(_stream(seed, 4))
            noise, noise_seed = 255 * self.config.noise * float(rng.random()), int(rng.integers(2**62))
        return ClipDraw(
            box=box,
            **flips,
            warps=tuple(o for o in automatic if o.name in WARPS),
            colours=tuple(o for o in automatic if o.name not in WARPS)
            + (jitter[0] if jitter and not self.config.per_frame else ()),
            flicker=tuple(jitter) if self.config.per_frame else (),
            noise=noise,
            noise_seed=noise_seed,
            grain=self.config.per_frame,
            erased=self._erased(seed),
        ), target

    def geometry(self, frames_TCHW: Tensor, draw: ClipDraw) -> Tensor:
        """Crop, scaling, flips and warps, the same for all frames: uint8 `(T, C, *spec.size)`."""
        return move_clip(cut_box(frames_TCHW, draw), draw, self.spec.size, self.fill)

    def motion(self, flow_TCHW: Tensor, draw: ClipDraw) -> Tensor:
        """The same for the flow of the clip, float32 `(T, 2, H, W)`, −1…1; see `move_flow`."""
        return move_flow(cut_box(flow_TCHW, draw), draw, self.spec.size)

    def photometric(self, frames_TCHW: Tensor, draw: ClipDraw) -> Tensor:
        """Colours, noise and erasing, in this order; for clips that `geometry` has moved."""
        return change_light([frames_TCHW], [draw], self.fill)[0]

    def _box(self, height: int, width: int, chance: torch.Generator) -> Box:
        if self.config.scale != (1, 1):
            shape = self.spec.size[1] / self.spec.size[0]
            least, most = self.config.ratio
            return random_box(height, width, self.config.scale, (least * shape, most * shape), chance)
        # as much as fits of the output's shape, where the picture is smaller than it
        shrink = min(1.0, height / self.spec.size[0], width / self.spec.size[1])
        tall, wide = (max(round(side * shrink), 1) for side in self.spec.size)
        return (height - tall) // 2, (width - wide) // 2, tall, wide

    def _colours(self) -> tuple[Operation, ...]:
        assert self._jitter is not None
        found = self._jitter.make_params([])
        names = [_JITTER[int(i)] for i in found["fn_idx"]]
        return tuple(Operation(n, f) for n in names if (f := found[f"{n}_factor"]) is not None)

    def _automatic(self, seed: int) -> list[Operation]:
        count, strength = self.config.randaugment
        if not count and not self.config.trivialaugment:
            return []
        rng = np.random.default_rng(_stream(seed, 3))
        return trivial_augment(rng) if self.config.trivialaugment else rand_augment(rng, count, strength)

    def _erased(self, seed: int) -> Box | None:
        if self._erase is None:
            return None
        with seeded(_stream(seed, 2)):
            if torch.rand(1) >= self.config.erasing:
                return None
            found = self._erase.make_params([torch.empty(1, *self.spec.size, device="meta")])
        return None if found["v"] is None else (found["i"], found["j"], found["h"], found["w"])


def change_light(clips: Sequence[Tensor], draws: Sequence[ClipDraw], fill: Sequence[float]) -> list[Tensor]:
    """Colours, noise and erasing of clips of one size, uint8 `(T, C, H, W)` each, in that order."""
    done = list(clips)
    if any(draw.colours for draw in draws):
        done = change_colours(done, [draw.colours for draw in draws])
    if any(draw.flicker for draw in draws):  # each frame is a clip by itself
        frames = change_colours(
            [frame[None] for clip in done for frame in clip],
            [
                each
                for clip, draw in zip(done, draws, strict=True)
                for each in draw.flicker or [()] * len(clip)
            ],
        )
        done = list(torch.cat(frames).split([len(clip) for clip in done]))
    if any(draw.noise for draw in draws):
        done = add_noise(done, draws)
    for number, draw in enumerate(draws):
        if draw.erased is not None:
            top, left, height, width = draw.erased
            paint = torch.tensor(fill, dtype=torch.uint8, device=done[number].device).view(-1, 1, 1)
            done[number] = done[number].clone()
            done[number][..., top : top + height, left : left + width] = paint
    return done


def fill_of(spec: InputSpec) -> tuple[int, ...]:
    """The level of each channel that is zero after normalising."""
    return tuple(round(255 * level) for level in spec.mean)


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
