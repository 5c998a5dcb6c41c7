"""From features of a video to its timeline: the one way in which a trained localizer is asked.

Features come in parts, are seen in overlapping stretches, and only what counts of each is kept: memory does not
grow with the length of the video, but for the segments themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from marey.data.annotated import TimeMap
from marey.data.features import Features
from marey.errors import DataError
from marey.localize.anchors import AnchorLocalizer
from marey.localize.crops import stretches
from marey.localize.decode import DecodeConfig, candidates, settle
from marey.localize.fused import FusedLocalizer
from marey.localize.ms_tcn import MSTCN
from marey.localize.pyramid import Localizer
from marey.types import Segment

_POSITIONS = 4096  # of the grid that the network sees at once


@dataclass(frozen=True)
class LocalizerPredictor:
    """A trained localizer, or dense labeller, on a device.

    Attributes:
        model: in eval mode.
        class_names: K names; a dense labeller has the background behind them.
        decode: how segments are read from points.
        device: where it runs.
        positions: of the grid, seen at once.
    """

    model: Localizer | AnchorLocalizer | FusedLocalizer | MSTCN
    class_names: tuple[str, ...]
    decode: DecodeConfig
    device: str = "cpu"
    positions: int = _POSITIONS

    def segments(self, parts: Iterable[Features], total: int, time: TimeMap) -> list[Segment]:
        """What happens in a video, best first; of a dense labeller, in order. See `timeline`."""
        return self.timeline(parts, total, time)[0]

    def timeline(
        self, parts: Iterable[Features], total: int, time: TimeMap
    ) -> tuple[list[Segment], NDArray[np.float32]]:
        """What happens in a video, best first (of a dense labeller, in order), and scores `(T, K)` of every class at
        every position.

        The score of a class at a position is the highest score of a segment that covers it, before any suppression;
        of a dense labeller, the probability.

        Args:
            parts: the features in order, `(n, D)` at a time.
            total: T, how many positions there are in all.
            time: where they lie.

        Raises:
            DataError: NaN or infinity among the features, or another number of positions than `total`.
        """
        if isinstance(self.model, MSTCN):
            p_TK = self.probabilities(parts, total)
            labels = p_TK.argmax(axis=1)
            top = np.take_along_axis(p_TK, labels[:, None], axis=1)[:, 0].astype(np.float64)
            return self.runs(labels, top, time), p_TK[:, :-1]
        segments, labels, scores = self._candidates(parts, total, time)
        lanes_TK = _covered(segments, labels, scores, (total, len(self.class_names)))
        segments, labels, scores = settle(segments, labels, scores, config=self.decode, positions=total)
        seconds = time.to_seconds(segments).clip(time.start, time.end)
        found = [
            Segment(float(s), float(e), self.class_names[k], float(x))
            for (s, e), k, x in zip(seconds, labels, scores, strict=True)
        ]
        return found, lanes_TK

    def _candidates(
        self, parts: Iterable[Features], total: int, time: TimeMap
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """Segments on the grid before any suppression, their classes and scores."""
        found = []
        seen = stretches(total, self.positions)
        for (first, stop, begin, end), x_TD in zip(seen, _seen(parts, seen), strict=True):
            with torch.inference_mode():
                logits, offsets, _ = self.model(torch.from_numpy(x_TD)[None].to(self.device))
            points = self.model.points(stop - first)  # type: ignore[operator]
            position = points.position.cpu().numpy().astype(np.float64) + first
            counted = (position >= begin) & (position < end)
            found.append(
                candidates(
                    torch.sigmoid(logits[0].float()).cpu().numpy()[counted],
                    offsets[0].float().cpu().numpy()[counted],
                    position[counted],
                    points.stride.cpu().numpy().astype(np.float64)[counted],
                    extent=time.extent,
                    config=self.decode,
                    positions=end - begin,
                )
            )
        segments, labels, scores = (np.concatenate(column) for column in zip(*found, strict=True))
        return segments, labels.astype(np.int64), scores

    def labels(self, parts: Iterable[Features], total: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """A dense labeller's class of every position (K: background), and its probability; each `(T,)`."""
        p_TK = self.probabilities(parts, total)
        return p_TK.argmax(axis=1), p_TK.max(axis=1).astype(np.float64)

    def probabilities(self, parts: Iterable[Features], total: int) -> NDArray[np.float32]:
        """A dense labeller's probability `(T, K + 1)` of every class, the background last, at every position."""
        assert isinstance(self.model, MSTCN)
        found = []
        seen = stretches(total, self.positions)
        for (first, _, begin, end), x_TD in zip(seen, _seen(parts, seen), strict=True):
            with torch.inference_mode():
                logits = self.model(torch.from_numpy(x_TD)[None].to(self.device))[-1, 0]
            found.append(logits[begin - first : end - first].float().softmax(dim=-1).cpu().numpy())
        return np.concatenate(found)

    def runs(self, labels: NDArray[np.int64], scores: NDArray[np.float64], time: TimeMap) -> list[Segment]:
        """Stretches of one label as segments, without the background; the score is the mean probability."""
        change = np.flatnonzero(np.diff(labels)) + 1
        first, stop = np.append(0, change), np.append(change, len(labels))
        edges = time.to_seconds(np.append(first, len(labels)) - 0.5)
        edges[0], edges[-1] = time.start, time.end
        return [
            Segment(
                float(edges[i]), float(edges[i + 1]), self.class_names[labels[a]], float(scores[a:b].mean())
            )
            for i, (a, b) in enumerate(zip(first, stop, strict=True))
            if labels[a] < len(self.class_names) and edges[i + 1] > edges[i]
        ]


def _covered(
    segments: NDArray[np.float64],
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """The highest score over each position `(T, K)`; 0 where nothing covers it. A position is one step wide."""
    lanes_TK = np.zeros(shape, dtype=np.float32)
    first = np.clip(np.ceil(segments[:, 0]), 0, shape[0]).astype(np.int64)
    stop = np.clip(np.floor(segments[:, 1]) + 1, 0, shape[0]).astype(np.int64)
    for i in np.argsort(scores, kind="stable"):  # the best is written last
        lanes_TK[first[i] : stop[i], labels[i]] = scores[i]
    return lanes_TK


def _seen(parts: Iterable[Features], seen: list[tuple[int, int, int, int]]) -> Iterator[Features]:
    """The features of each stretch, out of parts of any length; what no later stretch needs is let go."""
    source = iter(parts)
    held: list[Features] = []
    begin = 0  # the position that `held` begins with
    for first, stop, _, _ in seen:
        have = begin + sum(map(len, held))
        while have < stop:
            part = next(source, None)
            if part is None:
                raise DataError(f"there are {have} positions of features, and {seen[-1][1]} were announced.")
            if not np.isfinite(part).all():
                raise DataError(f"the features have NaN or infinity after position {have}.")
            held.append(np.asarray(part, dtype=np.float32))
            have += len(part)
        joined = np.concatenate(held)[first - begin :]
        held, begin = [joined], first
        yield joined[: stop - first]
