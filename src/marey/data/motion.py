"""The optical flow of a clip: one thing, whether computed now, remembered, or read from a folder. NumPy only.

It lies between the *whole* frames at the size that clips are cropped from, and it is 8 bits a component, as
`marey flow` writes it: computed on the fly and read from disk it is the same, bit for bit. Crops, zooms and
mirrors come after and take the vectors with them (`fit_clip`, `marey.data.transforms`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from marey.data.instants import ClipReader
from marey.types import BoolArray, FloatArray, UInt8Array

STILL = 128
"""No motion, in 8 bits."""

Index = NDArray[np.intp]


class FlowSource(Protocol):
    """Where fields come from that need not be computed: a folder, or the memory of an earlier epoch."""

    def find(
        self, reader: ClipReader, first: Index, second: Index, size: tuple[int, int]
    ) -> tuple[UInt8Array, BoolArray]:
        """The fields between pairs of frames of a video.

        Args:
            reader: of the video.
            first, second: `(N,)` numbers of the frames of each pair.
            size: height and width.

        Returns:
            uint8 `(N, 2, H, W)`, and which of them are there.

        Raises:
            DataError: a field that must be there is not.
        """
        ...

    def keep(self, reader: ClipReader, first: Index, second: Index, fields: UInt8Array) -> None:
        """Told of fields that had to be computed."""
        ...


def wanted_pairs(index: Index, snippet: int | None) -> BoolArray:
    """Between which neighbours of a clip there is flow to know, bool `(T−1,)`: not where one frame stands
    twice, and not where one run of neighbouring frames ends and the next begins: no stack of fields crosses that.

    Args:
        index: `(T,)` number of the frame at each place.
        snippet: frames of a run, or None.
    """
    wanted: BoolArray = index[1:] != index[:-1]
    if snippet is not None:
        wanted[snippet - 1 :: snippet] = False
    return wanted


def compute_fields(frames: UInt8Array, times: FloatArray, wanted: BoolArray, method: str) -> UInt8Array:
    """The flow between neighbouring frames in 8 bits, `STILL` where it is not wanted.

    Args:
        frames: uint8 `(T, H, W, 3)`, whole frames.
        times: `(T,)` seconds.
        wanted: bool `(T−1,)`.
        method: a name from `marey.video.flow.METHODS`.

    Returns:
        uint8 `(T−1, 2, H, W)`.
    """
    from marey.video.flow import compute_flow, quantise

    fields = np.full((len(wanted), 2, *frames.shape[1:3]), STILL, dtype=np.uint8)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2):  # runs of neighbouring fields share their frames
        found = compute_flow(frames[begin : end + 1], times[begin : end + 1], method)
        fields[begin:end] = quantise(found.fields)
    return fields


class FlowMemory:
    """A `FlowSource` that remembers what was computed, field by field, up to so many bytes.

    Memory fills up and then stays as it is, as `FrameMemory` does. A field depends on its two frames alone, so
    that what is remembered is bit-equal to computing it again, whatever clip it was first met in.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._fields: dict[tuple[str, int, int], UInt8Array] = {}

    def __len__(self) -> int:
        return len(self._fields)

    def find(
        self, reader: ClipReader, first: Index, second: Index, size: tuple[int, int]
    ) -> tuple[UInt8Array, BoolArray]:
        path = str(reader.info.path)
        fields = np.full((len(first), 2, *size), STILL, dtype=np.uint8)
        known = np.zeros(len(first), dtype=bool)
        for n, pair in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
            held = self._fields.get((path, *pair))
            if held is not None and held.shape[1:] == size:
                fields[n], known[n] = held, True
        return fields, known

    def keep(self, reader: ClipReader, first: Index, second: Index, fields: UInt8Array) -> None:
        path = str(reader.info.path)
        for one, other, field in zip(first.tolist(), second.tolist(), fields, strict=True):
            if self.used + field.nbytes > self.limit:
                return
            self._fields[path, one, other] = field.copy()
            self.used += field.nbytes
