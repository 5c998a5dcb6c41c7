"""The other decoder: torchcodec, an extra (`pip install 'marey[torchcodec]'`), which brings no FFmpeg with it.

It needs FFmpeg's shared libraries on the machine. What a file is, which frames it has and whether it may be
opened at all is decided as for the default decoder; torchcodec gives the pixels. At the video's own size they
are the default decoder's, but for chroma at the edges of coloured areas in pictures of more than 8 bits or odd
height; scaled, they are scaled by torch (area), which differs by rounding and by finer chroma.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from marey.errors import UndecodableVideoError, VideoError, require
from marey.types import Clip, FloatArray
from marey.video.index import FrameIndex
from marey.video.picture import Box, Decode, Size, box_slices, target_size
from marey.video.pyav import PyAVReader
from marey.video.reader import Truncated, VideoInfo, frames_shown

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as swscale makes gray of any video."""


class TorchCodecReader:
    """A `VideoReader` on torchcodec; `open_video(decoder="torchcodec")` makes one."""

    def __init__(
        self,
        path: Path,
        *,
        truncated: Truncated,
        max_pixels: int,
        track: int | None,
        threads: int,
        index: FrameIndex | None,
    ) -> None:
        try:
            decoders: Any = require("torchcodec.decoders", "torchcodec")
        except (RuntimeError, OSError, ImportError) as error:  # its own libraries do not load
            raise VideoError(
                path, "torchcodec is installed but does not load, mostly for want of FFmpeg's shared libraries.",
                "install FFmpeg (apt-get install ffmpeg), or read with the default decoder.",
            ) from error  # fmt: skip
        self._pyav = PyAVReader(
            path, truncated=truncated, max_pixels=max_pixels, track=track, threads=threads, index=index
        )
        self.path, self.index = path, self._pyav.index
        self._file = path.open("rb")  # a file object, so that no path is ever taken for an address
        try:
            self._decoder = decoders.VideoDecoder(
                self._file, stream_index=self._pyav.stream_number, dimension_order="NHWC",
                num_ffmpeg_threads=threads, seek_mode="exact",
            )  # fmt: skip
        except (RuntimeError, ValueError) as error:
            self.close()
            raise UndecodableVideoError(
                path, "torchcodec cannot open it.", str(error).splitlines()[0]
            ) from error

    @property
    def info(self) -> VideoInfo:
        return self._pyav.info

    @property
    def times(self) -> FloatArray:
        return self._pyav.times

    @property
    def keyframes(self) -> FloatArray:
        return self._pyav.keyframes

    def frames_at(
        self, times: ArrayLike, *, size: Size = None, decode: Decode = "rgb", box: Box | None = None
    ) -> Clip:
        import torch
        from torch.nn import functional

        asked = frames_shown(self.times, self.index.end, times, self.path)
        height, width = target_size(size, self.info.height, self.info.width)
        if not len(asked):
            return self._pyav.frames_at(times, size=size, decode=decode, box=box)
        frames, slots = np.unique(asked, return_inverse=True)
        try:
            batch = self._decoder.get_frames_at(frames.tolist())
        except (RuntimeError, IndexError) as error:
            raise UndecodableVideoError(
                self.path, "torchcodec cannot decode these frames.", str(error).splitlines()[0]
            ) from error
        if not np.allclose(batch.pts_seconds.numpy(), self.times[frames], atol=1e-6):
            raise UndecodableVideoError(
                self.path,
                "torchcodec counts this file's frames differently.",
                "read it with the default decoder.",
            )
        rows, columns = box_slices(box)
        pixels = batch.data
        if decode == "gray":
            pixels = (pixels.float() @ torch.tensor(LUMA)).round().to(torch.uint8)[..., None]
        if tuple(pixels.shape[1:3]) != (height, width):
            scaled = functional.interpolate(
                pixels.permute(0, 3, 1, 2).float(), size=(height, width), mode="area"
            )
            pixels = scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        return Clip(
            frames=np.ascontiguousarray(pixels.numpy()[:, rows, columns][slots]),
            times=self.times[asked],
            mask=np.ones(len(asked), bool),
        )

    def close(self) -> None:
        self._pyav.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"TorchCodecReader({self.info!r})"
