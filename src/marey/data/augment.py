"""What may be done to a training clip. Plain settings without torch, so that the command line can show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from marey.errors import ConfigError

MAGNITUDES = 30
"""RandAugment's scale of strength, 0 to 30."""


@dataclass(frozen=True, kw_only=True)
class TimeJitter:
    """Temporal augmentation; it never cuts the labelled segment.

    Attributes:
        speed: how far the speed may be off, from 0 to below 1: local speed lies between 1−speed and 1+speed.
            Samplers that follow the clock (`rate`, `dense`, `windows`) see the video run faster or slower by
            one factor; those that spread over the segment see it speed up or slow down on the way from
            beginning to end, as the whole of it is always covered.
        context: how much of the video around the segment may be seen besides, on each side, as a share of the
            segment's length. A sample without times is the whole video, and has nothing around it.
        rate: how much of the frame rate may be lost: 0.5 thins the video's frames out to between half of them
            and all, evenly, as a slower camera would have filmed it.
        drop: chance of each frame of a clip to be missing. The clip is shorter by it, and its mask says so.
        hold: chance of each frame of a clip to be late: the one before it stands in its place.

    The first and the last frame of a clip are neither dropped nor held, so that its reach stays what it was.
    """

    speed: float = 0.0
    context: float = 0.0
    rate: float = 0.0
    drop: float = 0.0
    hold: float = 0.0

    def __post_init__(self) -> None:
        for name in ("speed", "rate", "drop", "hold"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"{_OPTIONS.get(name, name)} must lie between 0 and below 1; got {getattr(self, name)}."
                )
        if not 0 <= self.context < math.inf:
            raise ConfigError(f"context must be 0 or more; got {self.context}.")


_OPTIONS = {"rate": "frame_rate", "drop": "frame_drop", "hold": "frame_hold"}


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation of training clips. Geometry is one draw a clip, always: what moves is the video alone."""

    scale: tuple[float, float] = (0.6, 1.0)
    """Area of the random crop, as a share of the frame: least and most. (1, 1) crops the middle."""

    ratio: tuple[float, float] = (0.8, 1.25)
    """How far the random crop may be out of shape: least and most width against height, 1 being true."""

    flip: bool = False
    """Mirror half of the clips (left and right change places). See flip_map where classes name a direction."""

    flip_map: tuple[str, ...] = ()
    """Classes that trade places in the mirror: "left=right" for each pair, or "auto" to find them by name."""

    vertical_flip: bool = False
    """Turn half of the clips upside down (up and down change places)."""

    vertical_flip_map: tuple[str, ...] = ()
    """Classes that trade places upside down: "up=down" for each pair, or "auto"."""

    brightness: float = 0.0
    """Brightness changes by a factor between 1−x and 1+x."""

    contrast: float = 0.0
    """Contrast changes by a factor between 1−x and 1+x."""

    saturation: float = 0.0
    """Saturation changes by a factor between 1−x and 1+x."""

    hue: float = 0.0
    """Hue turns by up to x of the full circle, 0 to 0.5."""

    per_frame: bool = False
    """Draw colours and noise anew for every frame (flicker, grain) instead of once a clip."""

    noise: float = 0.0
    """Most standard deviation of Gaussian noise, as a share of full brightness; one field for all frames."""

    randaugment: tuple[int, int] = (0, 9)
    """RandAugment: how many operations a clip (0 is off, 2 is usual), and their strength of 30. One draw a clip."""

    trivialaugment: bool = False
    """TrivialAugment: one operation a clip, at a strength drawn anew."""

    erasing: float = 0.0
    """Share of the clips in which one rectangle, the same in all frames, is painted over with the mean colour."""

    speed: float = 0.0
    """How far the speed may be off: 0.2 plays between 0.8 and 1.2 times as fast. All of the segment stays in."""

    context: float = 0.0
    """How much of the video around a segment may be seen besides, on each side, as a share of its length."""

    frame_rate: float = 0.0
    """How much of a video's frame rate may be lost: 0.5 shows it as filmed with between half of it and all."""

    frame_drop: float = 0.0
    """Chance of each frame of a clip to be missing; the clip is shorter by it, and its mask says so."""

    frame_hold: float = 0.0
    """Chance of each frame of a clip to be late; the frame before it is shown twice."""

    mixup: float = 0.0
    """Strength (alpha) with which whole clips of a batch are blended, labels too. 0 is off; 0.2 is usual."""

    cutmix: float = 0.0
    """Strength (alpha) with which a part of one clip is set into another, labels too. 0 is off; 1 is usual."""

    cut: Literal["space", "time", "both"] = "space"
    """The part that cutmix takes: a rectangle in all frames, all of some neighbouring frames, or a rectangle in
    some (VideoMix)."""

    def __post_init__(self) -> None:
        for name, most in (("scale", 1.0), ("ratio", math.inf)):
            low, high = getattr(self, name)
            if not 0 < low <= high <= most:
                raise ConfigError(
                    f"{name} must be (least, most), above 0 and at most {most}; got {low}, {high}."
                )
        for name in ("brightness", "contrast", "saturation", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be 0 or more; got {getattr(self, name)}.")
        count, strength = self.randaugment
        if count < 0 or not 0 <= strength <= MAGNITUDES:
            raise ConfigError(
                f"randaugment takes a number of operations and a strength of 0 to {MAGNITUDES};"
                f" got {count}, {strength}."
            )
        if count and self.trivialaugment:
            raise ConfigError("randaugment and trivialaugment are two answers to one question; choose one.")
        if self.cut != "space" and not self.cutmix:
            raise ConfigError(
                "cut says what cutmix takes, but cutmix is off.", "give cutmix a strength, 1 say"
            )
        for name, most in (("hue", 0.5), ("erasing", 1.0), ("noise", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} must lie between 0 and {most}; got {getattr(self, name)}.")
        for name, needs in (("flip_map", "flip"), ("vertical_flip_map", "vertical_flip")):
            if getattr(self, name) and not getattr(self, needs):
                raise ConfigError(
                    f"{name} is given, but {needs} is off.", f"turn {needs} on, or leave the map out"
                )
        assert self.time is not None  # its own limits are checked there

    @property
    def time(self) -> TimeJitter:
        """The temporal part."""
        return TimeJitter(
            speed=self.speed,
            context=self.context,
            rate=self.frame_rate,
            drop=self.frame_drop,
            hold=self.frame_hold,
        )

    def check_modalities(self, modalities: Sequence[str]) -> None:
        """What would change nothing for a model of these modalities, or could not be right, is refused.

        Flow and differences are computed from moved frames before their colours change: colours, noise and
        erasing reach `rgb` alone.

        Raises:
            ConfigError: names the setting and says why.
        """
        colours = ("brightness", "contrast", "saturation", "hue", "noise", "erasing")
        lost = [name for name in colours if getattr(self, name)]
        if lost and "rgb" not in modalities:
            raise ConfigError(
                f"{', '.join(lost)}: this changes colours, and the model sees {' and '.join(modalities)} alone,"
                " which is computed before colours change.",
                "leave it out, or choose a model that sees rgb",
            )
        if self.cutmix and self.cut != "space" and tuple(modalities) != ("rgb",):
            raise ConfigError(
                f"cut {self.cut!r} sets frames of two videos beside each other, and there is no motion between them"
                f" that {' and '.join(m for m in modalities if m != 'rgb')} could show.",
                "choose cut space: motion inside a rectangle stays motion",
            )
