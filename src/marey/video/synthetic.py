"""Videos with known motion, for the demo, the tests and the docs.

A textured object moves over a still, textured background. Eleven classes differ in nothing but the motion:
position (on a torus), size and angle are drawn so that they are distributed alike in every class, as are
appearance, speed, contrast, length and frame rate. **No single frame tells the class.** Two of the classes
(`up-then-right`, `right-then-up`) hold the same motions and differ in their order alone, and the frames of
`scrambled` are those of any other class in random order: it is what a shuffled clip looks like. The true optical
flow is known at every pixel.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import ConfigError, UnknownNameError
from marey.types import BoolArray, FloatArray, UInt8Array
from marey.video.drawing import placement, texture, textured_object

# One stage: (x, y, log-size, angle) over the whole video, in units of (travel, travel, growth, turn).
# x runs right, y runs down, and a positive angle turns clockwise, as in image coordinates.
_STAGES: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "left": ((-1, 0, 0, 0),),
    "right": ((1, 0, 0, 0),),
    "up": ((0, -1, 0, 0),),
    "down": ((0, 1, 0, 0),),
    "clockwise": ((0, 0, 0, 1),),
    "anticlockwise": ((0, 0, 0, -1),),
    "approach": ((0, 0, 1, 0),),
    "recede": ((0, 0, -1, 0),),
    "up-then-right": ((0, -1, 0, 0), (1, 0, 0, 0)),
    "right-then-up": ((1, 0, 0, 0), (0, -1, 0, 0)),
}
SCRAMBLED = "scrambled"
MOTIONS: tuple[str, ...] = (*_STAGES, SCRAMBLED)

_RATES = (12.0, 15.0, 20.0, 24.0, 30.0)
_GROWTH = 1.1  # log-size gained by `approach` over the video: a factor of 3
_SETTINGS_FILE = "motion.json"


@dataclass(frozen=True, eq=False)
class MotionVideo:
    """One rendered video and the truth about it.

    Attributes:
        frames: uint8 `(T, H, W, 3)`.
        times: float64 `(T,)` seconds.
        label: the class of motion.
        flow: float32 `(T−1, 2, H, W)`: where each pixel of frame t goes in frame t+1, as (dx, dy) in pixels.
        masks: bool `(T, H, W)`: the pixels of the object.
    """

    frames: UInt8Array
    times: FloatArray
    label: str
    flow: NDArray[np.float32]
    masks: BoolArray


def render_motion(
    label: str,
    rng: np.random.Generator,
    *,
    size: int = 64,
    frames: int | None = None,
    fps: float | None = None,
) -> MotionVideo:
    """Draw one video of a class of motion; everything but the motion is random.

    Args:
        label: one of `MOTIONS`.
        rng: where all randomness comes from.
        size: width and height in pixels.
        frames, fps: length and frame rate; drawn where not given (1 to 1.8 s at 12 to 30 frames/s).
    """
    if label not in MOTIONS:
        raise UnknownNameError("motion", label, MOTIONS)
    fps = float(rng.choice(_RATES)) if fps is None else fps
    count = round(float(rng.uniform(1.0, 1.8)) * fps) if frames is None else frames
    pose = _poses(label, count, rng, size)
    level = rng.uniform(60, 190)
    background = texture(rng, size, rng.uniform(0.06, 0.25), level)
    sprite, alpha = textured_object(rng, size, level)

    import cv2

    side = sprite.shape[0]
    stack = np.empty((count, size, size, 3), dtype=np.uint8)
    masks = np.empty((count, size, size), dtype=bool)
    flow = np.zeros((max(count - 1, 0), 2, size, size), dtype=np.float32)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=0).astype(np.float32)
    for t, (x, y, scale, angle) in enumerate(pose):
        canvas = background.copy()
        covered = np.zeros((size, size), dtype=np.float32)
        for dx in (-size, 0, size):  # the object leaves on one side and comes back on the other
            for dy in (-size, 0, size):
                cx, cy = x % size + dx, y % size + dy
                if max(abs(cx - size / 2), abs(cy - size / 2)) > size / 2 + scale:
                    continue
                warp = placement(side, cx, cy, scale, angle)
                seen = cv2.warpAffine(alpha, warp, (size, size), flags=cv2.INTER_LINEAR)
                if not seen.any():
                    continue
                paint = cv2.warpAffine(
                    sprite, warp, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                )
                canvas = canvas * (1 - seen[..., None]) + paint * seen[..., None]
                covered = np.maximum(covered, seen)
                if t + 1 < count:
                    nx, ny, nscale, nangle = pose[t + 1]
                    here = np.array([cx, cy], dtype=np.float32)
                    step = np.array([nx - x, ny - y], dtype=np.float32)
                    ratio, turn = nscale / scale, nangle - angle
                    spin = ratio * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
                    offset = grid - here[:, None, None]
                    moved = np.einsum("ij,jhw->ihw", spin.astype(np.float32), offset) + step[:, None, None]
                    flow[t] = np.where(seen > 0.5, moved - offset, flow[t])
        noise = rng.normal(0, 2.0, canvas.shape)
        stack[t] = np.clip(canvas + noise, 0, 255).astype(np.uint8)
        masks[t] = covered > 0.5
    return MotionVideo(stack, np.arange(count) / fps, label, flow, masks)


def write_video(
    path: str | Path,
    frames: UInt8Array,
    *,
    fps: float | None = None,
    times: Sequence[float] | FloatArray | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> Path:
    """Encode frames as a video file.

    Args:
        path: where to; the suffix chooses the container. Written beside and moved into place when whole.
        frames: uint8 `(T, H, W, 3)` RGB.
        fps: constant frame rate; or
        times: float `(T,)`, each frame's own presentation time in seconds (a variable frame rate).
        codec, pix_fmt, options: as FFmpeg names them; a high quality where libx264 is not told any.
    """
    import av

    if (fps is None) == (times is None):
        raise ConfigError("write_video needs either fps or times.")
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    ticks = 90_000
    instants = np.arange(len(frames)) / fps if fps is not None else np.asarray(times, dtype=np.float64)
    rate = Fraction(fps).limit_denominator(1001) if fps is not None else Fraction(30)
    height, width = frames.shape[1:3]
    if options is None:
        # x264's macroblock tree reads beyond frames this small: the same pixels gave different files
        options = {"crf": "18", "preset": "veryfast", "x264-params": "mbtree=0"} if codec == "libx264" else {}
    with av.open(str(temporary), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.thread_count = 1  # small frames: threads cost more than they give
        exact = Fraction(1, ticks) if times is not None else 1 / rate
        stream.codec_context.time_base = exact
        for index, (image, instant) in enumerate(zip(frames, instants, strict=True)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = round(instant * ticks) if times is not None else index
            frame.time_base = exact
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    temporary.replace(path)
    return path


def make_motion(
    out: str | Path,
    *,
    clips: int = 1200,
    seed: int = 0,
    size: int = 64,
    val: float = 0.2,
    classes: Sequence[str] = MOTIONS,
) -> Path:
    """Write a folder of encoded videos with known motion, and its manifest.

    The same arguments give the same pixels. A folder that already holds this very set is left as it is.

    Args:
        out: the folder; made if need be.
        clips: how many videos, shared evenly among the classes.
        val: the share that the manifest marks `val` (the rest is `train`), the same for every class.
        size: width and height in pixels.

    Returns:
        The path of `manifest.csv` (columns path, label, split, group; each video is its own group).

    Raises:
        ConfigError: the folder holds something else; nothing in it is touched.
    """
    out = Path(out)
    unknown = [name for name in classes if name not in MOTIONS]
    if unknown:
        raise UnknownNameError("motion", unknown[0], MOTIONS)
    if clips < len(classes):
        raise ConfigError(
            f"{clips} clips are too few for {len(classes)} classes.", "ask for one a class at least."
        )
    if not 0 <= val < 1:
        raise ConfigError(f"val is a share between 0 and 1; got {val}.")
    made_by = {"clips": clips, "seed": seed, "size": size, "val": val, "classes": list(classes), "version": 5}
    manifest, settings = out / "manifest.csv", out / _SETTINGS_FILE
    if out.exists() and any(out.iterdir()):
        if settings.is_file():
            found = json.loads(settings.read_text())
            if found != made_by:
                raise ConfigError(
                    f"{out} already holds a motion set made with other settings: {found}.",
                    "name another folder, or delete this one.",
                )
            if manifest.is_file():
                return manifest
        else:
            raise ConfigError(f"{out} is not empty, and holds no motion set.", "name a new folder.")
    (out / "videos").mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(made_by))
    rows = []
    for index in range(clips):
        label = classes[index % len(classes)]
        name = f"videos/{index:05d}.mp4"  # the name does not hold the label
        if not (out / name).is_file():
            # one generator a video: the set is the same whatever was already there
            video = render_motion(label, np.random.default_rng([seed, index]), size=size)
            write_video(out / name, video.frames, fps=1 / float(np.diff(video.times).mean()))
        rank = index // len(classes)
        held = int((rank + 1) * val) > int(rank * val)
        rows.append((name, label, "val" if held else "train", f"video-{index:05d}"))
    temporary = manifest.with_suffix(".part")
    with temporary.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split", "group"), *rows])
    temporary.replace(manifest)
    return manifest


def _poses(label: str, count: int, rng: np.random.Generator, size: int) -> FloatArray:
    """`(T, 4)`: x, y in pixels (not wrapped), scale, angle in radians. Every marginal is the same in all classes:
    x, y, angle start uniformly on their circles, and log-size is that of a random moment of a growing object."""
    if label == SCRAMBLED:
        return rng.permutation(_poses(str(rng.choice(list(_STAGES))), count, rng, size))
    travel = rng.uniform(0.35, 0.6) * size
    turn = rng.uniform(1.2, 1.8) * np.pi / 2
    total = np.array([travel, travel, _GROWTH, turn])
    stages = np.array(_STAGES[label], dtype=np.float64)
    progress = np.linspace(0.0, 1.0, count)
    # the switch between two motions does not come at a moment that tells the class
    switch = rng.uniform(0.42, 0.58) if len(stages) == 2 else 1.0
    shares = [np.clip(progress / switch, 0, 1)]
    if len(stages) == 2:
        shares.append(np.clip((progress - switch) / (1 - switch), 0, 1))
    path = sum(share[:, None] * stage * total for share, stage in zip(shares, stages, strict=True))
    # centre the growth on the video's middle; a class without growth sits at a random moment of it
    middle = rng.uniform(-0.5, 0.5) * _GROWTH if not stages[:, 2].any() else -stages[:, 2].sum() * _GROWTH / 2
    x0, y0 = rng.uniform(0, size, 2)
    log_size = np.log(rng.uniform(0.40, 0.58) * size) + middle + path[:, 2]
    return np.stack(
        [x0 + path[:, 0], y0 + path[:, 1], np.exp(log_size), rng.uniform(0, 2 * np.pi) + path[:, 3]], axis=1
    )
