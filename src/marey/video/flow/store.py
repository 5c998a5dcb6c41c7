"""Flow on disk: 8 bits a component, losslessly compressed, in files that FFmpeg and OpenCV read.

One folder a video:

    flow_x.mkv   u, one gray frame a field (FFV1 in Matroska; every frame is a keyframe)
    flow_y.mkv   v
    flow.json    method, bound, the source's hash, and the exact time of every frame

A gray value g means (g − 128) · bound / 127 pixels: 128 is no motion, exactly, and the two-stream bound of ±20
pixels lies at 1 and 255. What lies inside the bound comes back within bound / 254 (0.079 pixels); what lies
outside is cut off, and how much that was is written down.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import DataError, SegmentError
from marey.files import partial_path
from marey.types import FloatArray, UInt8Array
from marey.video.flow.methods import BOUND, Fields, Flow

FORMAT = 1
FILES = ("flow_x.mkv", "flow_y.mkv")
_FFV1 = {
    "level": "3",
    "coder": "0",
    "context": "0",
    "g": "1",
    "slicecrc": "1",
}  # Golomb-Rice: decodes fastest
_STEPS = 127
_MILLISECOND = Fraction(1, 1000)  # the clock of Matroska


def quantise(fields: Fields, bound: float = BOUND) -> UInt8Array:
    """Pixels to 8 bits: 128 + round(127 · v / bound), cut off at ±bound. Values are 1…255; 0 is never used."""
    scaled = np.clip(fields, -bound, bound) * np.float32(_STEPS / bound)
    return (np.rint(scaled) + 128).astype(np.uint8)


def dequantise(values: UInt8Array, bound: float = BOUND) -> Fields:
    """8 bits to pixels: (g − 128) · bound / 127."""
    return (values.astype(np.float32) - 128) * np.float32(bound / _STEPS)


def error_bound(bound: float = BOUND) -> float:
    """The most in pixels by which a component inside ±bound differs after `quantise` and `dequantise`."""
    return bound / (2 * _STEPS)


def share_beyond(fields: Fields, bound: float = BOUND) -> float:
    """The share of pixels of which a component lies outside ±bound, 0…1: what quantising cuts off."""
    return float((np.abs(fields) > bound).any(axis=1).mean()) if fields.size else 0.0


class FlowWriter:
    """Writes one folder of flow, field by field; use it as a context manager.

    The folder is made under a temporary name and moved to its own when everything is in it; where something
    fails on the way, nothing is left. If another process was faster, its folder stays and ours is dropped.

    Args:
        folder: where to.
        size: (height, width) of the fields.
        times: `(N + stride,)` seconds of the frames that the N fields lie between.
        info: what else to write into `flow.json`, plain JSON types.
        bound: pixels at which components are cut off.
        stride: field i lies between frames i and i + stride.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        size: tuple[int, int],
        times: FloatArray,
        info: dict[str, Any],
        bound: float = BOUND,
        stride: int = 1,
    ) -> None:
        self.folder = Path(folder)
        self.stride = stride
        self.size, self.times, self.info, self.bound = size, times, info, bound
        self.written = 0
        self._beyond = 0.0
        self._ticks = _ticks(times)
        self._work = partial_path(self.folder)
        self._files: list[tuple[Any, Any]] = []

    def __enter__(self) -> FlowWriter:
        import av

        _remove(self._work)
        self._work.mkdir(parents=True)
        for name in FILES:
            container = av.open(str(self._work / name), "w")
            stream: Any = container.add_stream("ffv1", rate=1000, options=_FFV1)
            stream.height, stream.width = self.size
            stream.pix_fmt = "gray"
            stream.codec_context.time_base = _MILLISECOND
            stream.codec_context.thread_count = 1
            stream.codec_context.color_range = 2  # full range: a reader must not stretch 16…235
            self._files.append((container, stream))
        return self

    def write(self, fields: Fields) -> None:
        """Append fields, float32 `(n, 2, H, W)` in pixels."""
        import av

        values = quantise(fields, self.bound)
        self._beyond += share_beyond(fields, self.bound) * len(fields)
        for n in range(len(values)):
            for component, (container, stream) in enumerate(self._files):
                frame = av.VideoFrame.from_ndarray(values[n, component], format="gray")
                frame.pts, frame.time_base = int(self._ticks[self.written]), _MILLISECOND
                container.mux(stream.encode(frame))
            self.written += 1

    @property
    def share_beyond(self) -> float:
        """The share of the pixels written so far that was cut off at the bound, 0…1."""
        return self._beyond / max(self.written, 1)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            for container, stream in self._files:
                if kind is None:
                    container.mux(stream.encode(None))
                container.close()
            if kind is None:
                self._finish()
        finally:
            _remove(self._work)

    def _finish(self) -> None:
        assert self.written == len(self.times) - self.stride, "every field must be written"
        record = {
            "format": FORMAT,
            **self.info,
            "stride": self.stride,
            "fields": self.written,
            "height": self.size[0],
            "width": self.size[1],
            "bound": self.bound,
            "error_bound": error_bound(self.bound),
            "share_beyond_bound": self.share_beyond,
            "value": "(gray - 128) * bound / 127 pixels per frame interval",
            "times": [float(t) for t in self.times],
        }
        (self._work / "flow.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        for path in self._work.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        try:
            self._work.rename(self.folder)
        except OSError:
            if not is_complete(self.folder):
                raise


class StoredFlow:
    """A folder of flow, read field by field.

    Attributes:
        folder: where it lies.
        info: the contents of `flow.json`.
        stride: field i lies between frames i and i + stride.
        times: float64 `(N + stride,)`, the seconds of the frames that the N fields lie between.
        intervals: float64 `(N,)`, the seconds of each field.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not is_complete(self.folder):
            raise DataError(
                "this is not a whole folder of flow.", "make it with: marey flow", where=str(folder)
            )
        self.info: dict[str, Any] = json.loads((self.folder / "flow.json").read_text(encoding="utf-8"))
        if self.info.get("format") != FORMAT:
            raise DataError(
                f"flow of format {self.info.get('format')}; this version reads format {FORMAT}.",
                "compute it again: marey flow",
                where=str(folder),
            )
        self.times: FloatArray = np.array(self.info["times"], dtype=np.float64)
        self.stride = int(self.info.get("stride", 1))
        self.intervals: FloatArray = self.times[self.stride :] - self.times[: -self.stride]
        self._ticks = _ticks(self.times)

    def __len__(self) -> int:
        return len(self.intervals)

    def __repr__(self) -> str:
        return (
            f"StoredFlow({self.folder.name}: {len(self)} fields, "
            f"{self.info['width']}×{self.info['height']}, {self.info['method']})"
        )

    def read(self, indices: Sequence[int] | NDArray[np.intp] | None = None) -> Flow:
        """The fields of these numbers, in this order, repeats allowed; None reads all."""
        wanted = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.intp)
        return Flow(dequantise(self.values(wanted), self.info["bound"]), self.intervals[wanted])

    def values(self, indices: Sequence[int] | NDArray[np.intp]) -> UInt8Array:
        """The fields of these numbers in 8 bits as they are stored, uint8 `(n, 2, H, W)`."""
        wanted = np.asarray(indices, dtype=np.intp)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise SegmentError(f"fields 0…{len(self) - 1} are here; asked for {wanted.min()}…{wanted.max()}.")
        values = np.empty((len(wanted), 2, self.info["height"], self.info["width"]), dtype=np.uint8)
        distinct, back = np.unique(wanted, return_inverse=True)
        for component, name in enumerate(FILES):
            frames = self._decode(self.folder / name, distinct)
            for place, frame in enumerate(frames):
                values[back == place, component] = frame
        return values

    def at(self, times: FloatArray, length: int = 1) -> Flow:
        """For each time, the `length` consecutive fields that begin with the frame shown then.

        Near the end, where fewer follow, the last `length` fields are taken.

        Args:
            times: `(K,)` seconds on the video's own clock.

        Returns:
            `K · length` fields, those of one time beside each other.
        """
        reach = (length - 1) * self.stride + 1  # each begins at the frame that the one before ends at
        if not 1 <= reach <= len(self):
            raise SegmentError(
                f"{length} consecutive fields were asked for; there are {len(self)}.", where=str(self.folder)
            )
        times = np.asarray(times, dtype=np.float64)
        # a time that is a frame's own, up to float noise from another computation of it, means that frame
        first = np.searchsorted(self.times, times + 1e-6, side="right") - 1
        if times.size and first.min() < 0:
            raise SegmentError(
                f"{times.min():.3f} s lies before the first stored frame ({self.times[0]:.3f} s).",
                where=str(self.folder),
            )
        first = np.minimum(first, len(self) - reach)
        return self.read((first[:, None] + self.stride * np.arange(length)).ravel())

    def _decode(self, path: Path, indices: NDArray[np.intp]) -> Iterable[UInt8Array]:
        import av

        with av.open(str(path)) as container:
            stream: Any = container.streams.video[0]
            stream.codec_context.thread_count = 1
            decoded: Any = None
            last = -1
            for index in indices:
                tick = int(self._ticks[index])
                if decoded is None or index - last > 8:  # every frame is a keyframe: far ones are sought
                    container.seek(tick, stream=stream, backward=True)
                    decoded = container.decode(stream)
                for frame in decoded:
                    if frame.pts == tick:
                        yield frame.to_ndarray(format="gray")
                        break
                else:
                    raise DataError(f"field {index} is not in the file; it is damaged.", where=str(path))
                last = int(index)


def is_complete(folder: Path) -> bool:
    """Whether a folder of flow is there and whole (`flow.json` is written last, the folder moved whole)."""
    return all((folder / name).is_file() for name in (*FILES, "flow.json"))


def _ticks(times: FloatArray) -> NDArray[np.int64]:
    """Whole milliseconds for Matroska, strictly increasing; the exact times are those of `flow.json`."""
    count = np.arange(len(times))
    rounded = np.rint((times - times[0]) * 1000).astype(np.int64) if len(times) else count
    ticks: NDArray[np.int64] = np.maximum.accumulate(rounded - count) + count
    return ticks


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
