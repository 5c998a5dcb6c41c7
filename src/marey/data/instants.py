"""Which instants of a video make a clip: the sampler's choice, shifted by temporal augmentation. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from marey.data.augment import TimeJitter
from marey.errors import ConfigError
from marey.types import BoolArray, Clip, FloatArray, UInt8Array
from marey.video.picture import Decode, Size
from marey.video.reader import VideoInfo
from marey.video.sampling import Dense, Rate, Sampler, Windows


class ClipReader(Protocol):
    """The part of a `VideoReader` that clips need."""

    @property
    def info(self) -> VideoInfo: ...

    @property
    def times(self) -> FloatArray: ...

    @property
    def keyframes(self) -> FloatArray: ...

    def frames_at(self, times: ArrayLike, *, size: Size = None, decode: Decode = "rgb") -> Clip: ...


@dataclass(frozen=True)
class Span:
    """A sample's stretch of its video, inside it. `clamped`: seconds by which what was asked lay outside."""

    start: float
    end: float
    clamped: float = 0.0


def choose_times(
    reader: ClipReader,
    span: Span,
    sampler: Sampler,
    view: tuple[int, int],
    rng: np.random.Generator | None,
    jitter: TimeJitter | None,
) -> tuple[FloatArray, BoolArray]:
    """Times `(T,)` inside the span (or the context around it), and which of them are real. Arguments as in
    `marey.data.clips.load_clip`."""
    frame_times = reader.times
    if rng is None:
        cues = _cues(reader, span, sampler)
        number, count = view
        if not 0 <= number < count:
            raise ConfigError(f"view {number} of {count} is not there; views count from 0.")
        if count == 1:
            return sampler.times(frame_times, span.start, span.end, cues=cues)
        return sampler.views(frame_times, span.start, span.end, count, cues=cues)[number]
    jitter = jitter or TimeJitter()
    before, after, factor = rng.random(3)  # drawn always: one setting changes no other's draws
    factor = 1 + jitter.speed * (2 * factor - 1)
    around = jitter.context * (span.end - span.start)
    span = Span(
        max(float(frame_times[0]), span.start - before * around),
        min(float(reader.info.end), span.end + after * around),
    )
    cues = _cues(reader, span, sampler)
    if factor == 1:
        return sampler.times(frame_times, span.start, span.end, rng, cues=cues)
    if isinstance(sampler, (Rate, Dense, Windows)):  # on a clock that runs slower, the video runs faster
        times, mask = sampler.times(
            frame_times / factor, span.start / factor, span.end / factor, rng, cues=cues
        )
        return _inside(times * factor, span), mask
    times, mask = sampler.times(frame_times, span.start, span.end, rng, cues=cues)
    return warped(times, span, factor), mask


def _inside(times: FloatArray, span: Span) -> FloatArray:
    return np.clip(times, span.start, np.nextafter(span.end, -np.inf))


def _cues(reader: ClipReader, span: Span, sampler: Sampler) -> FloatArray | None:
    """What the sampler must know besides the times."""
    if sampler.cue is None:
        return None
    if sampler.cue == "keyframes":
        return reader.keyframes
    return motion_energy(reader, span)


def motion_energy(reader: ClipReader, span: Span, *, size: int = 32, chunk: int = 256) -> FloatArray:
    """Mean absolute change of grey level from the frame before, for each frame of the video `(N,)`; 0 for
    the first frame on screen in `span` and for all frames outside it. Decodes the whole span."""
    times = reader.times
    first = max(int(np.searchsorted(times, span.start, side="right")) - 1, 0)
    last = int(np.searchsorted(times, span.end, side="left"))
    energy = np.zeros(len(times))
    previous: UInt8Array | None = None
    for begin in range(first, last, chunk):
        stop = min(begin + chunk, last)
        frames = reader.frames_at(times[begin:stop], size=size, decode="gray").frames
        joined = frames if previous is None else np.concatenate([previous, frames])
        change = np.abs(np.diff(joined.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
        energy[stop - len(change) : stop] = change
        previous = frames[-1:]
    return energy


def warped(times: FloatArray, span: Span, slope: float) -> FloatArray:
    """Times of `span` under u -> slope·u + (1−slope)·u², u from 0 at its start to 1 at its end: monotone for
    slope in [0, 2], its ends fixed, its speed running evenly from `slope` to 2−slope."""
    length = span.end - span.start
    u = (times - span.start) / length
    return _inside(span.start + length * (slope * u + (1 - slope) * u**2), span)
