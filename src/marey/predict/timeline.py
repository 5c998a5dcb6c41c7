"""From a video to its timeline, by whatever kind of model: a classifier that slides, or a localizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from marey.data.annotated import TimeMap, time_map
from marey.data.clips import segment_of
from marey.data.features import FeatureFolder, FeatureGrid, Features
from marey.errors import DataError
from marey.localize.smoothing import HysteresisConfig, hysteresis
from marey.predict.extract import Extractor
from marey.predict.localizer import LocalizerPredictor
from marey.predict.paired import PairedExtractor
from marey.predict.sliding import Slider
from marey.types import FloatArray, Segment, VideoTimeline
from marey.video.reader import open_video

Advance = Callable[[int], None]


class TimelineMaker(Protocol):
    """What answers where. `class_names` are without the background; `protocol` says how, in words."""

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def protocol(self) -> str: ...

    def count(self, path: str) -> int:
        """Of how much work `advance` will tell: frames, or positions of features."""
        ...

    def timeline(self, path: str, advance: Advance = ...) -> VideoTimeline:
        """What happens in a video, in order of time.

        Raises:
            VideoError, DataError: the video or its features cannot be used.
        """
        ...


def count_frames(path: str) -> int:
    """Frames of a video, counted without decoding."""
    with open_video(path) as reader:
        return reader.info.frames


@dataclass(frozen=True)
class SlidingTimelines:
    """A classifier slid over the video, its scores smoothed, and two thresholds a class.

    Attributes:
        slider: the classifier and its windows.
        rules: of each class, by name.
        about_rules: where they come from, in words.
        threads: of the decoder.
    """

    slider: Slider
    rules: Mapping[str, HysteresisConfig]
    about_rules: str = ""
    threads: int = 1

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.slider.class_names

    @property
    def protocol(self) -> str:
        return "; ".join(filter(None, (self.slider.protocol, self.about_rules)))

    def count(self, path: str) -> int:
        return count_frames(path)

    def timeline(self, path: str, advance: Advance = lambda n: None) -> VideoTimeline:
        with open_video(path, threads=self.threads) as reader:
            span = segment_of(reader, None, None)
            track = self.slider.track(reader, span, advance)
        names = self.class_names
        segments, labels, scores = hysteresis(
            track.scores.astype(np.float64), track.edges, [self.rules[name] for name in names]
        )
        found = tuple(
            Segment(float(s), float(e), names[k], float(x))
            for (s, e), k, x in zip(segments, labels, scores, strict=True)
        )
        return VideoTimeline(
            path, span.start, span.end, found, names, track.times, track.scores, protocol=self.protocol
        )


@dataclass(frozen=True)
class LocalizerTimelines:
    """A localizer or dense labeller on features, which are computed on the way or were computed before.

    Attributes:
        predictor: the localizer.
        source: what computes the features, or a folder of them.
        kind: "localizer", "anchors" or "ms-tcn".
        threads: of the decoder.
    """

    predictor: LocalizerPredictor
    source: Extractor | PairedExtractor | FeatureFolder
    kind: str
    threads: int = 1

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.predictor.class_names

    @property
    def protocol(self) -> str:
        if isinstance(self.source, FeatureFolder):
            return f"{self.kind} on stored features, {self.source.grid}"
        return f"{self.kind} on features of {self.source.name}, {self.source.grid}"

    def count(self, path: str) -> int:
        if isinstance(self.source, FeatureFolder):
            return len(self.source.of_video(path))
        return count_frames(path)

    def timeline(self, path: str, advance: Advance = lambda n: None) -> VideoTimeline:
        if isinstance(self.source, FeatureFolder):
            stored = self.source.of_video(path)
            time = time_map(stored, path, check_video=True)
            made = self._made(path, [np.asarray(stored.array)], len(stored), time)
            advance(len(stored))
            return made
        extractor = self.source
        with open_video(path, threads=self.threads) as reader:
            span = segment_of(reader, None, None)
            total = extractor.grid.positions(len(extractor.instants(reader, span)))
            parts = extractor.features(reader, span)
            seen = _told(parts, extractor.grid, reader.times, span.start, advance)
            return self._made(path, seen, total, TimeMap(extractor.grid, span.start, span.end))

    def _made(self, path: str, parts: Iterable[Features], total: int, time: TimeMap) -> VideoTimeline:
        try:
            segments, lanes = self.predictor.timeline(parts, total, time)
        except DataError as error:
            error.where = error.where or path
            raise
        times = time.to_seconds(np.arange(total, dtype=np.float64)).clip(time.start, time.end)
        return VideoTimeline(
            path, time.start, time.end, tuple(sorted(segments, key=lambda s: (s.start, s.end))),
            self.class_names, times, lanes, protocol=self.protocol,
        )  # fmt: skip


def _told(
    parts: Iterable[Features], grid: FeatureGrid, times: FloatArray, start: float, advance: Advance
) -> Iterator[Features]:
    """The parts as they are; `advance` is told of the frames that each has passed."""
    done, passed = 0, 0
    for part in parts:
        done += len(part)
        now = int(np.searchsorted(times, start + grid.cells(done) / grid.fps))
        advance(now - passed)
        passed = now
        yield part
    advance(len(times) - passed)
