"""The parity certificate: the artifact against torch, on real clips, at several batches, lengths and paddings.

Only then is there a file. What was compared, how far the two lie apart, in which versions and how long both take
goes onto the screen and into the artifact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.metrics.calibration import probabilities
from marey.predict.about import Description
from marey.predict.artifact import Artifact
from marey.predict.predictor import stacked
from marey.predict.probes import probe_inputs
from marey.predict.runtime import Arrays, Runtime, TorchRuntime
from marey.predict.runtimes.parity import Answers, limit_of
from marey.spec import InputSpec
from marey.types import Clip

_TIMED = 5


@dataclass(frozen=True)
class Case:
    """One batch that both are given.

    Attributes:
        inputs, mask: as a runtime takes them.
        words: what is special about it.
    """

    inputs: Arrays
    mask: NDArray[np.bool_]
    words: str


def cases(clips: Sequence[Clip], spec: InputSpec) -> Iterator[Case]:
    """Every clip by itself; batches of 2 and 5; padding with garbage in it; other lengths, where there are any.

    Args:
        clips: at least one, as the model takes them.
    """
    row = [clips[i % len(clips)] for i in range(5)]
    for number, clip in enumerate(clips):
        yield Case(*stacked([clip], spec), f"clip {number + 1} alone")
    for batch in (2, 5):
        inputs, mask = stacked(row[:batch], spec)
        yield Case(inputs, mask, f"{batch} clips")
        yield _padded(inputs, mask, f"{batch} clips of different lengths, padded")
    if spec.fixed_frames:
        return
    inputs, mask = stacked(row[:2], spec)
    frames = mask.shape[1]
    least = max(spec.min_frames, 1 if spec.modalities == ("rgb",) else 2)
    for wanted in dict.fromkeys((least, frames // 2 + 1, frames - 1, frames + frames // 2 + 1)):
        length = spec.padded_frames(max(wanted, least))
        other = {name: _of_length(x, length - (name != "rgb")) for name, x in inputs.items()}
        full = np.ones((2, length), dtype=bool)
        yield Case(other, full, f"2 clips of {length} frames")
        if length > least:
            yield _padded(other, full, f"2 clips of {length} frames, padded")


def _of_length(x: NDArray[Any], length: int) -> NDArray[Any]:
    """Cut, or gone on with from the start."""
    turns = -(-length // x.shape[1])
    return np.ascontiguousarray(np.concatenate([x] * turns, axis=1)[:, :length])


def _padded(inputs: Arrays, mask: NDArray[np.bool_], words: str) -> Case:
    """The clips cut to lengths of their own, with garbage in what is then padding."""
    frames = mask.shape[1]
    least = 1 if "rgb" in inputs else 2  # flow lies between two
    shorter = mask.copy()
    for row in range(len(mask)):
        shorter[row, max(least, frames - row * max(1, frames // 4) - row) :] = False
    shorter[-1, max(least, frames // 3) :] = False
    rng = np.random.default_rng(0)
    garbled = {}
    for name, x in inputs.items():
        real = shorter[:, frames - x.shape[1] :]
        noise: NDArray[Any] = (
            rng.integers(0, 256, x.shape) if x.dtype == np.uint8 else rng.uniform(-1, 1, x.shape)
        )
        garbled[name] = np.where(real[:, :, None, None, None], x, noise).astype(x.dtype)
    return Case(garbled, shorter, words)


def compare(
    torch_runtime: TorchRuntime,
    runtimes: dict[str, Callable[[Arrays, NDArray[np.bool_]], NDArray[np.float32]]],
    artifact: Artifact,
    clips: Sequence[Clip],
    *,
    source: str,
    versions: dict[str, str],
) -> dict[str, Any]:
    """Run all cases through torch and through each runtime.

    Returns:
        plain JSON: `limit`, `source` of the clips, `cases`, `versions`, per runtime `delta` (largest difference of a
        probability), `worst` (the case), `top1` (share of clips on whose first class both agree) and `clip_ms`;
        `torch_ms`; and `probes`, what torch says of `predict.probes`.
    """
    about = artifact.about
    answers = {name: Answers() for name in runtimes}
    count = 0
    for case in cases(clips, about.spec):
        count += 1
        wanted = torch_runtime(case.inputs, case.mask)
        for name, runtime in runtimes.items():
            answers[name].add(wanted, runtime(case.inputs, case.mask), about, case.words)
    one = stacked(list(clips[:1]), about.spec)
    times = _taken({"torch": torch_runtime, **runtimes}, one)
    return {
        "limit": limit_of(about),
        "source": source,
        "clips": len(clips),
        "cases": count,
        "versions": versions,
        "torch_ms": times["torch"],
        "runtimes": {name: {**found.to_dict(), "clip_ms": times[name]} for name, found in answers.items()},
        "probes": probed(torch_runtime, about),
    }


def probed(runtime: Runtime, about: Description) -> list[list[float]]:
    """What a runtime says of the probe clips, as probabilities."""
    logits = runtime(*probe_inputs(about.spec))
    said = probabilities(logits, temperature=about.temperature, multi_label=about.multi_label)
    return [[round(float(p), 8) for p in row] for row in said]


def _taken(runtimes: dict[str, Any], one: tuple[Arrays, NDArray[np.bool_]]) -> dict[str, float]:
    """The median time of one clip in milliseconds, the runtimes taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in runtimes}
    for _ in range(_TIMED):
        for name, runtime in runtimes.items():
            start = time.perf_counter()
            runtime(*one)
            taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: round(float(np.median(times)), 3) for name, times in taken.items()}
