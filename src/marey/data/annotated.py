"""Features of a video together with what happens in it: what a localizer learns from.

On the *grid*, position i of the features is the number i: seconds and grid are two spellings of one time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from marey.data.features import FeatureFolder, FeatureGrid, Features, StoredFeatures, check_widths
from marey.data.timelines import FloatArray, Timeline
from marey.errors import DataError
from marey.video.known import open_known


@dataclass(frozen=True)
class TimeMap:
    """From seconds to positions of a grid and back.

    Attributes:
        grid: the rule.
        start: where its first cell begins, seconds on the video's own clock.
        end: where the stretch that the features cover ends.
    """

    grid: FeatureGrid
    start: float
    end: float

    def to_grid(self, seconds: FloatArray) -> FloatArray:
        """Position (a fraction) that stands for these times."""
        grid = self.grid
        return ((seconds - self.start) * grid.fps - grid.num_frames / 2) / grid.feat_stride

    def to_seconds(self, position: FloatArray) -> FloatArray:
        """The inverse of `to_grid`."""
        grid = self.grid
        return self.start + (position * grid.feat_stride + grid.num_frames / 2) / grid.fps

    @property
    def extent(self) -> tuple[float, float]:
        """The stretch on the grid: its beginning lies before position 0, its end after the last."""
        low, high = self.to_grid(np.array([self.start, self.end]))
        return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Annotated:
    """One video.

    Attributes:
        timeline: what happens, in seconds, cut to the video.
        features: float32 `(T, D)`, read from the disk as it is used.
        map: between seconds and the grid.
        segments: float64 `(N, 2)`, the timeline's segments on the grid.
    """

    timeline: Timeline
    features: Features
    map: TimeMap
    segments: FloatArray

    def __len__(self) -> int:
        return len(self.features)


def annotate(folder: FeatureFolder, timelines: Sequence[Timeline]) -> tuple[list[Annotated], int]:
    """Features and timelines of the same videos, and how many segments reached over their video's end and were cut
    to it (by less than a step of the grid).

    Raises:
        DataError: no features of a video, features without a grid, of different widths, with NaN or infinity, or of
            another length than the video.
        SegmentError: a segment outside its video.
    """
    found, total = [], 0
    for timeline in timelines:
        stored = folder.of_video(timeline.path)
        time = time_map(stored, timeline.path, check_video=True)
        array = stored.array
        if not np.isfinite(array).all():
            bad = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise DataError(
                f"the features have NaN or infinity, first at position {bad} "
                f"({time.to_seconds(np.array(float(bad))):.2f} s).",
                "compute them again: delete this file, then marey extract",
                where=str(stored.path),
            )
        inside, cut = timeline.within(time.start, time.end, slack=time.grid.step)
        total += cut
        found.append(Annotated(inside, array, time, time.to_grid(inside.segments)))
    if found:
        check_widths((item.timeline.path, item.features) for item in found)
    return found, total


def time_map(stored: StoredFeatures, path: str, *, check_video: bool = False) -> TimeMap:
    """Where the positions of a video's features lie in time.

    Args:
        stored: the features.
        path: the video that they are said to be of.
        check_video: look at the video's length where the features do not say theirs (they come from elsewhere) and the
            file is there.

    Raises:
        DataError: nothing says so, or their number does not fit the length that their JSON gives, or the video has.
    """
    if stored.grid is None:
        raise DataError(
            "nothing says where in time these features lie.",
            "write features.json beside them: {'fps': …, 'num_frames': …, 'feat_stride': …}",
            where=str(stored.path),
        )
    grid, start = stored.grid, float(stored.info.get("start", 0.0))
    covered = grid.cells(len(stored)) / grid.fps
    duration = stored.info.get("duration")
    if duration is None:  # from elsewhere: what the positions cover is all that is known
        if check_video and Path(path).is_file():
            _check_video(stored, grid, start + covered, path)
        return TimeMap(grid, start, start + covered)
    # The last position may reach over the end by less than a stride, or over a video shorter than a window.
    most = max(grid.step, grid.window if len(stored) == 1 else 0.0) + 1 / grid.fps
    if not -1.5 / grid.fps <= covered - float(duration) <= most:
        raise DataError(
            f"{len(stored)} positions of this grid ({grid}) cover {covered:.2f} s, and the video lasts "
            f"{float(duration):.2f} s.",
            "they were computed on another grid, or from another video: compute them again",
            where=f"{stored.path} ({path})",
        )
    return TimeMap(grid, start, start + float(duration))


def _check_video(stored: StoredFeatures, grid: FeatureGrid, end: float, path: str) -> None:
    """Other tools leave out what does not fill a window, or round frame rates: a window and a step, and 2% of the
    length, may be missing or too much. A wrong frame rate or another video differs by more."""
    with open_known(path) as reader:
        last = float(reader.info.end)
        allowed = grid.window + grid.step + 0.02 * reader.info.duration
    if abs(end - last) > allowed:
        raise DataError(
            f"{len(stored)} positions of this grid ({grid}) reach to {end:.2f} s, and the video to {last:.2f} s.",
            "is fps in features.json the rate at which these features were made? or are they of another video?",
            where=f"{stored.path} ({path})",
        )
