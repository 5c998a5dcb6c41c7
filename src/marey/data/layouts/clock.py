"""Frame numbers of annotations as times, by each video's own clock; never by an average frame rate."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from marey.data.layouts.gather import Gathered
from marey.data.origin import DataWarning
from marey.errors import ManifestError, VideoError
from marey.types import FloatArray
from marey.video.reader import open_video


def frame_edges(path: Path) -> FloatArray:
    """float64 `(N + 1,)`: the time at which each frame of a video begins, and at which the last one ends."""
    with open_video(path) as video:
        return np.append(np.asarray(video.times, dtype=np.float64), video.info.end)


class Clock:
    """Times of frames while rows are gathered.

    Args:
        rows: takes the faults; `rows.how.fps` is the user's word for all videos.
        root: the folder of the videos.
    """

    def __init__(self, rows: Gathered, root: Path) -> None:
        self._rows, self._root = rows, root
        self._path = ""
        self._edges: FloatArray | None = None

    def span(
        self, file: Path, line: int, path: str, first: int, stop: int, fps: float | None = None
    ) -> tuple[float, float] | None:
        """Seconds from the beginning of frame `first` to the beginning of frame `stop`, counted from 0.

        `fps` is the annotation's own rate. Without it and without `--fps` the video is opened. None and a fault
        where the video has no such frames, or cannot be opened.
        """
        if stop <= first or first < 0:
            kind = "empty" if stop == first else "reversed" if first >= 0 else "before the video's beginning"
            self._rows.fault(file, line, f"the segment from frame {first} to frame {stop} is {kind}.")
            return None
        fps = fps or self._rows.how.fps
        if fps:
            return first / fps, stop / fps
        edges = self.edges(file, line, path)
        if edges is None:
            return None
        if stop >= len(edges):
            self._rows.fault(
                file, line, f"frame {stop - 1} (from 0), but {path!r} has {len(edges) - 1} frames.",
                "mend the annotation; or say --fps N if it counts frames of another rate than the video's",
            )  # fmt: skip
            return None
        return float(edges[first]), float(edges[stop])

    def fits(self, file: Path, line: int, path: str, count: int) -> bool:
        """Whether an annotation of `count` frames is one of this video's frames; a fault where it is not.

        With `--fps` it need not be: then the annotation counts in a rate of its own.
        """
        if self._rows.how.fps:
            return True
        edges = self.edges(file, line, path)
        if edges is None:
            return False
        if len(edges) - 1 != count:
            self._rows.fault(
                file, line, f"{count} frames are annotated, but {path!r} has {len(edges) - 1}.",
                "say --fps N if the annotation counts frames of another rate than the video's; else mend one of them",
            )  # fmt: skip
            return False
        return True

    def edges(self, file: Path, line: int, path: str) -> FloatArray | None:
        """`frame_edges` of a video, or None and a fault."""
        if path != self._path:
            self._path, self._edges = path, None
            try:
                self._edges = frame_edges(self._root / path)
            except VideoError as error:
                self._rows.fault(
                    file, line, f"frame numbers need the video's clock, and it cannot be had: {error.what}",
                    f"looked for {self._root / path}", "give --root FOLDER, or --fps N where every video has this rate",
                )  # fmt: skip
        return self._edges


class Frames:
    """Times as frame numbers, for writing. Times between two frames go to the nearest, counted and said once."""

    def __init__(self, root: Path, fps: float | None, title: str) -> None:
        self._root, self._fps, self._title = root, fps, title
        self._path, self._edges = "", np.zeros(0)
        self._moved, self._most = 0, 0.0

    def count(self, path: str) -> int:
        """How many frames the video has."""
        return len(self._of(path)) - 1

    def at(self, path: str, time: float | None, *, last: bool = False) -> int:
        """The frame (from 0) that begins nearest to a time; None is the beginning, or with `last` the end."""
        if time is None:
            return self.count(path) if last else 0
        if self._fps:
            number, moved = round(time * self._fps), abs(round(time * self._fps) / self._fps - time)
        else:
            edges = self._of(path)
            number = int(np.argmin(np.abs(edges - time)))
            moved = abs(float(edges[number]) - time)
        if moved > 1e-6:
            self._moved, self._most = self._moved + 1, max(self._most, moved)
        return number

    def say(self) -> None:
        if self._moved:
            warnings.warn(
                f"{self._title} counts in frames: {self._moved} times lie between two frames and were moved to the"
                f" nearest, by {self._most:.3f} s at most.",
                DataWarning,
                stacklevel=4,
            )

    def _of(self, path: str) -> FloatArray:
        if path != self._path:
            try:
                self._path, self._edges = path, frame_edges(self._root / path)
            except VideoError as error:
                raise ManifestError(
                    f"{self._title} counts in frames, and the video's clock cannot be had: {error.what}",
                    "give --root FOLDER, or --fps N where every video has this rate", where=str(self._root / path),
                ) from None  # fmt: skip
        return self._edges
