"""Small encoded videos of every awkward kind, and the plain decode that the reader is held against."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from marey.types import UInt8Array
from marey.video.picture import Orientation, Painter, target_size


def pictures(count: int, height: int = 64, width: int = 96, seed: int = 0) -> UInt8Array:
    """Frames of which no two are alike, with motion that encoders predict: `(T, H, W, 3)`."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3))
    texture = np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)[: height + 8, : width + 8]
    frames = np.empty((count, height, width, 3), np.uint8)
    for t in range(count):
        frames[t] = np.roll(texture, (t, 2 * t), (0, 1))[:height, :width]
        frames[t, 4 : 4 + 8, t % (width - 12) : 8 + t % (width - 12)] = (
            t * 37 % 256,
            t * 11 % 256,
            255 - t % 256,
        )
    return frames


def encode(
    path: Path,
    codec: str = "libx264",
    *,
    count: int = 40,
    height: int = 64,
    width: int = 96,
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    mux: dict[str, str] | None = None,
    frames: UInt8Array | None = None,
    bframes: int | None = None,
    gop: int | None = None,
    rotate: int | None = None,
    matrix: tuple[int, int, int] | None = None,
    audio: bool = False,
) -> Path:
    """Encode `count` pictures. `pts` in units of `time_base`; `matrix` is (colorspace, range, swscale's
    number of the matrix); `rotate` is counter-clockwise degrees of the display matrix."""
    frames = pictures(count, height, width) if frames is None else frames
    with av.open(str(path), "w", container_options=mux or {}) as out:
        # two x264 threads race for how to encode a frame, and give different files from one run to the next
        stream = out.add_stream(codec, rate=rate, options={"threads": "1", **(options or {})})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pix_fmt
        if time_base is not None:
            stream.codec_context.time_base = time_base
        if bframes is not None:
            stream.codec_context.max_b_frames = bframes
        if gop is not None:
            stream.codec_context.gop_size = gop
        if matrix is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = matrix[:2]
        if rotate is not None:
            stream.set_display_rotation(rotate)
        sound = out.add_stream("aac", rate=8000) if audio else None
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if matrix is not None:
                frame = frame.reformat(
                    format=pix_fmt, dst_colorspace=matrix[2], dst_color_range=matrix[1], src_color_range=2
                )
                frame.colorspace, frame.color_range = matrix[:2]
            frame.pts = number if pts is None else pts[number]
            frame.time_base = time_base or Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate = 8000
            for number in range(8 * len(frames) // rate):
                silence.pts = number * 1024
                out.mux(sound.encode(silence))
            out.mux(sound.encode(None))
    return path


def decode_all(
    path: Path, size: int | tuple[int, int] | None = None, *, track: int = 0, keep: set[int] | None = None
) -> tuple[list[int | None], UInt8Array | dict[int, UInt8Array]]:
    """PTS and upright pixels of every frame (of those in `keep`, by number), by nothing but decoding in order."""
    stamps: list[int | None] = []
    rows: dict[int, UInt8Array] = {}
    painter = Painter()
    with av.open(str(path)) as container:
        stream = container.streams.video[track]
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(stream)):
            stamps.append(frame.pts)
            if keep is not None and number not in keep:
                continue
            orientation = Orientation.of(frame)
            height, width = target_size(size, *orientation.stored(frame.height, frame.width))
            rows[number] = np.empty((height, width, 3), np.uint8)
            painter.paint(frame, rows[number], "rgb", orientation)
    return stamps, rows if keep is not None else np.stack(list(rows.values()))
