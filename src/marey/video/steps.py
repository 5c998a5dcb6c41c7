"""Long generated videos in which motions begin and end: several in sequence, some at the same time, with pauses.

Two textured objects live on a still background. Each goes through its own script of actions (the eight plain
motions of `marey.video.synthetic`) and pauses, so that actions of the two overlap at times; a video's segments are
known exactly, and no two of one class meet. Distractors carry no label: an object trembles on the spot, the light
flickers. An object goes on from where its last action left it, so that **no single frame tells what happens**.

With compound actions (there and back again) a short window does not tell either: each half of one is a plain motion,
and what it belongs to is told by what comes before and after.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marey.errors import ConfigError
from marey.types import FloatArray, Segment, UInt8Array
from marey.video.drawing import placement, texture, textured_object
from marey.video.synthetic import write_video

# What changes in a second: x, y in widths of the picture, log-size, angle in quarter turns.
_SPEEDS: dict[str, tuple[float, float, float, float]] = {
    "left": (-1, 0, 0, 0),
    "right": (1, 0, 0, 0),
    "up": (0, -1, 0, 0),
    "down": (0, 1, 0, 0),
    "clockwise": (0, 0, 0, 1),
    "anticlockwise": (0, 0, 0, -1),
    "approach": (0, 0, 1, 0),
    "recede": (0, 0, -1, 0),
}
STEPS: tuple[str, ...] = tuple(_SPEEDS)
# Half of its time one way and half of it back; which way first is random, so a mirror changes no class.
_THERE_AND_BACK = {"sway": "right", "bob": "down", "swing": "clockwise"}
COMPOUND: tuple[str, ...] = (*STEPS, *_THERE_AND_BACK)
BACKGROUND = "background"

_SMALLEST, _LARGEST = 0.24, 0.60  # of an object, in widths of the picture
_SETTINGS_FILE = "steps.json"
_EMPTY_EVERY = 21  # odd, so that with a quarter held out there are some on both sides


@dataclass(frozen=True, eq=False)
class StepsVideo:
    """One rendered video and the truth about it.

    Attributes:
        frames: uint8 `(T, H, W, 3)`. times: float64 `(T,)` seconds.
        segments: what happens when, by start; those of different objects may overlap.
    """

    frames: UInt8Array
    times: FloatArray
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class _Span:
    """A stretch of an object's script: an action, a pause (`kind` "") or a distractor ("tremble")."""

    start: float
    end: float
    kind: str
    speed: float  # of what goes there and back, below 0: the other way first


def render_steps(
    rng: np.random.Generator,
    *,
    seconds: float = 30.0,
    fps: float = 10.0,
    size: int = 64,
    objects: int = 2,
    classes: Sequence[str] = STEPS,
    times: Sequence[float] | FloatArray | None = None,
) -> StepsVideo:
    """Draw one video; where nothing else is said everything is random.

    Args:
        rng: where all randomness comes from.
        seconds: length.
        fps: frame rate; or
        times: the frames' own instants, from 0 (a variable frame rate).
        size: width and height in pixels.
        objects: how many move; one never overlaps itself.
        classes: actions, from `COMPOUND`; none gives a video in which nothing happens.
    """
    instants = np.arange(round(seconds * fps)) / fps if times is None else np.asarray(times, dtype=np.float64)
    level = rng.uniform(70, 180)
    background = texture(rng, size, rng.uniform(0.06, 0.2), level)
    light = _flicker(rng, seconds, instants)
    canvas = np.repeat(background[None], len(instants), axis=0)
    segments: list[Segment] = []
    for _ in range(objects):
        log_size = np.log(rng.uniform(_SMALLEST, _LARGEST * 0.8))
        script = _script(rng, seconds, log_size, classes, segments)
        poses = _poses(rng, script, instants, log_size, size)
        colours, alpha = textured_object(rng, size, level)
        _paint(canvas, poses, colours, alpha)
        segments += [Segment(s.start, s.end, s.kind) for s in script if s.kind in COMPOUND]
    frames = canvas * light[:, None, None, None] + rng.normal(0, 2.0, canvas.shape)
    ordered = tuple(sorted(segments, key=lambda s: (s.start, s.end, s.label)))
    return StepsVideo(np.clip(frames, 0, 255).astype(np.uint8), instants, ordered)


def make_steps(
    out: str | Path,
    *,
    videos: int = 80,
    seconds: float = 30.0,
    fps: float = 10.0,
    size: int = 64,
    objects: int = 2,
    compound: bool = False,
    val: float = 0.25,
    seed: int = 0,
) -> Path:
    """Write a folder of encoded videos with known segments, and its manifest.

    The same arguments give the same pixels. A folder that already holds this very set is left as it is.

    Args:
        out: the folder; made if need be.
        videos: how many; one in 21 has no action at all.
        seconds, fps, size, objects: of each.
        compound: with actions that go there and back, of which each half looks like another action.
        val: the share that the manifest marks `val`.

    Returns:
        The path of `segments.csv` (columns path, label, start, end, split, group): a row a segment; a video without
        any has one row of the label `background`.

    Raises:
        ConfigError: the folder holds something else; nothing in it is touched.
    """
    out = Path(out)
    if videos < 2 or seconds <= 0 or fps <= 0 or not 0 <= val < 1:
        raise ConfigError(
            f"two videos or more, seconds and fps above 0, val in [0, 1); got {videos}, {seconds}, {fps}, {val}."
        )
    made_by = {
        "videos": videos, "seconds": seconds, "fps": fps, "size": size, "objects": objects, "compound": compound,
        "val": val, "seed": seed, "version": 2,
    }  # fmt: skip
    manifest, settings = out / "segments.csv", out / _SETTINGS_FILE
    if out.exists() and any(out.iterdir()):
        found = json.loads(settings.read_text()) if settings.is_file() else None
        if found != made_by:
            held = f"a set made with other settings: {found}" if found else "something else"
            raise ConfigError(f"{out} already holds {held}.", "name another folder, or delete this one.")
        if manifest.is_file():
            return manifest
    (out / "videos").mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(made_by))
    rows: list[tuple[object, ...]] = []
    classes = COMPOUND if compound else STEPS
    for index in range(videos):
        name = f"videos/{index:05d}.mp4"
        rng = np.random.default_rng([seed, index])
        empty = index % _EMPTY_EVERY == 19
        video = render_steps(
            rng, seconds=seconds, fps=fps, size=size, objects=objects, classes=() if empty else classes
        )
        if not (out / name).is_file():
            write_video(out / name, video.frames, fps=fps)
        split = "val" if int((index + 1) * val) > int(index * val) else "train"
        found_in = video.segments or (Segment(0.0, seconds, BACKGROUND),)
        rows += [
            (name, s.label, f"{s.start:.3f}", f"{s.end:.3f}", split, f"video-{index:05d}") for s in found_in
        ]
    temporary = manifest.with_suffix(".part")
    with temporary.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "start", "end", "split", "group"), *rows])
    temporary.replace(manifest)
    return manifest


def _script(
    rng: np.random.Generator,
    seconds: float,
    log_size: float,
    classes: Sequence[str],
    others: Sequence[Segment],
) -> list[_Span]:
    """Pauses and actions in turn, to the end. Never the same action as another object's at the same time, which
    would make one segment of two; and sizes stay within bounds."""
    script: list[_Span] = []
    at = float(rng.uniform(0.3, 2.0))
    while True:
        length = float(rng.uniform(1.0, 3.5))
        if at + length > seconds - 0.2:
            return script
        busy = {s.label for s in others if s.start < at + length + 0.3 and s.end > at - 0.3}
        rooms = {"approach": np.log(_LARGEST) - log_size, "recede": log_size - np.log(_SMALLEST)}
        free = [name for name in classes if name not in busy and rooms.get(name, 1.0) > 0.35]
        if not free or rng.random() < 0.15:
            script.append(_Span(at, at + length, "tremble", float(rng.uniform(0.01, 0.03))))
        else:
            kind = str(rng.choice(free))
            speed = float(rng.uniform(0.3, 0.5))
            if kind in rooms:
                length = min(length, float(rooms[kind]) / speed)
                log_size += _SPEEDS[kind][2] * speed * length
            if kind in _THERE_AND_BACK and rng.random() < 0.5:
                speed = -speed
            script.append(_Span(at, at + length, kind, speed))
        at += length + float(rng.uniform(0.4, 2.5))


def _poses(
    rng: np.random.Generator, script: list[_Span], instants: FloatArray, log_size: float, size: int
) -> FloatArray:
    """`(T, 4)`: x, y in pixels (not wrapped), scale in pixels, angle in radians."""
    pose = np.zeros((len(instants), 4))
    pose[:] = (*rng.uniform(0, 1, 2), log_size, rng.uniform(0, 4))
    for span in script:
        done = np.clip(instants, span.start, span.end) - span.start
        if span.kind in COMPOUND:
            if span.kind in _THERE_AND_BACK:
                done = np.minimum(done, span.end - span.start - done)
            # A turn of a quarter a second looks as fast as half a width a second
            unit = np.array([1.0, 1.0, 1.0, 2.5])
            pose += (
                done[:, None]
                * span.speed
                * np.array(_SPEEDS[_THERE_AND_BACK.get(span.kind, span.kind)])
                * unit
            )
        else:
            inside = (instants >= span.start) & (instants < span.end)
            pose[inside, :2] += rng.normal(0, span.speed, (int(inside.sum()), 2))
    pose[:, :2] *= size
    pose[:, 2] = np.exp(pose[:, 2]) * size
    pose[:, 3] *= np.pi / 2
    return pose


def _flicker(rng: np.random.Generator, seconds: float, instants: FloatArray) -> FloatArray:
    """Brightness of each frame: 1, with a few stretches of trembling light."""
    light = np.ones(len(instants))
    for _ in range(int(rng.integers(0, 3))):
        start = rng.uniform(0, seconds)
        inside = (instants >= start) & (instants < start + rng.uniform(0.5, 2.0))
        light[inside] *= 1 + rng.uniform(-0.15, 0.15, int(inside.sum()))
    return light


def _paint(
    canvas: NDArray[np.float32], poses: FloatArray, colours: NDArray[np.float32], alpha: NDArray[np.float32]
) -> None:
    """Put the object into every frame; it leaves on one side and comes back on the other."""
    import cv2

    size, side = canvas.shape[1], colours.shape[0]
    for frame, (x, y, scale, angle) in zip(canvas, poses, strict=True):
        for dx in (-size, 0, size):
            for dy in (-size, 0, size):
                cx, cy = x % size + dx, y % size + dy
                if max(abs(cx - size / 2), abs(cy - size / 2)) > size / 2 + scale:
                    continue
                warp = placement(side, cx, cy, scale, angle)
                seen = cv2.warpAffine(alpha, warp, (size, size), flags=cv2.INTER_LINEAR)
                if seen.any():
                    paint = cv2.warpAffine(
                        colours, warp, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                    )
                    frame[:] = frame * (1 - seen[..., None]) + paint * seen[..., None]
