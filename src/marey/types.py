"""What passes between the rooms: clips, segments, predictions. Times are seconds, always."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Clip:
    """`T` frames chosen from a video, with their times and a mask of which are real.

    Attributes:
        frames: uint8 `(T, H, W, C)`, C = 3 (RGB) or 1 (gray), as decoded. Padding frames are zeros.
        times: float64 `(T,)`, the presentation time in seconds on the video's own clock of the frame
            that stands there (padding repeats the last real time).
        mask: bool `(T,)`, True where the frame is real, False where it is padding.
        flow: uint8 `(T−1, 2, H, W)`, the optical flow between neighbours as 8 bits say it
            (`marey.video.flow.quantise`; 128 is no motion), where a model takes it; else None.
    """

    frames: UInt8Array
    times: FloatArray
    mask: BoolArray
    flow: UInt8Array | None = None

    def __post_init__(self) -> None:
        assert self.frames.ndim == 4
        assert len(self.frames) == len(self.times) == len(self.mask)
        assert self.flow is None or len(self.flow) == max(len(self.times) - 1, 0)

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        t, h, w, c = self.frames.shape
        span = f"{self.times[0]:.3f}–{self.times[-1]:.3f} s" if t else "empty"
        return f"Clip(T={t} ({int(self.mask.sum())} real), {w}×{h}, C={c}, {span})"


@dataclass(frozen=True)
class Segment:
    """`[start, end)` in seconds with a label, and a score where it was predicted."""

    start: float
    end: float
    label: str
    score: float | None = None

    @property
    def duration(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, eq=False)
class VideoTimeline:
    """What happens when in one video: the answer to "where?", as `Prediction` is the answer to "what?".

    Attributes:
        path: the video.
        start, end: the stretch that was judged, seconds on the video's own clock.
        segments: what was found, with scores, in order of time; they may overlap.
        class_names: K names, in the order of `scores`.
        times: float64 `(T,)`, instants in seconds at which the classes were scored; empty where they were not.
        scores: float32 `(T, K)` in 0–1, the probability of each class at each instant.
        truth: what was annotated, or None where nothing is known.
        protocol: how: "anchor-free pyramid on 1,204 positions, 2.0/s".
    """

    path: str
    start: float
    end: float
    segments: tuple[Segment, ...]
    class_names: tuple[str, ...]
    times: FloatArray
    scores: NDArray[np.float32]
    truth: tuple[Segment, ...] | None = None
    protocol: str = ""

    def __post_init__(self) -> None:
        assert self.scores.shape == (len(self.times), len(self.class_names))

    @property
    def duration(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one video or one segment of it.

    Attributes:
        path: the video.
        class_names: K names, in the order of `probabilities`.
        probabilities: float `(K,)`; they sum to 1 for single-label models, are independent for multi-label.
        start, end: the stretch that was judged, seconds on the video's own clock.
        protocol: how: "1 clip × 1 crop, 16 frames, 112×112".
        multi_label: whether the probabilities are independent.
        logits: float `(K,)`, mean over views, before calibration.
    """

    path: str
    class_names: tuple[str, ...]
    probabilities: FloatArray
    start: float
    end: float
    protocol: str = ""
    multi_label: bool = False
    logits: FloatArray | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.class_names[int(np.argmax(self.probabilities))]

    @property
    def score(self) -> float:
        """The probability of `label`."""
        return float(np.max(self.probabilities))

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The `k` most probable classes with their probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.class_names[i], float(self.probabilities[i])) for i in order]
