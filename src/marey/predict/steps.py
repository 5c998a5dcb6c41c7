"""One frame and the state in, logits and the state after it out: what runs a model frame by frame.

The state is a dictionary of float32 arrays with the batch in front, and zeros begin a clip. Nothing is kept here:
who steps holds the state (`marey.predict.stream`, or `SteppedClips` for whole clips).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from marey.predict.about import AFTER, STATE
from marey.predict.artifact import Artifact
from marey.predict.runtime import Arrays

if TYPE_CHECKING:
    from marey.models.base import VideoModel

State = Mapping[str, NDArray[np.float32]]


class Steps(Protocol):
    """Runs a model on one frame of each of B feeds.

    Called with uint8 frames `(B, 3, H, W)` and the state; gives float32 logits `(B, K)` for all frames so far, and
    the state after these.
    """

    name: str
    shapes: dict[str, tuple[int, ...]]

    def __call__(self, frames: NDArray[np.uint8], state: State) -> tuple[NDArray[np.float32], State]: ...


def first_state(steps: Steps, batch: int) -> dict[str, NDArray[np.float32]]:
    """The state of feeds that have seen nothing."""
    return {name: np.zeros((batch, *shape), dtype=np.float32) for name, shape in steps.shapes.items()}


class ArtifactSteps:
    """An artifact of the step form, in a runtime that takes its inputs by name (`OnnxRuntime`, `OpenVino`)."""

    def __init__(self, artifact: Artifact, runtime: Any) -> None:
        self.name = runtime.name
        self.shapes = artifact.about.state
        self._run = runtime.run

    def __call__(self, frames: NDArray[np.uint8], state: State) -> tuple[NDArray[np.float32], State]:
        found = self._run({"frame": frames, **{STATE + name: state[name] for name in self.shapes}}, True)
        return found["logits"], {name: found[AFTER + name] for name in self.shapes}


class TorchSteps:
    """A model in eval mode on a device; the state comes back to the processor with every step.

    Raises:
        ConfigError: the model cannot go frame by frame.
    """

    def __init__(self, model: VideoModel, *, device: str = "cpu") -> None:
        from marey.models.stepping import stepping

        self.name = f"torch {device}"
        self.model = stepping(model.to(device).eval())
        self.shapes = self.model.state_shapes()
        self.device = device

    def __call__(self, frames: NDArray[np.uint8], state: State) -> tuple[NDArray[np.float32], State]:
        import torch

        with torch.inference_mode():
            given = {name: torch.from_numpy(x).to(self.device) for name, x in state.items()}
            logits, after = self.model.step(torch.from_numpy(frames).to(self.device), given)
            return logits.cpu().numpy(), {name: x.contiguous().cpu().numpy() for name, x in after.items()}


class SteppedClips:
    """Whole clips, stepped through from their first frame to their last: a `Runtime`.

    A clip's answer is that after its last real frame.
    """

    def __init__(self, steps: Steps) -> None:
        self.name = f"{steps.name}, step by step"
        self.steps = steps

    def __call__(self, inputs: Arrays, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        lengths = mask.sum(axis=1)
        state: State = first_state(self.steps, len(mask))
        answers: list[NDArray[np.float32]] = []
        for t in range(int(lengths.max())):
            logits, state = self.steps(np.ascontiguousarray(inputs["rgb"][:, t]), state)
            answers.append(logits)
        return np.stack([answers[length - 1][row] for row, length in enumerate(lengths)])
