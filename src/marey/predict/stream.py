"""A live feed, frame by frame: `marey.open_stream("best.step.onnx", feeds=4).step(frames)`.

The state of each feed is kept here. All feeds that have a frame at the moment go through the network together.
An artifact needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marey.errors import ConfigError, UsageError
from marey.metrics.calibration import probabilities
from marey.predict.load import AUTO, SUFFIX, find_weights
from marey.predict.steps import Steps, first_state
from marey.spec import InputSpec


class Stream:
    """Feeds that are judged frame by frame. After each frame the answer is that for a clip of all frames since the
    feed was begun (`reset`).

    Args:
        steps: runs the network.
        spec: of its input. class_names: in the order of the probabilities.
        feeds: how many there are.
        multi_label, temperature: as in `Predictor`.
        fps: frames a second that the model was trained at, where it is known: what a feed should be thinned to.
    """

    def __init__(
        self,
        steps: Steps,
        spec: InputSpec,
        class_names: Sequence[str],
        *,
        feeds: int = 1,
        multi_label: bool = False,
        temperature: float = 1.0,
        fps: float | None = None,
    ) -> None:
        if feeds < 1:
            raise UsageError(f"a stream has at least one feed; got {feeds}.")
        self.steps = steps
        self.spec = spec
        self.class_names = tuple(class_names)
        self.feeds = feeds
        self.multi_label = multi_label
        self.temperature = temperature
        self.fps = fps
        self._state = first_state(steps, feeds)

    def step(self, frames: NDArray[np.uint8], feeds: Sequence[int] | None = None) -> NDArray[np.float64]:
        """One frame further.

        Args:
            frames: uint8 RGB `(B, 3, H, W)` of `spec.size`, scaled and cut as the clips that it was trained on
                (short side `spec.resize`, centre): one for each feed.
            feeds: those that have a frame now, different numbers from 0, in the order of `frames`; None: all of
                them. The others stay as they are.

        Returns:
            Probabilities `(B, K)`.

        Raises:
            UsageError: frames of another type or shape, or feeds that are not there.
        """
        rows = self._rows(feeds)
        wanted = (self.feeds if rows is None else len(rows), 3, *self.spec.size)
        if frames.dtype != np.uint8 or frames.shape != wanted:
            raise UsageError(f"frames must be uint8 of shape {wanted}, got {frames.dtype} {frames.shape}.")
        frames = np.ascontiguousarray(frames)
        if rows is None:
            logits, after = self.steps(frames, self._state)
            self._state = dict(after)
        else:
            logits, after = self.steps(frames, {name: x[rows] for name, x in self._state.items()})
            for name, x in after.items():
                self._own(name)[rows] = x
        return probabilities(logits, temperature=self.temperature, multi_label=self.multi_label)

    def reset(self, feeds: int | Sequence[int] | None = None) -> None:
        """Begin these feeds anew; None: all of them.

        Raises:
            UsageError: a feed that is not there.
        """
        rows = self._rows([feeds] if isinstance(feeds, int) else feeds)
        for name in self._state:
            self._own(name)[slice(None) if rows is None else rows] = 0.0

    @property
    def frames(self) -> NDArray[np.int64]:
        """Frames that each feed has seen since it was begun: `(feeds,)`."""
        return self._state["frames"].astype(np.int64)

    def _own(self, name: str) -> NDArray[np.float32]:
        """A part of the state that can be written to: what a runtime gave may belong to it."""
        if not self._state[name].flags.writeable:
            self._state[name] = self._state[name].copy()
        return self._state[name]

    def _rows(self, feeds: Sequence[int] | None) -> list[int] | None:
        if feeds is None:
            return None
        rows = list(feeds)
        if not rows or len(set(rows)) != len(rows) or not all(0 <= row < self.feeds for row in rows):
            raise UsageError(f"feeds are different numbers from 0 to {self.feeds - 1}, got {rows}.")
        return rows


def open_stream(
    path: str | Path, *, feeds: int = 1, runtime: str = AUTO, device: str = "auto", threads: int = 0
) -> Stream:
    """A stream from an artifact of the step form, or, in torch, from a run folder or its weights.

    Args:
        path: `best.step.onnx`, or a run whose model goes frame by frame.
        feeds: how many are watched.
        runtime: for artifacts, as in `marey.load`; "auto" is the fastest here that says what torch said.
        device: "auto", "cpu" or "cuda" ("mps" for weights).
        threads: that compute; 0: all cores of this process.

    Raises:
        CheckpointError: no such file, or none that marey wrote. ConfigError: a model or an artifact that takes whole
            clips, or a runtime that does not run this. MissingExtraError: no such package here.
    """
    file = find_weights(path)
    if file.suffix == SUFFIX:
        return _artifact_stream(file, feeds, runtime, device, threads)
    if runtime not in (AUTO, "torch"):
        raise ConfigError(
            f"the runtime {runtime!r} takes exported artifacts, and these are a run's weights.",
            "export them first: marey export RUN --step",
            where=str(file),
        )
    from marey.models.saved import load_model
    from marey.predict.device import choose_device
    from marey.predict.steps import TorchSteps
    from marey.video.sampling import rate_of

    place = choose_device(device)
    saved = load_model(file, place)
    return Stream(
        TorchSteps(saved.model, device=place), saved.spec, saved.class_names, feeds=feeds,
        multi_label=saved.multi_label, temperature=float(saved.extra.get("temperature", 1.0)),
        fps=rate_of(saved.spec.sampler),
    )  # fmt: skip


def _artifact_stream(file: Path, feeds: int, runtime: str, device: str, threads: int) -> Stream:
    from marey.predict.artifact import read_artifact
    from marey.predict.runtimes.choose import choose
    from marey.predict.runtimes.table import make_steps
    from marey.work import cores

    artifact = read_artifact(file)
    about = artifact.about
    if about.form == "step" and runtime == AUTO:
        runtime = choose(artifact, threads=threads, device=device)[1].runtime
    steps = make_steps(artifact, runtime, threads=threads or cores())
    return Stream(
        steps, about.spec, about.class_names, feeds=feeds, multi_label=about.multi_label,
        temperature=about.temperature, fps=about.fps,
    )  # fmt: skip
