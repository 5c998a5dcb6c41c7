"""InputSpec: all that a model needs to know of its input, so that training, evaluation and every
exported artifact prepare a video in the same way."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from marey.errors import ConfigError

MODALITIES = ("rgb", "flow", "diff")


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What goes into a model. Serialises to plain JSON and travels with every checkpoint and artifact.

    Attributes:
        modalities: the keyword inputs of `forward`, from `rgb`, `flow`, `diff`.
        sampler: the rule that chooses a clip's times, as its own dictionary: `{"name": "uniform", "n": 16}`
            (`marey.video.sampling.sampler_from_dict` rebuilds it).
        frames: the length T that the sampler gives at most, and that a warm-up or a cost estimate uses.
        size: height and width in pixels of what the network sees.
        resize: short side in pixels to which frames are scaled before the crop; `size` is cut from it.
        mean, std: per channel on the 0…1 scale; applied inside the model to uint8 input.
        min_frames: fewest frames that the network can take (shorter clips are padded and masked).
        frames_multiple: T must be a multiple of this (temporal strides); the sampler pads to it.
        fixed_frames: True where the network takes `frames` and no other length.
        flow_method: how optical flow is computed, a name from `marey.video.flow.METHODS`.
    """

    modalities: tuple[str, ...] = ("rgb",)
    sampler: dict[str, Any] = field(default_factory=lambda: {"name": "uniform", "n": 16})
    frames: int = 16
    size: tuple[int, int] = (112, 112)
    resize: int = 128
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    min_frames: int = 1
    frames_multiple: int = 1
    fixed_frames: bool = False
    flow_method: str = "dis-medium"

    def __post_init__(self) -> None:
        unknown = [m for m in self.modalities if m not in MODALITIES]
        if unknown or not self.modalities:
            raise ConfigError(f"modalities {self.modalities} are not from {', '.join(MODALITIES)}.")
        if self.frames < 1 or self.min_frames < 1 or self.frames_multiple < 1:
            raise ConfigError("frames, min_frames and frames_multiple must be at least 1.")
        if min(self.size) < 1 or self.resize < 1:
            raise ConfigError(
                f"size {self.size} and resize {self.resize} must be positive numbers of pixels."
            )
        if self.resize < min(self.size):
            raise ConfigError(
                f"resize {self.resize} is smaller than the crop {self.size[0]}×{self.size[1]} to be cut from it.",
                "raise the short side (--resize) or lower the size (--size).",
            )

    @property
    def snippet(self) -> int | None:
        """Frames of a run of neighbours, where the sampler gives such runs (`snippets`), else None."""
        plain = self.sampler.get("inner") or self.sampler
        return int(plain.get("fields", 10)) + 1 if plain.get("name") == "snippets" else None

    def padded_frames(self, frames: int) -> int:
        """The length to which a clip of `frames` real frames must be padded before the network takes it."""
        if self.fixed_frames:
            return self.frames
        needed = max(frames, self.min_frames)
        return -(-needed // self.frames_multiple) * self.frames_multiple

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` is the inverse."""
        plain = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> InputSpec:
        """Rebuild from `to_dict`. An unknown key is an error: it would silently change the preprocessing."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(plain) - known)
        if unknown:
            raise ConfigError(
                f"unknown input specification key {unknown[0]!r}.",
                "the checkpoint was written by a newer version of marey, or is damaged.",
            )
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
        return cls(**values)
