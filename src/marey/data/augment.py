"""What may be done to a training clip. Plain settings without torch, so that the command line can show them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from marey.errors import ConfigError


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
    """

    speed: float = 0.0
    context: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.speed < 1 or not 0 <= self.context < math.inf:
            raise ConfigError(
                f"speed must lie in [0, 1) and context be at least 0; got {self.speed}, {self.context}."
            )


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
    """Draw the colours anew for every frame (flicker) instead of once a clip."""

    erasing: float = 0.0
    """Share of the clips in which one rectangle, the same in all frames, is painted over with the mean colour."""

    speed: float = 0.0
    """How far the speed may be off: 0.2 plays between 0.8 and 1.2 times as fast. All of the segment stays in."""

    context: float = 0.0
    """How much of the video around a segment may be seen besides, on each side, as a share of its length."""

    mixup: float = 0.0
    """Strength (alpha) with which whole clips of a batch are blended, labels too. 0 is off; 0.2 is usual."""

    cutmix: float = 0.0
    """Strength (alpha) with which a rectangle of one clip is set into another, labels too. 0 is off; 1 is usual."""

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
        for name, most in (("hue", 0.5), ("erasing", 1.0)):
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
        return TimeJitter(speed=self.speed, context=self.context)
