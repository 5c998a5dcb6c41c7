"""Frame by frame: what a model has that can go on from a state instead of looking at a clip anew.

    logits, state = model.step(frame, state)

After t steps the logits are those that `forward` gives for a clip of the same t frames. This is the whole
contract, and it holds for every t. A model that pools over the clip keeps the pool so far in its state; one that
looks ahead in time computes again, with every step, the few last positions whose future was missing.

A state is a dictionary of float32 tensors with the batch in front. **Zeros begin a clip**, for each row of the
batch by itself: setting a row to zero starts that feed anew, whatever the others are at.

Shape suffixes: B feeds, C channels, H × W pixels, D features, K classes.
"""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor

from marey.errors import ConfigError
from marey.models.base import VideoModel
from marey.spec import InputSpec

State = dict[str, Tensor]
STEPPING = ("cnn_gru", "frame_average", "frame_difference")
"""The models that can."""


class SteppingModel(Protocol):
    """What a model that goes frame by frame has beside all that a `VideoModel` has."""

    name: str
    spec: InputSpec

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state without the batch, by name; `frames`, how many have been seen, is among them.

        Raises:
            ConfigError: this one was built so that it must see the end of a clip first.
        """
        ...

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One frame further: logits `(B, K)` for all frames so far, and the new state.

        Args:
            frame: `(B, 3, H, W)`, uint8 or normalised floating point.
            state: what the last step gave; None begins a clip.
        """
        ...


def stepping(model: VideoModel) -> SteppingModel:
    """The model, if it can go frame by frame.

    Raises:
        ConfigError: it cannot; names those that can.
    """
    if not hasattr(model, "state_shapes"):
        raise ConfigError(
            f"{model.name} looks at a clip as a whole and cannot go frame by frame.",
            f"models that can: {', '.join(STEPPING)}",
        )
    found = cast(SteppingModel, model)
    found.state_shapes()
    return found


def initial_state(model: SteppingModel, frame: Tensor) -> State:
    """The state before the first of `frame`'s feeds `(B, …)`: zeros, where and of the precision that it computes in."""
    dtype = frame.dtype if frame.is_floating_point() else torch.float32
    return {
        name: torch.zeros(frame.shape[0], *shape, dtype=dtype, device=frame.device)
        for name, shape in model.state_shapes().items()
    }


def running_mean(mean_BD: Tensor, x_BD: Tensor, frames_B: Tensor) -> Tensor:
    """The mean of `frames_B` vectors, from the mean of all but the last and the last."""
    return mean_BD + (x_BD - mean_BD) / frames_B[:, None]
