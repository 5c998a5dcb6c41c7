"""A manifest of segments as one timeline a video: what happens when.

A row with start, end and label is a segment; two labels in one row are two segments. Rows of the background class
say that nothing of the classes happens there: a video that has no other row is one without a segment, which is
legal. Times are seconds on the video's own clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from marey.data.manifest import Manifest, Sample
from marey.errors import ManifestError, SegmentError

BACKGROUND = "background"

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Timeline:
    """What happens in one video.

    Attributes:
        path: the video.
        segments: float64 `(N, 2)`, start and end; −inf and inf where a row left them to the video.
        labels: int64 `(N,)`, into the class names.
        split, group: as in the manifest.
        where: place of each segment in the manifest, for messages.
        rows: the manifest's rows.
    """

    path: str
    segments: FloatArray
    labels: IntArray
    split: str | None
    group: str | None
    where: tuple[str, ...]
    rows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.segments)

    def within(self, start: float, end: float, *, slack: float) -> tuple[Timeline, int]:
        """The timeline of a video that lasts from `start` to `end`, and how many segments were cut to it.

        Args:
            slack: seconds by which a segment may reach outside and is cut; a frame's length or so.

        Raises:
            SegmentError: a segment that reaches further outside, or lies outside; names its row.
        """
        segments = self.segments.copy()
        segments[np.isneginf(segments[:, 0]), 0] = start
        segments[np.isposinf(segments[:, 1]), 1] = end
        outside = np.maximum(start - segments[:, 0], segments[:, 1] - end)
        far = np.flatnonzero(outside > slack)
        cut = segments.clip(start, end)
        empty = np.flatnonzero(cut[:, 1] <= cut[:, 0])
        if len(bad := np.union1d(far, empty)):
            s, e = segments[bad[0]]
            raise SegmentError(
                f"the segment from {s:.3f} s to {e:.3f} s lies outside the video, which lasts from {start:.3f} s to "
                f"{end:.3f} s.",
                self.path,
                *([f"so do {len(bad) - 1} others of this video"] if len(bad) > 1 else []),
                "mend the times in the manifest",
                where=self.where[bad[0]],
            )
        return replace(self, segments=cut), int((outside > 0).sum())


def timelines(
    manifest: Manifest, *, class_names: Sequence[str] | None = None, background: str = BACKGROUND
) -> tuple[tuple[str, ...], list[Timeline]]:
    """Class names without the background, and the timeline of every video in order of appearance.

    Args:
        manifest: rows of segments.
        class_names: the order of the classes; by default the manifest's.
        background: the label that says that nothing happens.

    Raises:
        ManifestError: no class but the background; a label that `class_names` does not have; one video in two
            splits.
    """
    names = tuple(n for n in (class_names or manifest.class_names) if n != background)
    if not names:
        raise ManifestError(
            f"there is no class but {background!r}.", "give segments with labels", where=manifest.origin.name
        )
    manifest.check_classes((*names, background))
    index = {name: i for i, name in enumerate(names)}
    videos: dict[str, list[Sample]] = {}
    for row in range(len(manifest)):
        sample = manifest.sample(row)
        videos.setdefault(sample.path, []).append(sample)
    found = []
    for path, samples in videos.items():
        splits = {s.split for s in samples}
        if len(splits) > 1:
            raise ManifestError(
                f"segments of one video are in {' and '.join(sorted(map(str, splits)))}.",
                path,
                "a video belongs to one split as a whole",
                where=samples[0].where,
            )
        rows = [(s, index[label]) for s in samples for label in s.labels if label != background]
        times = [
            (-np.inf if s.start is None else s.start, np.inf if s.end is None else s.end) for s, _ in rows
        ]
        found.append(
            Timeline(
                path=path,
                segments=np.array(times, dtype=np.float64).reshape(-1, 2),
                labels=np.array([label for _, label in rows], dtype=np.int64),
                split=samples[0].split,
                group=samples[0].group,
                where=tuple(s.where for s, _ in rows),
                rows=tuple(s.id for s in samples),
            )
        )
    return names, found


def label_windows(
    timeline: Timeline, edges: FloatArray, classes: int, *, share: float = 0.5
) -> NDArray[np.bool_]:
    """Which classes happen in each window: bool `(W, K)`.

    A class holds where one of its segments covers at least `share` of the window; a segment that is shorter than
    that holds where as much of it lies inside.

    Args:
        edges: float `(W, 2)`, start and end of each window.
    """
    held = np.zeros((len(edges), classes), dtype=bool)
    for (start, end), label in zip(timeline.segments, timeline.labels, strict=True):
        both = np.minimum(edges[:, 1], end) - np.maximum(edges[:, 0], start)
        length = edges[:, 1] - edges[:, 0]
        held[:, label] |= (both >= share * length) | (
            (both > share * (end - start)) & (end - start < share * length)
        )
    return held
