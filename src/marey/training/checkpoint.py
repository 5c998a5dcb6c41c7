"""The state of a training on disk, so that a killed run goes on bit-equal.

One file, `weights/state.pt`, holds everything that the next step depends on: weights, optimizer, moving
average, every generator, the place in the epoch, the sums so far. It is written beside, flushed and renamed:
a kill at any instant leaves the previous state or the new one. It is read with `weights_only=True`.
"""

from __future__ import annotations

import io
import pickle
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from marey.errors import CheckpointError
from marey.files import write_atomically

FORMAT = 1


@dataclass
class Progress:
    """Where a training stands: plain numbers and lists alone, as `weights_only` reading demands.

    Attributes:
        epoch: the epoch in progress, from 0.
        batch: batches of it that are done.
        step: optimizer steps done in all.
        sums: running sums of the epoch (loss, hits, clips, seconds).
        rows: the finished epochs' rows of results.csv.
        best: best validation score so far, and its epoch (−1: none).
        failures: samples that could not be read.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: float = -1.0
    best_epoch: int = -1
    failures: list[dict[str, Any]] = field(default_factory=list)


def save_state(path: Path, modules: dict[str, Any], progress: Progress) -> None:
    """Write the state of `modules` (things with `state_dict`), all generators and `progress`, or nothing."""
    content = {
        "format": FORMAT,
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "generators": _generators(),
        "progress": dict(vars(progress)),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def load_state(path: Path, modules: dict[str, Any], device: str) -> Progress:
    """Put everything back; gives where to go on.

    Raises:
        CheckpointError: no state there, one that cannot be read, or one of another training.
    """
    if not path.is_file():
        raise CheckpointError(
            "there is no state to resume from.", "the run may never have got that far.", where=str(path)
        )
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"the state cannot be read: {str(error).splitlines()[0]}", where=str(path)
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError("this is not a training state of this version.", where=str(path))
    if set(content["modules"]) != set(modules):
        raise CheckpointError(
            f"the state holds {', '.join(sorted(content['modules']))}; "
            f"this training needs {', '.join(sorted(modules))}.",
            "resume with the settings that the run was started with.",
            where=str(path),
        )
    try:
        for name, module in modules.items():
            module.load_state_dict(content["modules"][name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"the state is of another model: {str(error).splitlines()[0]}", where=str(path)
        ) from error
    _set_generators(content["generators"])
    return Progress(**content["progress"])


def _generators() -> dict[str, Any]:
    """The state of every global generator, as tensors, numbers and strings."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(np.array(keys, dtype=np.int64)), position, has_gauss, gauss],
        "python": [version, list(internal), gauss_next],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _set_generators(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
