"""Samplers: which instants of a video make a clip. Pure mathematics over times; no decoding, no torch.

Every sampler is a frozen dataclass with three calls:

    times(frame_times, start, end, rng=None, cues=None) -> (times (T,), mask (T,))
    views(frame_times, start, end, count, cues=None)    -> [(times, mask), …]
    to_dict()                                           -> plain JSON; `sampler_from_dict` is the inverse

`frame_times` are the presentation times in seconds of all frames of the video; `[start, end)` is the segment.
Without `rng` the choice is the deterministic one of test time; with it, the jitter of training comes from
that generator alone. A frame counts as belonging to the segment if it is on screen at any time in it.

Where a segment holds fewer frames than asked for, all of them are given and the rest is padding: the times
repeat the last real one and the mask is False there. Nothing is stretched, looped or left out for it.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from marey.errors import ConfigError, SegmentError, UnknownNameError

Times: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Picked: TypeAlias = tuple[Times, Mask]


class Sampler(Protocol):
    """What every sampler offers; see the module's docstring."""

    name: ClassVar[str]
    cue: str | None

    @property
    def length(self) -> int | None:
        """T at most, or None where only the video bounds it."""
        ...

    @property
    def snippet(self) -> tuple[int, int] | None:
        """(frames, stride) where a clip is made of runs of neighbouring frames, else None."""
        ...

    def times(
        self,
        frame_times: Times,
        start: float,
        end: float,
        rng: np.random.Generator | None = None,
        *,
        cues: Times | None = None,
    ) -> Picked: ...

    def views(
        self, frame_times: Times, start: float, end: float, count: int, *, cues: Times | None = None
    ) -> list[Picked]: ...

    def to_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class _Base:
    """Turns a generator, or the number of a view, into a phase and a place; the subclasses do the choosing.

    phase: 0…1, where inside its bin each instant lies (one number for all bins, or one a bin).
    place: 0…1, where in the segment a clip lies that does not fill it.
    """

    name: ClassVar[str] = ""

    @property
    def cue(self) -> str | None:
        """What the sampler must be told of the video besides its times: None, "keyframes" or "motion"."""
        return None

    @property
    def length(self) -> int | None:
        return None

    @property
    def snippet(self) -> tuple[int, int] | None:
        return None

    def times(
        self,
        frame_times: Times,
        start: float,
        end: float,
        rng: np.random.Generator | None = None,
        *,
        cues: Times | None = None,
    ) -> Picked:
        """The instants of one clip in seconds, sorted and inside `[start, end)`, and which of them are real.

        Raises:
            SegmentError: the segment is empty or reversed, or no frame is on screen in it.
        """
        if rng is None:
            return self._pick(_inside(frame_times, start, end), start, end, 0.5, 0.5, cues)
        return self._pick(
            _inside(frame_times, start, end), start, end, self._draw(rng), float(rng.random()), cues
        )

    def views(
        self, frame_times: Times, start: float, end: float, count: int, *, cues: Times | None = None
    ) -> list[Picked]:
        """`count` different clips of one segment, spread evenly; one view is the same clip as `times` gives."""
        if count < 1:
            raise ConfigError(f"{count} views were asked for; the least is 1.")
        inside = _inside(frame_times, start, end)
        spots = [(k + 0.5) / count for k in range(count)]
        return [self._pick(inside, start, end, spot, spot, cues) for spot in spots]

    def to_dict(self) -> dict[str, Any]:
        """`{"name": ..., **fields}` in plain JSON types."""
        plain: dict[str, Any] = {"name": self.name}
        for setting in dataclasses.fields(self):
            value = getattr(self, setting.name)
            plain[setting.name] = value.to_dict() if isinstance(value, _Base) else value
        return plain

    def _draw(self, rng: np.random.Generator) -> float | Times:
        return float(rng.random())

    def _pick(
        self, inside: Times, start: float, end: float, phase: float | Times, place: float, cues: Times | None
    ) -> Picked:
        raise AssertionError(f"{type(self).__name__} does not choose")


@dataclass(frozen=True)
class Uniform(_Base):
    """`n` instants at equal distances over the whole segment. Training shifts all of them by one jitter."""

    n: int = 16
    name: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        _at_least_one(self, "n")

    @property
    def length(self) -> int:
        return self.n

    def _pick(
        self, inside: Times, start: float, end: float, phase: float | Times, place: float, cues: Times | None
    ) -> Picked:
        return _one_a_bin(inside, start, end, self.n, phase)


@dataclass(frozen=True)
class Segments(_Base):
    """The rule of Temporal Segment Networks (Wang et al. 2016, arXiv 1608.00859): `n` equal bins, one instant
    in each, drawn anew in every bin when `jitter` is on and a generator is given; else the bin's middle."""

    n: int = 8
    jitter: bool = True
    name: ClassVar[str] = "segments"

    def __post_init__(self) -> None:
        _at_least_one(self, "n")

    @property
    def length(self) -> int:
        return self.n

    def _draw(self, rng: np.random.Generator) -> float | Times:
        return rng.random(self.n) if self.jitter else 0.5

    def _pick(
        self, inside: Times, start: float, end: float, phase: float | Times, place: float, cues: Times | None
    ) -> Picked:
        return _one_a_bin(inside, start, end, self.n, phase)


@dataclass(frozen=True)
class Snippets(_Base):
    """`n` runs of `fields` + 1 neighbouring frames, one in each of `n` equal parts of the segment: what stacks of
    optical flow are made of (Simonyan and Zisserman 2014, arXiv 1406.2199; Wang et al. 2016, arXiv 1608.00859).

    Every `stride`-th frame counts as a neighbour: 2 for footage that holds each frame twice. A run lies in the
    middle of its part at test time, anywhere in it in training. A segment that has no room for `n` runs gives
    every `stride`-th of its frames, in one row, and padding.
    """

    n: int = 3
    fields: int = 10
    stride: int = 1
    name: ClassVar[str] = "snippets"

    def __post_init__(self) -> None:
        for setting in ("n", "fields", "stride"):
            _at_least_one(self, setting)

    @property
    def length(self) -> int:
        return self.n * (self.fields + 1)

    @property
    def snippet(self) -> tuple[int, int]:
        return self.fields + 1, self.stride

    def _draw(self, rng: np.random.Generator) -> float | Times:
        return rng.random(self.n)

    def _pick(
        self, inside: Times, start: float, end: float, phase: float | Times, place: float, cues: Times | None
    ) -> Picked:
        # With a generator `place` is a draw of its own; without, it says where in the middle of things we are.
        frames = inside[min(int(place * self.stride), len(inside) - 1) :: self.stride]
        have, run = len(frames), self.fields + 1
        if have <= self.length:
            return _padded(frames, self.length)
        edges = np.arange(self.n + 1) * have // self.n
        room = np.diff(edges) - run
        first = edges[:-1] + np.minimum((np.asarray(phase) * (room + 1)).astype(np.int64), room)
        return _padded(frames[(first[:, None] + np.arange(run)).ravel()], self.length)


@dataclass(frozen=True)
class Rate(_Base):
    """`fps` instants a second, so that equal motion looks equal in every video; T follows the length.

    A segment that would give more than `max` instants gives a stretch of `max` of them: the middle at test
    time, a random one in training, evenly spread ones as views.
    """

    fps: float = 8.0
    max: int | None = 64
    name: ClassVar[str] = "rate"

    def __post_init__(self) -> None:
        _positive(self, "fps")
        if self.max is not None:
            _at_least_one(self, "max")

    @property
    def length(self) -> int | None:
        return self.max

    def _pick(
        self, inside: Times, start: float, end: float, phase: float | Times, place: float, cues: Times | None
    ) -> Picked:
        count = max(1, int(np.ceil((end - start) * self.fps - np.asarray(phase, dtype=float).item() - 1e-9)))
        first = 0
        if self.max is not None and count > self.max:
            first = round(place * (count - self.max))
            count = self.max
        instants = start + (first + np.arange(count) + phase) / self.fps
        return _padded(_clamped(instants, start, end), count)


@dataclass(frozen=True)
class Dense(_Base):
    """`n` instants `stride_s` seconds apart: one short stretch, seen closely. The stretch lies in the middle at
    test time, anywhere in training. A segment shorter than the stretch gives what it has, then padding."""

    n: int = 16
    stride_s: float = 0.08
    name: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        _at_least_one(self, "n")
        _positive(self, "stride_s")

    @property
    def length(self) -> int:
        return self.n

    def _pick(
        self, inside: Times, start: float, end: float, phase: float | Times, place: float, cues: Times | None
    ) -> Picked:
        span = self.n * self.stride_s
        slack = (end - start) - span
        if slack >= 0:
            first = start + place * slack + 0.5 * self.stride_s
            return _padded(_clamped(first + np.arange(self.n) * self.stride_s, start, end), self.n)
        fits = max(1, int(np.floor((end - start) / self.stride_s + 1e-9)))
        first = start + 0.5 * min(self.stride_s, end - start)
        return _padded(_clamped(first + np.arange(fits) * self.stride_s, start, end), self.n)


@dataclass(frozen=True)
class Adaptive(_Base):
    """A share of each video's own frames: `ratio` of them, at least `min` and at most `max`, evenly spread over
    the frames themselves. Longer videos give longer clips; batches of mixed lengths are padded and masked."""

    ratio: float = 0.25
    min: int = 8
    max: int = 64
    name: ClassVar[str] = "adaptive"

    def __post_init__(self) -> None:
        _positive(self, "ratio")
        _at_least_one(self, "min")
        if self.ratio > 1 or self.max < self.min:
            raise ConfigError(
                f"adaptive needs ratio ≤ 1 and min ≤ max; got {self.ratio}, {self.min}, {self.max}."
            )

    @property
    def length(self) -> int:
        return self.max

    def _pick(
        self, inside: Times, start: float, end: float, phase: float | Times, place: float, cues: Times | None
    ) -> Picked:
        have = len(inside)
        wanted = int(np.clip(round(self.ratio * have), self.min, self.max))
        return _one_of_each(inside, wanted, phase)


@dataclass(frozen=True)
class Windows(_Base):
    """Sliding windows of `length_s` seconds every `hop_s`, each of them sampled by `inner`.

    `windows` lists them all: that is what long videos are judged by. As a plain sampler it gives one window:
    the middle one at test time, any one in training, and evenly spread ones as views.
    """

    length_s: float = 2.0
    hop_s: float = 1.0
    inner: Uniform | Rate | Dense | Segments | Snippets | Adaptive = field(
        default_factory=lambda: Uniform(16)
    )
    name: ClassVar[str] = "windows"

    def __post_init__(self) -> None:
        _positive(self, "length_s")
        _positive(self, "hop_s")
        if self.hop_s > self.length_s:
            raise ConfigError(
                f"a hop of {self.hop_s} s between windows of {self.length_s} s would leave gaps that nothing sees."
            )

    @property
    def length(self) -> int | None:
        return self.inner.length

    @property
    def snippet(self) -> tuple[int, int] | None:
        return self.inner.snippet

    def windows(self, start: float, end: float) -> list[tuple[float, float]]:
        """Every window of `[start, end)`, in order. They cover all of it: the last one is moved back so that
        it ends where the segment ends; a segment shorter than a window is one window, of its own length."""
        if not end > start:
            raise SegmentError(f"the segment {start:.3f}–{end:.3f} s is empty or reversed.")
        if end - start <= self.length_s:
            return [(start, end)]
        hops = int(np.floor((end - start - self.length_s) / self.hop_s + 1e-9))
        starts = [start + k * self.hop_s for k in range(hops + 1)]
        if starts[-1] + self.length_s < end - 1e-9:
            starts.append(end - self.length_s)
        return [(s, min(s + self.length_s, end)) for s in starts]

    def _draw(self, rng: np.random.Generator) -> float | Times:
        return self.inner._draw(rng)

    def _pick(
        self, inside: Times, start: float, end: float, phase: float | Times, place: float, cues: Times | None
    ) -> Picked:
        every = self.windows(start, end)
        s, e = every[min(int(place * len(every)), len(every) - 1)]
        return self.inner._pick(_inside(inside, s, e), s, e, phase, place, cues)


@dataclass(frozen=True)
class Keyframes(_Base):
    """`n` frames where something happens.

    by="codec": the video's own keyframes (`cues` are their times in seconds): nearly free to decode. More than
    `n` are thinned evenly; fewer leave padding.
    by="motion": as many instants where there is much motion as where there is little *per unit of motion*:
    equal steps of cumulative motion energy (`cues` has one energy ≥ 0 for each frame of the video, that of the
    change from the frame before). A video in which nothing moves is sampled evenly.
    """

    n: int = 8
    by: Literal["codec", "motion"] = "codec"
    name: ClassVar[str] = "keyframes"

    def __post_init__(self) -> None:
        _at_least_one(self, "n")
        if self.by not in ("codec", "motion"):
            raise UnknownNameError("keyframe rule", self.by, ("codec", "motion"))

    @property
    def cue(self) -> str:
        return "keyframes" if self.by == "codec" else "motion"

    @property
    def length(self) -> int:
        return self.n

    def times(
        self,
        frame_times: Times,
        start: float,
        end: float,
        rng: np.random.Generator | None = None,
        *,
        cues: Times | None = None,
    ) -> Picked:
        return super().times(frame_times, start, end, rng, cues=self._local(frame_times, start, end, cues))

    def views(
        self, frame_times: Times, start: float, end: float, count: int, *, cues: Times | None = None
    ) -> list[Picked]:
        return super().views(frame_times, start, end, count, cues=self._local(frame_times, start, end, cues))

    def _local(self, frame_times: Times, start: float, end: float, cues: Times | None) -> Times:
        """The cues of the segment: keyframe times inside it, or the energies of its frames."""
        assert cues is not None, f"Keyframes(by={self.by!r}) needs cues={self.cue}"
        if self.by == "codec":
            inside = cues[(cues >= start) & (cues < end)]
            # a segment between two keyframes still has a first frame to show
            return inside if len(inside) else _inside(frame_times, start, end)[:1]
        assert len(cues) == len(frame_times), "one energy a frame"
        first, last = _bounds(frame_times, start, end)
        energy = np.array(cues[first:last], dtype=np.float64)
        energy[0] = 0.0  # the change into the segment is not motion inside it
        return energy

    def _pick(
        self, inside: Times, start: float, end: float, phase: float | Times, place: float, cues: Times | None
    ) -> Picked:
        assert cues is not None
        if self.by == "codec":
            return _one_of_each(cues, self.n, phase)
        if len(inside) <= self.n or cues.sum() <= 0:
            return _one_of_each(inside, self.n, phase)
        steps = (np.arange(self.n) + phase) / self.n * cues.sum()
        index = np.minimum(np.searchsorted(np.cumsum(cues), steps, side="left"), len(inside) - 1)
        return _padded(inside[_distinct(index, len(inside))], self.n)


SAMPLERS: dict[str, type[_Base]] = {
    cls.name: cls for cls in (Uniform, Rate, Dense, Segments, Snippets, Adaptive, Windows, Keyframes)
}


def rate_of(plain: dict[str, Any]) -> float | None:
    """The frames a second that a sampler (`to_dict`) gives of every video alike; None where it depends on the video."""
    sampler = sampler_from_dict(plain)
    sampler = getattr(sampler, "inner", sampler)
    if isinstance(sampler, Rate):
        return sampler.fps
    return 1 / sampler.stride_s if isinstance(sampler, Dense) else None


def sampler_from_dict(plain: dict[str, Any]) -> Sampler:
    """Rebuild a sampler from `to_dict`.

    Raises:
        UnknownNameError: no sampler of that name.
        ConfigError: a setting that it does not have.
    """
    rest = dict(plain)
    name = rest.pop("name", "")
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", str(name), SAMPLERS)
    if isinstance(rest.get("inner"), dict):
        rest["inner"] = sampler_from_dict(rest["inner"])
    known = inspect.signature(SAMPLERS[name]).parameters
    unknown = [key for key in rest if key not in known]
    if unknown:
        raise ConfigError(
            f"sampler {name!r} has no setting {unknown[0]!r}.", f"its settings: {', '.join(known) or 'none'}"
        )
    return typing.cast("Sampler", SAMPLERS[name](**rest))


def parse_sampler(text: str) -> Sampler:
    """Read a sampler as one writes it on a command line: `uniform:16`, `rate:fps=8,max=64`, `dense:16,0.1`,
    `windows:2.0,1.0,uniform:16`. Settings are separated by commas, in order or by name."""
    name, _, rest = text.strip().partition(":")
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, SAMPLERS)
    fields = [f.name for f in dataclasses.fields(SAMPLERS[name])]
    plain: dict[str, Any] = {"name": name}
    parts = [part for part in rest.split(",") if part.strip()]
    for position, part in enumerate(parts):
        key, eq, value = part.partition("=")
        key = key.strip()
        if not eq:
            if position >= len(fields):
                raise ConfigError(f"sampler {text!r} has more settings than {', '.join(fields)}.")
            key, value = fields[position], part
        if key == "inner":
            plain[key] = parse_sampler(",".join([value, *parts[position + 1 :]])).to_dict()
            break
        plain[key] = _number_or_word(value.strip())
    try:
        return sampler_from_dict(plain)
    except TypeError as error:
        raise ConfigError(f"sampler {text!r} cannot be read: {error}.") from error


def _number_or_word(text: str) -> int | float | bool | str | None:
    words: dict[str, bool | None] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _bounds(frame_times: Times, start: float, end: float) -> tuple[int, int]:
    """`[first, last)`: the frames on screen at any time in `[start, end)`."""
    if not end > start:
        raise SegmentError(f"the segment {start:.3f}–{end:.3f} s is empty or reversed.")
    first = max(int(np.searchsorted(frame_times, start, side="right")) - 1, 0)
    last = int(np.searchsorted(frame_times, end, side="left"))
    if last <= first:
        shown = f"{frame_times[0]:.3f}–{frame_times[-1]:.3f} s" if len(frame_times) else "none"
        raise SegmentError(f"no frame is shown in {start:.3f}–{end:.3f} s (frames at {shown}).")
    return first, last


def _inside(frame_times: Times, start: float, end: float) -> Times:
    """The times of the segment's frames. The frame that is already on screen at `start` counts from there."""
    first, last = _bounds(frame_times, start, end)
    return np.maximum(np.asarray(frame_times[first:last], dtype=np.float64), start)


def _one_a_bin(inside: Times, start: float, end: float, n: int, phase: float | Times) -> Picked:
    """One instant in each of `n` equal stretches of time; all frames and padding where there are fewer than n."""
    if len(inside) <= n:
        return _padded(inside, n)
    return _padded(_clamped(start + (np.arange(n) + phase) * ((end - start) / n), start, end), n)


def _one_of_each(items: Times, n: int, phase: float | Times) -> Picked:
    """`n` of the given times, evenly spread over them by rank; all of them and padding where there are fewer."""
    have = len(items)
    if have <= n:
        return _padded(items, n)
    index = np.minimum(np.floor((np.arange(n) + phase) * (have / n)).astype(np.int64), have - 1)
    return _padded(items[index], n)


def _distinct(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Sorted indices below `size` made strictly increasing with the least change (needs len(index) ≤ size)."""
    ramp = np.arange(len(index))
    index = np.maximum.accumulate(index - ramp) + ramp
    return np.minimum(index, size - len(index) + ramp)


def _clamped(instants: NDArray[np.floating[Any]], start: float, end: float) -> Times:
    """Rounding must not push an instant out of `[start, end)`."""
    return np.clip(instants, start, np.nextafter(end, -np.inf))


def _padded(real: Times, n: int) -> Picked:
    times = np.full(n, real[-1], dtype=np.float64)
    times[: len(real)] = real
    return times, np.arange(n) < len(real)


def _at_least_one(sampler: _Base, setting: str) -> None:
    value = getattr(sampler, setting)
    if not isinstance(value, int) or value < 1:
        raise ConfigError(
            f"sampler {sampler.name!r}: {setting} must be a whole number of at least 1; got {value!r}."
        )


def _positive(sampler: _Base, setting: str) -> None:
    value = getattr(sampler, setting)
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not value > 0
        or not np.isfinite(value)
    ):
        raise ConfigError(f"sampler {sampler.name!r}: {setting} must be a number above 0; got {value!r}.")
