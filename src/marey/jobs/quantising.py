"""`marey export --int8`: quantised, then measured here on real clips, and kept only if it is worth it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from marey.data.manifest import Sample
from marey.errors import DataError
from marey.export.quantise import quantise
from marey.predict.artifact import Artifact
from marey.predict.predictor import Predictor, stacked
from marey.predict.runtimes.onnx_runtime import OnnxRuntime
from marey.types import Clip

_ROUNDS = 15


@dataclass(frozen=True)
class Gate:
    """What was measured on this machine, before and after.

    Attributes:
        before, after: share of the samples that are right; of samples without labels, that float32 and int8 agree on.
        before_ms, after_ms: median time of one clip in ONNX Runtime, in milliseconds.
        samples: how many were judged.
        measure: "accuracy" or "agreement with float32".
        allowed: how much may be lost.
    """

    before: float
    after: float
    before_ms: float
    after_ms: float
    samples: int
    measure: str
    allowed: float

    @property
    def taken(self) -> bool:
        """Whether it is worth it: faster here, and no more lost than is allowed."""
        return self.after_ms < self.before_ms and self.before - self.after <= self.allowed

    def sentence(self) -> str:
        """What was decided, and why."""
        words = (
            f"{self.before_ms:.1f} → {self.after_ms:.1f} ms a clip, {self.measure} {self.before:.1%} → "
            f"{self.after:.1%} on {self.samples} samples"
        )
        if self.taken:
            return f"int8 is taken: {words}."
        why = "it is not faster here" if self.after_ms >= self.before_ms else "it loses too much"
        return (
            f"int8 is not taken, since {why}: {words} (allowed: {self.allowed:.1%}). The file holds float32."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


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
        CheckpointError: it cannot be quantised. DataError: no sample can be read.
    """
    spec = artifact.about.spec
    batches = [stacked([clip], spec) for clip in clips]
    masked = quantise(artifact.model, [{**inputs, "mask": mask} for inputs, mask in batches])
    whole = None if artifact.whole is None else quantise(artifact.whole, [inputs for inputs, _ in batches])
    small = Artifact(artifact.path, replace(artifact.about, precision="int8"), masked, whole)
    runtimes = {
        "before": OnnxRuntime(artifact, threads=threads),
        "after": OnnxRuntime(small, threads=threads),
    }
    times = _times(runtimes, batches[0])
    said = {name: _judged(runtime, artifact, samples) for name, runtime in runtimes.items()}
    kept = [i for i in said["before"] if i in said["after"]]
    if not kept:
        raise DataError("no sample can be read, so that nothing says what int8 would lose.")
    names = artifact.about.class_names
    labels = {i: set(sample.labels) for i, sample in enumerate(samples)}
    labelled = all(labels[i] & set(names) for i in kept)
    right = {
        name: float(np.mean([names[said[name][i]] in labels[i] for i in kept]))
        if labelled
        else float(np.mean([said[name][i] == said["before"][i] for i in kept]))
        for name in said
    }
    return small, Gate(
        right["before"], right["after"], times["before"], times["after"], len(kept),
        "accuracy" if labelled else "agreement with float32", allowed,
    )  # fmt: skip


def _judged(runtime: OnnxRuntime, artifact: Artifact, samples: Sequence[Sample]) -> dict[int, int]:
    """The most probable class of each sample that can be read, by its place."""
    about = artifact.about
    predictor = Predictor(runtime, about.spec, about.class_names, multi_label=about.multi_label)
    table = predictor.logits([replace(s, id=i) for i, s in enumerate(samples)], policy="skip")
    return dict(zip(table.ids.tolist(), table.logits.argmax(axis=1).tolist(), strict=True))


def _times(runtimes: dict[str, OnnxRuntime], one: Any) -> dict[str, float]:
    """Medians in milliseconds, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in runtimes}
    for _ in range(_ROUNDS + 1):
        for name, runtime in runtimes.items():
            start = time.perf_counter()
            runtime(*one)
            taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(times[1:])) for name, times in taken.items()}
