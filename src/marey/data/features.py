"""Features on disk: one array `(T', D)` a video, and beside it what its positions mean in time. NumPy only.

One folder holds the features of one network on one grid:

    features.json         the network and the grid, the same for all videos
    network.safetensors   the network itself, so that a head can be put on it
    features.csv          path, start, end, status, id, positions, error: one row a video
    manifest.csv          the samples with their labels, where the data had any
    ID.npy                float32 (T', D)
    ID.json               where it comes from, and its grid

The grid is that of temporal localization tools (ActionFormer's `feat_stride`, `num_frames` and `fps`). Time is
cut into cells of 1/fps seconds from `start` on, and each cell shows the frame on screen in its middle, by the
file's own clock: nothing depends on the file's frame rate, or on whether it varies. Position i sees the
`num_frames` cells from number i · feat_stride on, and stands for their middle:

    time(i) = start + (i · feat_stride + num_frames / 2) / fps      seconds on the video's own clock

Features from elsewhere are read too: `ID.npy` by the name of the video, and a `features.json` of three numbers,
`{"fps": 30, "num_frames": 16, "feat_stride": 4}`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import ConfigError, DataError, SegmentError
from marey.files import partial_path, read_table, write_json
from marey.types import FloatArray

FORMAT = 1
INDEX, SETTINGS, NETWORK = "features.csv", "features.json", "network.safetensors"
COLUMNS = ("path", "start", "end", "status", "id", "positions", "error")

Features = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureGrid:
    """Where in time the positions of an array of features lie; the module says the rule.

    Attributes:
        fps: cells a second.
        num_frames: cells that a position sees.
        feat_stride: cells from one position to the next.
    """

    fps: float
    num_frames: int = 1
    feat_stride: int = 1

    def __post_init__(self) -> None:
        if not (np.isfinite(self.fps) and self.fps > 0) or not 1 <= self.feat_stride <= self.num_frames:
            raise ConfigError(
                f"a grid of features needs fps above 0 and 1 ≤ feat_stride ≤ num_frames; got fps {self.fps}, "
                f"feat_stride {self.feat_stride}, num_frames {self.num_frames}."
            )

    @property
    def step(self) -> float:
        """Seconds from one position to the next."""
        return self.feat_stride / self.fps

    @property
    def window(self) -> float:
        """Seconds that a position sees."""
        return self.num_frames / self.fps

    def positions(self, cells: int) -> int:
        """T' of so many cells: positions until all are seen, the last one filled up where they end before it."""
        return -(-max(cells - self.num_frames, 0) // self.feat_stride) + 1

    def cells(self, positions: int) -> int:
        """The cells that so many positions see together."""
        return (positions - 1) * self.feat_stride + self.num_frames

    def times(self, start: float, positions: int) -> FloatArray:
        """The time that each position stands for, `(T',)`, seconds."""
        middles = np.arange(positions, dtype=np.float64) * self.feat_stride + self.num_frames / 2
        return np.asarray(start + middles / self.fps, dtype=np.float64)

    def __str__(self) -> str:
        if self.num_frames == 1:
            return f"{self.fps:g} frames a second"
        return (
            f"windows of {self.num_frames} frames every {self.feat_stride}, at {self.fps:g} frames a second"
        )


@dataclass(frozen=True, eq=False)
class StoredFeatures:
    """The features of one video.

    Attributes:
        array: float32 `(T', D)`, read from the disk as it is used.
        times: float64 `(T',)`, what each position stands for, seconds on the video's own clock; None where the
            grid is not known.
        grid: the rule behind `times`.
        info: the contents of `ID.json`.
        path: the `.npy` file.
    """

    array: Features
    times: FloatArray | None
    grid: FeatureGrid | None
    info: dict[str, Any]
    path: Path

    def __len__(self) -> int:
        return len(self.array)

    def between(self, start: float | None, end: float | None) -> Features:
        """The positions that stand for times in `[start, end)`; the nearest one where there is none.

        Raises:
            SegmentError: the times of the positions are not known, or the stretch is empty.
        """
        if start is None and end is None:
            return self.array
        if self.times is None:
            raise SegmentError(
                "a segment of features needs their grid.",
                f"write {SETTINGS} beside them: {{'fps': …, 'num_frames': …, 'feat_stride': …}}",
                where=str(self.path),
            )
        first, last = -np.inf if start is None else start, np.inf if end is None else end
        if last <= first:
            raise SegmentError(
                f"the segment {first:g}–{last:g} s is empty or reversed.", where=str(self.path)
            )
        inside = (self.times >= first) & (self.times < last)
        if not inside.any():
            inside[np.argmin(np.abs(self.times - np.clip((first + last) / 2, *self.times[[0, -1]])))] = True
        return self.array[inside]


@dataclass(frozen=True, eq=False)
class FeatureFolder:
    """A folder of features of one network on one grid.

    Attributes:
        path: the folder.
        settings: the contents of `features.json`; empty where there is none.
        grid: where positions lie, or None where nothing says so.
        known: (path, start, end) to the id of its array.
        failed: (path, start, end) to the reason why there is none.
    """

    path: Path
    settings: dict[str, Any]
    grid: FeatureGrid | None
    known: dict[tuple[str, str, str], str] = field(repr=False)
    failed: dict[tuple[str, str, str], str] = field(repr=False)

    @classmethod
    def open(cls, path: str | Path) -> FeatureFolder:
        """Read what is there, without reading any features.

        Raises:
            DataError: no such folder, or no features in it.
        """
        path = Path(path)
        rows = read_table(path / INDEX)
        if not path.is_dir() or not (rows or any(path.glob("*.npy"))):
            raise DataError(
                "there are no features here.",
                "make them with: marey extract DATA --out FOLDER",
                where=str(path),
            )
        settings = _read_json(path / SETTINGS) if (path / SETTINGS).is_file() else {}
        if settings.get("format", FORMAT) != FORMAT:
            raise DataError(
                f"features of format {settings['format']}; this version reads format {FORMAT}.",
                "compute them again: marey extract",
                where=str(path),
            )
        known = {_place(row): row["id"] for row in rows if row["status"] == "whole"}
        failed = {_place(row): row["error"] for row in rows if row["status"] == "failed"}
        if not rows:
            known = {(file.stem, "", ""): file.stem for file in sorted(path.glob("*.npy"))}
        return cls(path, settings, _grid(settings, path / SETTINGS), known, failed)

    @property
    def network(self) -> Path | None:
        """The file of the network that made these features, or None where it is not known."""
        file = self.path / NETWORK
        return file if file.is_file() else None

    def read(self, path: str, start: float | None = None, end: float | None = None) -> Features:
        """Features `(T', D)` of a video or a segment of it.

        A segment that has features of its own gets these, else its part of the whole video's. A video that is
        not listed by its path is found by its name, where only one has that name.

        Raises:
            DataError: there are none; says why. SegmentError: see `StoredFeatures.between`.
        """
        own = self._id(path, start, end)
        if own is not None:
            return self.stored(own).array
        return self.of_video(path).between(start, end)

    def has(self, path: str, start: float | None, end: float | None) -> bool:
        """Whether this video or segment has features of its own."""
        return self._id(path, start, end) is not None

    def of_video(self, path: str) -> StoredFeatures:
        """The features of a whole video; errors as in `read`."""
        found = self._id(path, None, None)
        if found is None:
            reason = next((e for (p, _, _), e in self.failed.items() if p == path), "")
            raise DataError(
                f"there are no features of this video{': ' + reason if reason else '.'}",
                f"compute them with: marey extract … --out {self.path}",
                where=path,
            )
        return self.stored(found)

    def stored(self, name: str) -> StoredFeatures:
        """The features of that id.

        Raises:
            DataError: not there, damaged, not `(T', D)` numbers, or of another length than their JSON says.
        """
        file = self.path / f"{name}.npy"
        info = _read_json(file.with_suffix(".json")) if file.with_suffix(".json").is_file() else {}
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"these features cannot be read: {error}.", where=str(file)) from error
        if array.ndim != 2 or not len(array) or not np.issubdtype(array.dtype, np.floating):
            raise DataError(
                f"features must be numbers of the shape (T', D); these are {array.dtype} {array.shape}.",
                where=str(file),
            )
        if info.get("positions", len(array)) != len(array):
            raise DataError(
                f"there are {len(array)} positions and its JSON says {info['positions']}.", where=str(file)
            )
        grid = _grid(info, file.with_suffix(".json")) or self.grid
        times = None if grid is None else grid.times(float(info.get("start", 0.0)), len(array))
        return StoredFeatures(array, times, grid, info, file)

    def _id(self, path: str, start: float | None, end: float | None) -> str | None:
        times = tuple("" if t is None else repr(float(t)) for t in (start, end))
        found = self.known.get((path, *times))  # type: ignore[arg-type]
        if found is not None:
            return found
        stem = Path(path).stem
        named = [
            name for (p, s, e), name in self.known.items() if (s, e) == times and Path(p).stem == stem
        ]  # moved, or from elsewhere
        if len(set(named)) > 1:
            raise DataError(
                f"{len(named)} videos of this name have features, and none at this path.",
                "name the videos by the paths that features.csv has",
                where=path,
            )
        return named[0] if named else None


class FeatureWriter:
    """Writes the features of one video, part by part; use it as a context manager.

    Both files are made under other names and moved when all is written; the JSON last: where it is, the array
    is whole. Where something fails on the way, nothing is left.

    Args:
        folder: where to.
        name: the id.
        shape: `(T', D)` of the whole.
        info: what the JSON says besides.
    """

    def __init__(self, folder: Path, name: str, *, shape: tuple[int, int], info: dict[str, Any]) -> None:
        self.folder, self.name, self.shape, self.info = folder, name, shape, info
        self.written = 0
        self._work = partial_path(folder / f"{name}.npy")

    def __enter__(self) -> FeatureWriter:
        self._file = self._work.open("wb")
        head = {"descr": "<f4", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(self._file, head)
        return self

    def write(self, features: Features) -> None:
        """Append `(n, D)`.

        Raises:
            DataError: a number that is none: a network that overflows must not pass for a video without motion.
        """
        assert features.shape[1] == self.shape[1]
        if not np.isfinite(features).all():
            raise DataError(f"the network gives NaN or infinity from position {self.written} on.")
        self._file.write(np.ascontiguousarray(features, dtype="<f4").tobytes())
        self.written += len(features)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                assert self.written == self.shape[0], "every position must be written"
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            if kind is None:
                self._work.replace(self.folder / f"{self.name}.npy")
                write_json(self.folder / f"{self.name}.json", self.info)
        finally:
            self._work.unlink(missing_ok=True)


def is_whole(folder: Path, name: str) -> bool:
    """Whether the features of that id are there (the JSON is written last)."""
    return (folder / f"{name}.npy").is_file() and (folder / f"{name}.json").is_file()


def check_widths(arrays: Iterable[tuple[str, Features]]) -> int:
    """D of all arrays.

    Raises:
        DataError: two differ; names both.
    """
    first: tuple[str, int] | None = None
    for name, array in arrays:
        if first is None:
            first = name, array.shape[1]
        elif array.shape[1] != first[1]:
            raise DataError(
                f"features of {array.shape[1]} numbers a position, and of {first[1]} for {first[0]}.",
                "one folder holds the features of one network",
                where=name,
            )
    assert first is not None
    return first[1]


def _place(row: dict[str, str]) -> tuple[str, str, str]:
    return row["path"], row["start"], row["end"]


def _grid(about: dict[str, Any], where: Path) -> FeatureGrid | None:
    if "fps" not in about:
        return None
    try:
        return FeatureGrid(
            float(about["fps"]), int(about.get("num_frames", 1)), int(about.get("feat_stride", 1))
        )
    except (TypeError, ValueError) as error:
        raise DataError(f"the grid cannot be read: {error}.", where=str(where)) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"this is not JSON: {error}.", where=str(path)) from error
    if not isinstance(found, dict):
        raise DataError("this is not a JSON object.", where=str(path))
    return found
