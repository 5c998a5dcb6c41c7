"""Which instants of a video make a clip: the sampler's choice, shifted by temporal augmentation. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marey.data.augment import TimeJitter
from marey.errors import ConfigError
from marey.types import BoolArray, Clip, FloatArray, UInt8Array
from marey.video.picture import Box, Decode, Size
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

    def frames_at(
        self, times: ArrayLike, *, size: Size = None, decode: Decode = "rgb", box: Box | None = None
    ) -> Clip: ...


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
    # a stream of its own, for the same reason
    losses = rng.spawn(1)[0] if jitter.rate or jitter.hold or jitter.drop else None
    cues = _cues(reader, span, sampler)
    filmed = frame_times
    if losses is not None and jitter.rate:
        kept = thinned(frame_times, span, 1 - jitter.rate * losses.random())
        if (
            sampler.cue == "motion" and cues is not None
        ):  # what moved between two of its frames is seen in the later
            cues = np.diff(np.cumsum(cues)[kept], prepend=0.0)
        filmed = frame_times[kept]
    if factor == 1:
        times, mask = sampler.times(filmed, span.start, span.end, rng, cues=cues)
    elif isinstance(sampler, (Rate, Dense, Windows)):  # on a clock that runs slower, the video runs faster
        times, mask = sampler.times(filmed / factor, span.start / factor, span.end / factor, rng, cues=cues)
        times = _inside(times * factor, span)
    else:
        times, mask = sampler.times(filmed, span.start, span.end, rng, cues=cues)
        times = warped(times, span, factor)
    if jitter.rate:  # the frame that the slower camera showed then
        times = _inside(filmed[np.maximum(np.searchsorted(filmed, times, side="right") - 1, 0)], span)
    return (times, mask) if losses is None else lost(times, mask, jitter, losses)


def thinned(frame_times: FloatArray, span: Span, share: float) -> NDArray[np.intp]:
    """Which frames a camera with `share` of the frame rate would have filmed, evenly, the one on screen at the
    beginning of `span` being the first of them there; all that lie before it."""
    first = max(int(np.searchsorted(frame_times, span.start, side="right")) - 1, 0)
    steps = np.arange(int((len(frame_times) - 1 - first) * share) + 1)
    chosen = np.minimum(first + np.floor(steps / share + 1e-9).astype(np.intp), len(frame_times) - 1)
    return np.concatenate([np.arange(first), np.unique(chosen)])


def lost(
    times: FloatArray, mask: BoolArray, jitter: TimeJitter, rng: np.random.Generator
) -> tuple[FloatArray, BoolArray]:
    """Frames that come late or not at all; the first and the last real one always come.

    A late frame's place is taken by the one before it, and that is a real frame twice: nothing in the mask changes. A
    missing frame leaves no hole: those after it move up, and the clip has one more place of padding at its end. Real
    frames so come first, as everywhere, and no answer of a model depends on the padding after them: it is trained on
    shorter clips, not on blank pictures."""
    real = int(mask.sum())
    late, missing = rng.random((2, real))  # drawn always
    late[:1], late[-1:], missing[:1], missing[-1:] = 1, 1, 1, 1
    index = np.arange(real)
    index = np.maximum.accumulate(np.where(late < jitter.hold, 0, index))
    shown = times[:real][index][missing >= jitter.drop]
    return (
        np.concatenate([shown, np.full(len(times) - len(shown), shown[-1])]),
        np.arange(len(times)) < len(shown),
    )


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
