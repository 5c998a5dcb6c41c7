"""`marey export --int8`: quantised, then measured here on real clips, and kept only if it is worth it.

What counts is what a user of this machine would get: the fastest runtime of float32 that says what torch says
(computing in bf16 or f16, where that passes), against the fastest of int8 that loses no more than is allowed. Each
runtime computes int8 in its own way and is judged by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from marey.data.manifest import Sample
from marey.errors import CheckpointError, DataError
from marey.export.quantise import quantise
from marey.predict.artifact import Artifact
from marey.predict.predictor import Predictor, stacked
from marey.predict.runtime import Runtime
from marey.predict.runtimes.parity import LIMIT, Answers
from marey.predict.runtimes.table import make_runtime, present
from marey.types import Clip

_ROUNDS = 15


@dataclass(frozen=True)
class Judged:
    """One runtime on one of the two files.

    Attributes:
        clip_ms: median time of one clip, in milliseconds.
        share: of the samples that are right; of samples without labels, that it and float32 agree on.
    """

    clip_ms: float
    share: float


@dataclass(frozen=True)
class Gate:
    """What was measured on this machine, before and after.

    Attributes:
        before: runtime of float32 that is fastest here, and what it gives.
        after: each runtime of int8, by name.
        samples: how many were judged.
        measure: "accuracy" or "agreement with float32".
        allowed: how much may be lost.
    """

    before: tuple[str, Judged]
    after: Mapping[str, Judged]
    samples: int
    measure: str
    allowed: float

    @property
    def kept(self) -> list[str]:
        """Runtimes that lose no more than is allowed, the fastest first."""
        share = self.before[1].share
        good = [name for name, found in self.after.items() if share - found.share <= self.allowed]
        return sorted(good, key=lambda name: self.after[name].clip_ms)

    @property
    def best(self) -> str:
        """The runtime of int8 that speaks for it: the fastest of those that may be kept, or of all."""
        return next(iter(self.kept), min(self.after, key=lambda name: self.after[name].clip_ms))

    @property
    def taken(self) -> bool:
        """Whether it is worth it: faster here, and no more lost than is allowed."""
        return bool(self.kept) and self.after[self.best].clip_ms < self.before[1].clip_ms

    def sentence(self) -> str:
        """What was decided, and why."""
        name, before = self.before
        after = self.after[self.best]
        words = (
            f"{before.clip_ms:.1f} ms a clip ({name}) → {after.clip_ms:.1f} ({self.best}), {self.measure} "
            f"{before.share:.1%} → {after.share:.1%} on {self.samples} samples"
        )
        if self.taken:
            return f"int8 is taken: {words}."
        why = "it is not faster here" if self.kept else "it loses too much"
        return (
            f"int8 is not taken, since {why}: {words} (allowed: {self.allowed:.1%}). The file holds float32."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "runtime": self.best, "kept": self.kept}


def quantised(
    artifact: Artifact, clips: Sequence[Clip], samples: Sequence[Sample], *, threads: int, allowed: float
) -> tuple[Artifact, Gate]:
    """The artifact in int8, and what the gate says of it.

    Args:
        artifact: in float32.
        clips: calibrate it.
        samples: judge it.
        threads: that compute.
        allowed: how much may be lost.

    Raises:
        CheckpointError: it cannot be quantised, or no runtime runs it. DataError: no sample can be read.
    """
    spec = artifact.about.spec
    batches = [stacked([clip], spec) for clip in clips]
    masked = quantise(artifact.model, [{**inputs, "mask": mask} for inputs, mask in batches])
    whole = None if artifact.whole is None else quantise(artifact.whole, [inputs for inputs, _ in batches])
    small = Artifact(artifact.path, replace(artifact.about, precision="int8"), masked, whole)
    floats, smalls = (_working(x, threads, batches[0]) for x in (artifact, small))
    plain = {
        name: run for name, run in floats.items() if _says(run, floats["onnxruntime"], artifact, batches)
    }
    times = _times(
        {**{("float", n): r for n, r in plain.items()}, **{("int8", n): r for n, r in smalls.items()}},
        batches[0],
    )
    first = min(plain, key=lambda name: times["float", name])
    wanted = _judged(plain[first], artifact, samples)
    if not wanted:
        raise DataError("no sample can be read, so that nothing says what int8 would lose.")
    said = {name: _judged(run, artifact, samples) for name, run in smalls.items()}
    names = artifact.about.class_names
    labels = {i: set(sample.labels) for i, sample in enumerate(samples)}
    labelled = all(labels[i] & set(names) for i in wanted)

    def share(found: Mapping[int, int]) -> float:
        right = [
            names[found[i]] in labels[i] if labelled else found[i] == wanted[i] for i in wanted if i in found
        ]
        return float(np.mean(right))

    return small, Gate(
        (first, Judged(times["float", first], share(wanted))),
        {name: Judged(times["int8", name], share(found)) for name, found in said.items()},
        len(wanted), "accuracy" if labelled else "agreement with float32", allowed,
    )  # fmt: skip


def _working(artifact: Artifact, threads: int, one: Any) -> dict[str, Runtime]:
    """The runtimes of this machine's processor that can run it."""
    found: dict[str, Runtime] = {}
    for name in present("cpu"):
        try:
            runtime = make_runtime(artifact, name, threads=threads)
            runtime(*one)
        except CheckpointError:
            if name == "onnxruntime":  # it is the one that every export is held against
                raise
            continue
        found[name] = runtime
    return found


def _says(runtime: Runtime, first: Runtime, artifact: Artifact, batches: Sequence[Any]) -> bool:
    """Whether a runtime says of float32 what ONNX Runtime says."""
    answers = Answers()
    for batch in batches:
        answers.add(first(*batch), runtime(*batch), artifact.about, "")
    return answers.delta <= LIMIT


def _judged(runtime: Runtime, artifact: Artifact, samples: Sequence[Sample]) -> dict[int, int]:
    """The most probable class of each sample that can be read, by its place."""
    about = artifact.about
    predictor = Predictor(runtime, about.spec, about.class_names, multi_label=about.multi_label)
    table = predictor.logits([replace(s, id=i) for i, s in enumerate(samples)], policy="skip")
    return dict(zip(table.ids.tolist(), table.logits.argmax(axis=1).tolist(), strict=True))


def _times(runtimes: Mapping[Any, Runtime], one: Any) -> dict[Any, float]:
    """Medians in milliseconds, in turns."""
    taken: dict[Any, list[float]] = {name: [] for name in runtimes}
    for _ in range(_ROUNDS + 1):
        for name, runtime in runtimes.items():
            start = time.perf_counter()
            runtime(*one)
            taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(times[1:])) for name, times in taken.items()}
