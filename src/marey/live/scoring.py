"""From the latest frames of many lanes to scores: a window that ends now, judged as a clip of a file would be.

A lane is what of a feed is judged by itself: the feed, or a zone of it. Lanes that are due go through the network
together.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from marey.data.clips import fit_clip
from marey.data.motion import compute_fields, wanted_pairs
from marey.errors import ConfigError
from marey.metrics.calibration import probabilities
from marey.predict.predictor import Predictor, stacked
from marey.types import Clip, FloatArray, UInt8Array
from marey.video.sampling import Sampler, sampler_from_dict

_FALLBACK = 2.0  # seconds of a window where nothing says better
_MOST = 1024  # frames of a window, whatever a camera's rate


class Scorer(Protocol):
    """Judges lanes of frames."""

    class_names: tuple[str, ...]

    def see(self, lane: str, picture: UInt8Array, time: float) -> None:
        """The next frame of a lane: uint8 `(H, W, 3)`, the whole picture at the size that is cropped from."""
        ...

    def due(self, lane: str) -> bool:
        """Whether a lane is to be judged now."""
        ...

    def skip(self, lane: str) -> None:
        """A lane that is due need not be judged."""
        ...

    def scores(self, lanes: Sequence[str]) -> FloatArray:
        """Probabilities `(lanes, K)` of lanes that are due."""
        ...

    def forget(self, lane: str) -> None:
        """What comes does not go on from what was seen."""
        ...


class WindowScorer:
    """A classifier on windows over the frames that were seen last.

    Args:
        predictor: the classifier.
        window: seconds; None takes what its sampler looks at, or 2.
        every: seconds from one look to the next; None takes a quarter of the window.

    Raises:
        ConfigError: settings that cannot be, or a sampler that must know a whole file.
    """

    def __init__(
        self, predictor: Predictor, *, window: float | None = None, every: float | None = None
    ) -> None:
        spec = predictor.spec
        self.class_names = predictor.class_names
        self.window = window if window is not None else own_window(spec.sampler)
        self.every = every if every is not None else self.window / 4
        if not 0 < self.every <= self.window:
            raise ConfigError(
                f"a window of {self.window:g} s every {self.every:g} s cannot be.",
                "--every lies above 0 and is at most --window: a moment between would not be seen",
            )
        self._predictor = predictor
        self._sampler: Sampler = sampler_from_dict(spec.sampler)
        if self._sampler.cue is not None:
            raise ConfigError(
                f"the sampler {spec.sampler['name']!r} chooses frames by {self._sampler.cue} of a whole video; "
                "a live feed has no end.",
                "train with uniform, rate, dense or segments",
            )
        self._rings: dict[str, deque[tuple[float, UInt8Array]]] = {}
        self._looked: dict[str, float] = {}

    def see(self, lane: str, picture: UInt8Array, time: float) -> None:
        """See `Scorer`."""
        ring = self._rings.setdefault(lane, deque(maxlen=_MOST))
        ring.append((time, picture))
        while len(ring) > 1 and ring[1][0] <= time - self.window:
            ring.popleft()

    def due(self, lane: str) -> bool:
        """See `Scorer`. A lane is judged first when a whole window was seen."""
        ring = self._rings.get(lane)
        if not ring or len(ring) < 2:
            return False
        now = ring[-1][0]
        whole = now - ring[0][0] >= self.window or len(ring) == _MOST
        return whole and now - self._looked.get(lane, -np.inf) >= self.every

    def skip(self, lane: str) -> None:
        """See `Scorer`."""
        self._looked[lane] = self._rings[lane][-1][0]

    def forget(self, lane: str) -> None:
        """See `Scorer`."""
        self._rings.pop(lane, None)
        self._looked.pop(lane, None)

    def scores(self, lanes: Sequence[str]) -> FloatArray:
        """See `Scorer`."""
        predictor, found = self._predictor, []
        for first in range(0, len(lanes), predictor.batch):
            group = lanes[first : first + predictor.batch]
            logits = predictor.runtime(*stacked([self._clip(lane) for lane in group], predictor.spec))
            found.append(
                probabilities(logits, temperature=predictor.temperature, multi_label=predictor.multi_label)
            )
        for lane in lanes:
            self.skip(lane)
        return np.concatenate(found) if found else np.empty((0, len(self.class_names)))

    def _clip(self, lane: str) -> Clip:
        """The window that ends with the latest frame, as `marey.data.clips` makes clips of files."""
        ring, spec = self._rings[lane], self._predictor.spec
        times = np.array([time for time, _ in ring])
        end = times[-1] + 1e-6  # the latest frame is in it
        chosen, mask = self._sampler.times(times, max(times[0], end - self.window), end)
        index = np.clip(np.searchsorted(times, chosen[mask], side="right") - 1, 0, len(times) - 1)
        frames = np.stack([ring[i][1] for i in index.tolist()])
        clip = Clip(frames, times[index], np.ones(len(index), dtype=bool))
        if "flow" in spec.modalities:
            wanted = wanted_pairs(index, spec.snippet)
            clip = dataclasses.replace(
                clip, flow=compute_fields(frames, clip.times, wanted, spec.flow_method)
            )
        return fit_clip(clip, spec, "center")


def own_window(sampler: dict[str, object]) -> float:
    """Seconds that a sampler looks at, or 2 where this depends on the video."""
    plain = sampler.get("inner") or sampler
    assert isinstance(plain, dict)
    name = plain.get("name")
    if name == "dense":
        return float(plain["n"]) * float(plain["stride_s"])
    if name == "rate" and plain.get("max"):
        return float(plain["max"]) / float(plain["fps"])
    return _FALLBACK
