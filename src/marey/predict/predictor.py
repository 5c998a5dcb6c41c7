"""The one path from a video to a prediction: reader → sampler → resize and crop → runtime → views → calibration.

Training's validation, `eval`, `audit` and `predict` all call `Predictor.logits`; nobody else feeds a network.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from marey.data.clips import Crop, load_views
from marey.data.manifest import Sample
from marey.data.modalities import clip_inputs
from marey.data.motion import FlowSource
from marey.errors import ConfigError, MareyError, VideoError
from marey.metrics.calibration import probabilities
from marey.predict.runtime import Runtime
from marey.spec import InputSpec
from marey.types import Clip, Prediction

Policy = Literal["error", "skip"]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Views:
    """Which clips and crops of a sample are averaged at test time.

    Attributes:
        clips: clips spread over the sample's length.
        crops: 1 (the centre) or 3 (left, centre, right; top to bottom where the video is upright).
    """

    clips: int = 1
    crops: int = 1

    def __post_init__(self) -> None:
        if self.clips < 1 or self.crops not in (1, 3):
            raise ConfigError(f"views are 1 or more clips × 1 or 3 crops; got {self.clips} × {self.crops}.")

    def __str__(self) -> str:
        return f"{self.clips} clip{'s' * (self.clips > 1)} × {self.crops} crop{'s' * (self.crops > 1)}"

    def __len__(self) -> int:
        return self.clips * self.crops

    @property
    def cuts(self) -> tuple[Crop, ...]:
        """Which part of each clip is kept."""
        return ("center",) if self.crops == 1 else ("left", "center", "right")


@dataclass(frozen=True, eq=False)
class LogitTable:
    """Logits of many samples, and what could not be read.

    Attributes:
        ids: int `(N,)`, the samples' ids, in the order in which they were asked for.
        logits: float32 `(N, K)`, mean over views, before calibration.
        spans: float64 `(N, 2)`, first and last instant that was looked at, in seconds.
        failures: `{"id", "path", "where", "error"}` of each sample that could not be read.
    """

    ids: NDArray[np.int64]
    logits: NDArray[np.float32]
    spans: NDArray[np.float64]
    failures: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Predictor:
    """A runtime with all that is needed to feed it and to read what it says.

    Attributes:
        runtime: runs the network.
        spec: how a video becomes its input.
        class_names: K names, in the order of the logits.
        multi_label: independent classes (sigmoid) in place of exclusive ones (softmax).
        temperature: divides the logits before the probabilities (calibration).
        views: what is averaged.
        workers: threads that decode; decoding leaves the interpreter's lock.
        batch: clips at once.
        flow: where optical flow comes from that need not be computed; clips whose order is disturbed have
            theirs computed always.
    """

    runtime: Runtime
    spec: InputSpec
    class_names: tuple[str, ...]
    multi_label: bool = False
    temperature: float = 1.0
    views: Views = Views()
    workers: int = 2
    batch: int = 8
    flow: FlowSource | None = None

    @property
    def protocol(self) -> str:
        """How a sample is judged, in words: it stands beside every number."""
        height, width = self.spec.size
        return (
            f"{self.views}, {self.spec.frames} frames, {width}×{height}, {sampler_words(self.spec.sampler)}"
        )

    def predict(self, path: str, *, start: float | None = None, end: float | None = None) -> Prediction:
        """Judge one video, or the segment `[start, end)` of it in seconds.

        Raises:
            VideoError: the file cannot be read; says why. SegmentError: the segment lies outside it.
        """
        return next(iter(self.predict_many([Sample(0, str(path), (), start, end)])))

    def predict_many(
        self, samples: Iterable[Sample], *, on_error: Callable[[Sample, MareyError], None] | None = None
    ) -> Iterator[Prediction]:
        """Judge many samples, in order, in memory that does not grow with their number.

        Args:
            samples: what to judge.
            on_error: told of each sample that cannot be read, which is then left out; without it the first
                such sample raises.
        """

        def failed(sample: Sample, error: MareyError) -> None:
            if on_error is None:
                raise error
            on_error(sample, error)

        for sample, logits, span in self._stream(samples, "ordered", 0, failed):
            probs = probabilities(logits[None], temperature=self.temperature, multi_label=self.multi_label)[0]
            yield Prediction(
                path=sample.path,
                class_names=self.class_names,
                probabilities=probs,
                start=span[0] if sample.start is None else sample.start,
                end=span[1] if sample.end is None else sample.end,
                protocol=self.protocol,
                multi_label=self.multi_label,
                logits=logits.astype(np.float64),
            )

    def logits(
        self,
        samples: Iterable[Sample],
        *,
        order: str = "ordered",
        seed: int = 0,
        policy: Policy = "error",
        advance: Callable[[int], None] | None = None,
    ) -> LogitTable:
        """Logits of all samples.

        Args:
            samples: what to judge.
            order: `ordered`, or a disturbance of time for the audit: `shuffled`, `reversed`, `frozen`.
            seed: of the shuffling; the same sample is shuffled in the same way whatever the batch.
            policy: `error` raises at the first sample that cannot be read, `skip` lists it in `failures`.
            advance: called with the number of samples done, for a progress bar.

        Raises:
            VideoError, SegmentError: under the policy `error`; names the sample's row.
        """
        failures: list[dict[str, Any]] = []

        def failed(sample: Sample, error: MareyError) -> None:
            if policy == "error":
                raise error
            failures.append(
                {"id": sample.id, "path": sample.path, "where": sample.where, "error": str(error)}
            )
            if advance:
                advance(1)

        ids, rows, spans = [], [], []
        for sample, logits, span in self._stream(samples, order, seed, failed):
            ids.append(sample.id)
            rows.append(logits)
            spans.append(span)
            if advance:
                advance(1)
        return LogitTable(
            np.array(ids, dtype=np.int64),
            np.array(rows, dtype=np.float32).reshape(len(rows), len(self.class_names)),
            np.array(spans, dtype=np.float64).reshape(len(rows), 2),
            failures,
        )

    def _stream(
        self,
        samples: Iterable[Sample],
        order: str,
        seed: int,
        failed: Callable[[Sample, MareyError], None],
    ) -> Iterator[tuple[Sample, NDArray[np.float32], tuple[float, float]]]:
        """Mean logits over views, sample by sample, in order."""

        def load(sample: Sample) -> tuple[Sample, list[Clip] | MareyError]:
            try:
                return sample, load_views(
                    sample, self.spec, clips=self.views.clips, crops=self.views.cuts, flow=self.flow,
                    disturb=None if order == "ordered" else partial(_disturbed, order, (seed, sample.id)),
                )  # fmt: skip
            except MareyError as error:
                return sample, error

        waiting: list[tuple[Sample, list[Clip]]] = []
        enough = max(1, self.batch // len(self.views))
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            for sample, clips in _in_order(pool, load, samples, depth=2 * enough + self.workers):
                if isinstance(clips, MareyError):
                    # what came before is handed out first, so that a failure is met where it stands
                    yield from self._judge(waiting)
                    waiting = []
                    failed(sample, _named(clips, sample))
                    continue
                waiting.append((sample, clips))
                if len(waiting) >= enough:
                    yield from self._judge(waiting)
                    waiting = []
            yield from self._judge(waiting)

    def _judge(
        self, group: list[tuple[Sample, list[Clip]]]
    ) -> Iterator[tuple[Sample, NDArray[np.float32], tuple[float, float]]]:
        clips = [clip for _, views in group for clip in views]
        logits: list[NDArray[np.float32]] = []
        for first in range(0, len(clips), self.batch):
            inputs, mask = stacked(clips[first : first + self.batch], self.spec)
            logits.extend(list(self.runtime(inputs, mask)))
        rows = iter(logits)
        for sample, views in group:
            mean = np.mean(list(itertools.islice(rows, len(views))), axis=0, dtype=np.float64)
            seen = np.concatenate([clip.times[clip.mask] for clip in views])
            yield sample, np.asarray(mean, dtype=np.float32), (float(seen.min()), float(seen.max()))


def _disturbed(order: str, seed: tuple[int, int], number: int, clip: Clip) -> Clip:
    from marey.metrics.temporal import perturb  # brings SciPy, which a prediction does not need

    rng = np.random.default_rng([*seed, number])
    return replace(clip, frames=perturb(clip.frames, clip.mask, order, rng))


def stacked(clips: Sequence[Clip], spec: InputSpec) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
    """Clips of one size as a batch padded to its longest: what the runtime takes."""
    longest = spec.padded_frames(max(len(clip) for clip in clips))
    each = [clip_inputs(clip, spec.modalities, flow_method=spec.flow_method) for clip in clips]
    inputs = {}
    for name in spec.modalities:
        first = each[0][name]
        # a field of flow or difference lies between two frames: one fewer than frames
        frames = longest - (len(clips[0]) - len(first))
        inputs[name] = np.zeros((len(clips), frames, *first.shape[1:]), dtype=first.dtype)
        for row, given in enumerate(each):
            inputs[name][row, : len(given[name])] = given[name]
    mask = np.zeros((len(clips), longest), dtype=bool)
    for row, clip in enumerate(clips):
        mask[row, : len(clip)] = clip.mask
    return inputs, mask


def sampler_words(plain: dict[str, Any]) -> str:
    """A sampler as one writes it on the command line: "uniform:n=16"."""
    rest = {key: value for key, value in plain.items() if key != "name"}
    inner = rest.pop("inner", None)
    words = [f"{key}={value}" for key, value in rest.items()] + ([sampler_words(inner)] if inner else [])
    return f"{plain['name']}:{','.join(words)}" if words else str(plain["name"])


def _named(error: MareyError, sample: Sample) -> MareyError:
    """Say which row of the manifest a failure belongs to."""
    if not sample.where or (error.where and sample.where in error.where):
        return error
    where = f"{sample.where}: {error.where}" if isinstance(error, VideoError) else sample.where
    error.where = where
    return error


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], *, depth: int
) -> Iterator[Result]:
    """`map` that keeps the order and at most `depth` results waiting, however long `items` is."""
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
