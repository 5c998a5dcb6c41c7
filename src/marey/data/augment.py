"""What augmentation can be told. No torch here: the command line reads it.

`marey.data.transforms` does what this says. Geometry is always drawn once a clip.
"""

from __future__ import annotations

from dataclasses import dataclass

from marey.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How training clips vary. Geometry is one draw a clip; light and colour may vary by frame."""

    crop: tuple[float, float] = (0.6, 1.0)
    """Random resized crop: smallest and largest share of the frame's area that is kept (1 1: off)."""
    flip: bool = False
    """Mirror half of the clips. Off by default: it swaps left and right."""
    flip_map: tuple[str, ...] = ()
    """Labels that a mirror exchanges, each as left=right; `auto` makes the pairs from the class names."""
    brightness: float = 0.2
    """Largest relative change (0: off)."""
    contrast: float = 0.2
    """Largest relative change (0: off)."""
    saturation: float = 0.2
    """Largest relative change (0: off)."""
    hue: float = 0.0
    """Largest shift as a share of the colour circle, up to 0.5 (0: off)."""
    per_frame: bool = False
    """Draw light and colour anew in each frame instead of once a clip."""
    erase: float = 0.0
    """Chance that a rectangle, the same in every frame, is blanked."""
    speed: float = 0.0
    """Speed jitter: a clip is played up to this share faster or slower (0.2: 0.8× to 1.25×; 0: off)."""
    temporal_crop: float = 1.0
    """Smallest share of an unlabelled-in-time video that a clip is drawn from (1: all of it); a labelled
    segment is always kept whole."""

    def __post_init__(self) -> None:
        low, high = self.crop
        if not 0 < low <= high <= 1:
            raise ConfigError(f"crop is a smallest and a largest share in 0…1; got {low} {high}.")
        for name in ("brightness", "contrast", "saturation", "erase", "speed"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} lies between 0 and 1; got {getattr(self, name)}.")
        if not 0 <= self.hue <= 0.5:
            raise ConfigError(f"hue lies between 0 and 0.5; got {self.hue}.")
        if not 0 < self.temporal_crop <= 1:
            raise ConfigError(f"temporal_crop lies above 0 and at most at 1; got {self.temporal_crop}.")
