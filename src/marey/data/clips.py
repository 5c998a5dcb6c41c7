"""THE path from a video to what a model sees: reader -> sampler -> resize -> flow -> crop -> padding. NumPy only.

Training, evaluation, prediction and every artifact's parity check take it; nothing else resizes or crops.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np

from marey.data.augment import TimeJitter
from marey.data.instants import ClipReader, Span, choose_times
from marey.data.manifest import Sample
from marey.data.motion import STILL, FlowSource, compute_fields, wanted_pairs
from marey.errors import ConfigError, SegmentError
from marey.spec import InputSpec
from marey.types import BoolArray, Clip, FloatArray
from marey.video.known import open_known
from marey.video.picture import scaled_size
from marey.video.reader import Truncated, frames_shown
from marey.video.sampling import Sampler, sampler_from_dict

Crop: TypeAlias = Literal["center", "left", "right"]


class Opener(Protocol):
    """How a path becomes a reader: `open_known`, `open_video`, or a memory that stands before it."""

    def __call__(self, path: str, *, truncated: Truncated) -> AbstractContextManager[ClipReader]: ...


def load_clip(
    source: Sample | str | os.PathLike[str],
    spec: InputSpec,
    *,
    start: float | None = None,
    end: float | None = None,
    sampler: Sampler | None = None,
    view: tuple[int, int] = (0, 1),
    crop: Crop | None = "center",
    rng: np.random.Generator | None = None,
    jitter: TimeJitter | None = None,
    truncated: Truncated = "error",
    opener: Opener = open_known,
    flow: FlowSource | None = None,
) -> Clip:
    """One clip of a sample or a file, as a model with this spec takes it.

    Frames are scaled inside the decoder so that the short side is `spec.resize` (more where the crop would
    not fit otherwise), then `spec.size` is cut out.

    Args:
        source: a sample (its own start and end hold) or a path.
        spec: what the model needs.
        start, end: the stretch in seconds on the video's own clock; they go before the sample's.
        sampler: instead of `spec.sampler`.
        view: (k, n): the k-th of n test-time clips. Plays no part with `rng`.
        crop: which part of the longer side is kept: center, left (top), right (bottom). None cuts nothing.
        rng: draws the jitter of training; without it the choice is the deterministic one of test time.
        jitter: temporal augmentation; takes effect with `rng` alone.
        truncated: what a file that ends early does: raise, or give what it has.
        opener: where the reader comes from.
        flow: where optical flow comes from that need not be computed.

    Returns:
        Clip: frames uint8 `(spec.padded_frames(T), H, W, 3)`; the mask is False and the frames are zeros
        where there is padding. With flow where the model takes it; frames are black where flow is all it takes
        and none had to be computed.

    Raises:
        SegmentError: the stretch lies outside the video; see `segment_of`.
        VideoError: the file cannot be read as asked.
        ConfigError: the sampler gives more frames than a model of fixed length takes.
    """
    with opened(source, start, end, truncated=truncated, opener=opener) as (reader, span):
        clip = read_clip(reader, span, spec, sampler=sampler, view=view, rng=rng, jitter=jitter, flow=flow)
    return fit_clip(clip, spec, crop)


def load_views(
    source: Sample | str | os.PathLike[str],
    spec: InputSpec,
    *,
    clips: int = 1,
    crops: tuple[Crop, ...] = ("center",),
    start: float | None = None,
    end: float | None = None,
    sampler: Sampler | None = None,
    truncated: Truncated = "error",
    opener: Opener = open_known,
    flow: FlowSource | None = None,
    disturb: Callable[[int, Clip], Clip] | None = None,
) -> list[Clip]:
    """All test-time views of a sample, the file opened once: every crop of the first clip, then of the next.

    The same clips as `load_clip(view=(k, clips), crop=crop)` gives one by one; errors are the same too.
    `disturb` changes the frames of each clip (told its number) before flow is computed of them.
    """
    views = []
    with opened(source, start, end, truncated=truncated, opener=opener) as (reader, span):
        for k in range(clips):
            clip = read_clip(
                reader, span, spec, sampler=sampler, view=(k, clips), flow=flow,
                disturb=None if disturb is None else partial(disturb, k),
            )  # fmt: skip
            views += [fit_clip(clip, spec, crop) for crop in crops]
    return views


@contextmanager
def opened(
    source: Sample | str | os.PathLike[str],
    start: float | None = None,
    end: float | None = None,
    *,
    truncated: Truncated = "error",
    opener: Opener = open_known,
) -> Iterator[tuple[ClipReader, Span]]:
    """The reader of a sample or file, and the stretch of it that is meant; see `load_clip`."""
    where = ""
    if not isinstance(source, Sample):
        path = str(source)
    else:
        path, where = source.path, source.where
        start = source.start if start is None else start
        end = source.end if end is None else end
    with opener(path, truncated=truncated) as reader:
        yield reader, segment_of(reader, start, end, where=where)


def segment_of(reader: ClipReader, start: float | None, end: float | None, *, where: str = "") -> Span:
    """The stretch `[start, end)` on the video's own clock, inside the video.

    Annotations are rounded, so up to one frame's duration outside is clamped, and told in `Span.clamped`.
    A start of 0 means the beginning even of a video whose clock begins later.

    Raises:
        SegmentError: the stretch lies further outside, or is reversed or empty.
    """
    info, times = reader.info, reader.times
    first, last = float(times[0]), float(info.end)
    wanted_start = first if start is None or start == 0 else float(start)
    wanted_end = last if end is None else float(end)
    spot = where or str(info.path)
    asked = f"the segment {wanted_start:.3f}–{wanted_end:.3f} s"
    if wanted_end <= wanted_start:
        clock = (f"the clock of this video begins at {first:.3f} s",) if wanted_end <= first else ()
        raise SegmentError(f"{asked} is empty or reversed.", str(info.path), *clock, where=spot)
    if wanted_start < first or wanted_end > last:
        _within_a_frame(reader, wanted_start, wanted_end, asked, spot)
    begin, stop = max(wanted_start, first), min(wanted_end, last)
    if stop <= begin:
        raise SegmentError(f"{asked} begins where the video ends ({last:.3f} s).", str(info.path), where=spot)
    return Span(begin, stop, max(begin - wanted_start, wanted_end - stop, 0.0))


def _within_a_frame(reader: ClipReader, start: float, end: float, asked: str, spot: str) -> None:
    """Raise the `SegmentError` of a segment that lies further outside its video than one frame's duration."""
    info, times = reader.info, reader.times
    first, last = float(times[0]), float(info.end)
    frame = max(last - float(times[-1]), float(np.median(np.diff(times))) if len(times) > 1 else 0.0)
    if start < first - frame or end > last + frame:
        raise SegmentError(
            f"{asked} lies outside the video, which lasts from {first:.3f} s to {last:.3f} s.",
            str(info.path),
            f"up to one frame ({frame:.3f} s) outside would do; mend the times in the manifest",
            where=spot,
        )


def read_clip(
    reader: ClipReader,
    span: Span,
    spec: InputSpec,
    *,
    sampler: Sampler | None = None,
    view: tuple[int, int] = (0, 1),
    rng: np.random.Generator | None = None,
    jitter: TimeJitter | None = None,
    flow: FlowSource | None = None,
    disturb: Callable[[Clip], Clip] | None = None,
) -> Clip:
    """Choose the times and decode: the whole picture at the size to be cropped from, with the flow between
    such pictures where the model takes it, and with the sampler's own padding and no other. `load_clip` and
    `load_views` tell what the arguments are."""
    sampler = sampler_from_dict(spec.sampler) if sampler is None else sampler
    times, mask = choose_times(reader, span, sampler, view, rng, jitter)
    return clip_at(reader, times, mask, spec, sampler=sampler, flow=flow, disturb=disturb)


def clip_at(
    reader: ClipReader,
    times: FloatArray,
    mask: BoolArray,
    spec: InputSpec,
    *,
    sampler: Sampler,
    flow: FlowSource | None = None,
    disturb: Callable[[Clip], Clip] | None = None,
) -> Clip:
    """`read_clip` at times that `sampler` has chosen already: `(T,)`, with the mask of those that are real."""
    size = resized(reader.info.height, reader.info.width, spec)
    if "flow" not in spec.modalities:
        clip = reader.frames_at(times[mask], size=size)
        clip = clip if disturb is None else disturb(clip)
    else:
        run = sampler.snippet[0] if sampler.snippet else None
        clip = _with_flow(reader, times[mask], spec, size, run, None if disturb else flow, disturb)
    if mask.all():
        return clip
    return Clip(
        _grown(clip.frames, len(times)),
        np.concatenate([clip.times, np.full(len(times) - len(clip), clip.times[-1])]),
        mask,
        None if clip.flow is None else _grown(clip.flow, len(times) - 1, STILL),
    )


def _with_flow(
    reader: ClipReader,
    times: FloatArray,
    spec: InputSpec,
    size: tuple[int, int],
    run: int | None,
    source: FlowSource | None,
    disturb: Callable[[Clip], Clip] | None,
) -> Clip:
    """The frames shown at these times and the flow between them; nothing is decoded that nobody looks at."""
    index = frames_shown(reader.times, reader.info.end, times, Path(reader.info.path))
    wanted = wanted_pairs(index, run)
    fields = np.full((len(wanted), 2, *size), STILL, dtype=np.uint8)
    missing = wanted.copy()
    first, second = index[:-1], index[1:]
    if source is not None and wanted.any():
        fields[wanted], known = source.find(reader, first[wanted], second[wanted], size)
        missing[wanted] = ~known
    if spec.modalities == ("flow",) and not missing.any():
        black = np.zeros((len(times), *size, 3), dtype=np.uint8)
        return Clip(black, reader.times[index], np.ones(len(times), dtype=bool), fields)
    clip = reader.frames_at(times, size=size)
    clip = clip if disturb is None else disturb(clip)
    if missing.any():
        fields[missing] = compute_fields(clip.frames, clip.times, missing, spec.flow_method)[missing]
        if source is not None:
            source.keep(reader, first[missing], second[missing], fields[missing])
    return replace(clip, flow=fields)


def fit_clip(clip: Clip, spec: InputSpec, crop: Crop | None) -> Clip:
    """Cut `spec.size` out of every frame (not with `crop` None) and pad to `spec.padded_frames`."""
    frames, flow = clip.frames, clip.flow
    if crop is not None:
        top, left = corner(frames.shape[1], frames.shape[2], spec.size, crop)
        rows, columns = slice(top, top + spec.size[0]), slice(left, left + spec.size[1])
        frames = frames[:, rows, columns]
        flow = None if flow is None else flow[:, :, rows, columns]
    length = padded_length(spec, len(clip))
    return Clip(
        np.ascontiguousarray(_grown(frames, length)),
        np.concatenate([clip.times, np.full(length - len(clip), clip.times[-1])]),
        _grown(clip.mask, length),
        None if flow is None else np.ascontiguousarray(_grown(flow, length - 1, STILL)),
    )


def resized(height: int, width: int, spec: InputSpec) -> tuple[int, int]:
    """(height, width) to which a frame is scaled: short side `spec.resize`, and never too small to cut
    `spec.size` from. The picture keeps its shape, to the nearest pixel."""
    scale = max(spec.resize / min(height, width), spec.size[0] / height, spec.size[1] / width)
    height, width = scaled_size(height, width, scale)
    return max(height, spec.size[0]), max(width, spec.size[1])


def corner(height: int, width: int, size: tuple[int, int], crop: Crop) -> tuple[int, int]:
    """(top, left) of a crop. Left and right lie along the side with more room: the top and bottom of
    upright pictures."""
    if crop not in ("center", "left", "right"):
        raise ConfigError(f"crop must be center, left or right; got {crop!r}.")
    room = (height - size[0], width - size[1])
    assert min(room) >= 0, f"{size} does not fit in {height}×{width}"
    spot = [room[0] // 2, room[1] // 2]
    along = 1 if room[1] >= room[0] else 0
    if crop != "center":
        spot[along] = 0 if crop == "left" else room[along]
    return spot[0], spot[1]


def padded_length(spec: InputSpec, frames: int) -> int:
    """`spec.padded_frames`, and an error where the network cannot take so many."""
    length = spec.padded_frames(frames)
    if length < frames:
        raise ConfigError(
            f"the sampler gives {frames} frames, but this model takes exactly {spec.frames}.",
            "choose a sampler that gives no more",
        )
    return length


def _grown(array: np.ndarray, length: int, filling: int = 0) -> np.ndarray:
    """`filling` (0, False) added behind along the first axis."""
    if len(array) == length:
        return array
    grown = np.full((length, *array.shape[1:]), filling, dtype=array.dtype)
    grown[: len(array)] = array
    return grown
