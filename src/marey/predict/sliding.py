"""Any classifier as a localizer: what it says of windows that slide over a video, as scores over time.

Each window is judged exactly as a sample of that start and end is (`marey.data.clips`), but the file is opened once
and every frame decoded once and in order, so that memory does not grow with the length of the video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marey.data.clips import clip_at, fit_clip
from marey.data.instants import Span, motion_energy
from marey.errors import ConfigError
from marey.metrics.calibration import probabilities
from marey.predict.extract import ahead
from marey.predict.predictor import Predictor, stacked
from marey.types import BoolArray, Clip, FloatArray
from marey.video.forward import ForwardReader
from marey.video.reader import VideoReader, frames_shown
from marey.video.sampling import Sampler, Windows, sampler_from_dict

Advance = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class ScoreTrack:
    """What a classifier says over time.

    Attributes:
        scores: float32 `(T, K)`, probabilities of the classes in windows, in order of time.
        times: float64 `(T,)`, the middles of the windows, seconds.
        edges: float64 `(T + 1,)`: window t speaks for the stretch from edge t to edge t+1, halfway to its
            neighbours; together they are the whole video.
    """

    scores: NDArray[np.float32]
    times: FloatArray
    edges: FloatArray


@dataclass(frozen=True)
class Slider:
    """A classifier and the windows that it is slid in.

    Attributes:
        predictor: the classifier; one clip and the centre crop of a window are looked at.
        window, stride: seconds.
        background: a class of this name is none: it says that nothing happens.
    """

    predictor: Predictor
    window: float
    stride: float
    background: str = "background"

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.window:
            raise ConfigError(
                f"windows of {self.window:g} s every {self.stride:g} s cannot be.",
                "the stride lies above 0 and is at most the window: a moment between would not be seen",
            )
        if not self.class_names:
            raise ConfigError(
                f"this classifier knows no class but {self.background!r}, so there is nothing to find."
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Without the background."""
        return tuple(name for name in self.predictor.class_names if name != self.background)

    @property
    def protocol(self) -> str:
        """How, in words."""
        return (
            f"sliding windows of {self.window:.3g} s every {self.stride:.3g} s, "
            f"{self.predictor.protocol.partition(', ')[2]}"
        )

    def windows(self, span: Span) -> list[tuple[float, float]]:
        """Start and end of every window; the last one is moved back so that it ends with the video, and a video
        shorter than a window is one window."""
        return Windows(self.window, self.stride).windows(span.start, span.end)

    def track(self, reader: VideoReader, span: Span, advance: Advance = lambda n: None) -> ScoreTrack:
        """Scores over a stretch of a video.

        Args:
            reader: the open video.
            span: the stretch.
            advance: told how many frames more have been passed.

        Raises:
            VideoError: the file is damaged.
        """
        names, spec = self.predictor.class_names, self.predictor.spec
        kept = [i for i, name in enumerate(names) if name != self.background]
        windows = self.windows(span)
        found = []
        passed, frame_ends = 0, np.searchsorted(reader.times, [end for _, end in windows], side="left")
        for clips in ahead(self._clips(reader, windows)):
            logits = self.predictor.runtime(*stacked(clips, spec))
            p = probabilities(
                logits, temperature=self.predictor.temperature, multi_label=self.predictor.multi_label
            )
            found.append(p[:, kept].astype(np.float32))
            now = int(frame_ends[sum(map(len, found)) - 1])
            advance(now - passed)
            passed = now
        times = np.array([(start + end) / 2 for start, end in windows])
        edges = np.concatenate([[span.start], (times[1:] + times[:-1]) / 2, [span.end]])
        return ScoreTrack(np.concatenate(found), times, edges)

    def _clips(self, reader: VideoReader, windows: Sequence[tuple[float, float]]) -> Iterator[list[Clip]]:
        """Clips of the windows, a batch at a time."""
        spec, path = self.predictor.spec, Path(reader.info.path)
        sampler = sampler_from_dict(spec.sampler)
        chosen = _choose(reader, windows, sampler)
        index = [frames_shown(reader.times, reader.info.end, t[m], path) for t, m in chosen]
        forward = ForwardReader(reader, np.concatenate(index))
        # What no later window looks at can go: of the later windows, the earliest frame.
        first = np.minimum.accumulate([i.min() for i in index[::-1]])[::-1]
        batch = []
        for number, (times, mask) in enumerate(chosen):
            forward.forget(int(first[number]))
            clip = clip_at(forward, times, mask, spec, sampler=sampler, flow=self.predictor.flow)
            batch.append(fit_clip(clip, spec, "center"))
            if len(batch) == self.predictor.batch:
                yield batch
                batch = []
        if batch:
            yield batch


def _choose(
    reader: VideoReader, windows: Sequence[tuple[float, float]], sampler: Sampler
) -> list[tuple[FloatArray, BoolArray]]:
    """What the sampler chooses in each window. One that goes by motion has the video decoded for it once, small."""
    times = reader.times
    if sampler.cue == "keyframes":
        return [sampler.times(times, s, e, cues=reader.keyframes) for s, e in windows]
    if sampler.cue is None:
        return [sampler.times(times, s, e) for s, e in windows]
    energy = motion_energy(reader, Span(windows[0][0], windows[-1][1]))
    chosen = []
    for start, end in windows:
        first = max(int(np.searchsorted(times, start, side="right")) - 1, 0)
        inside = np.zeros_like(
            energy
        )  # as the window alone would have it: its first frame changes from nothing
        inside[first + 1 :] = np.where(times[first + 1 :] < end, energy[first + 1 :], 0)
        chosen.append(sampler.times(times, start, end, cues=inside))
    return chosen
