"""Named tensors and what they say of themselves, in one safetensors file. Nothing unpickles.

Writing goes to a neighbour file first, is forced to the disk and then renamed, so that a kill or a power cut
leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marey.errors import CheckpointError
from marey.files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor, nn

_KEY = "marey"


def write_tensors(path: str | Path, state: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write a state dict and its description, whole or not at all.

    Raises:
        CheckpointError: `about` is no JSON.
    """
    from safetensors.torch import save

    try:
        text = json.dumps(about, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the metadata cannot be written as JSON: {error}.", where=str(path)) from error
    tensors = {k: v.detach().cpu().contiguous() for k, v in state.items()}
    write_atomically(Path(path), save(tensors, metadata={"format": "pt", _KEY: text}))


def read_tensors(path: str | Path, *, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict (empty without `tensors`) and the description.

    Raises:
        CheckpointError: no such file, not safetensors, damaged, or not written by marey.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        what = "this is a folder, not a file." if path.is_dir() else "there is no such file."
        raise CheckpointError(what, "give the path of a run's weights/best.safetensors", where=str(path))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()} if tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"this is not a whole safetensors file: {error}.",
            "it is damaged, cut short, or of another kind; nothing else is opened, since it could run code",
            where=str(path),
        ) from error
    if _KEY not in metadata:
        raise CheckpointError(
            "these weights were not saved by marey: nothing in them says which model they are.",
            "start a model from them with create_model(name, num_classes=…, pretrained=path)",
            where=str(path),
        )
    try:
        about = json.loads(metadata[_KEY])
        if not isinstance(about, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise CheckpointError(f"the metadata is damaged: {error}.", where=str(path)) from error
    return state, about


def fill(module: nn.Module, state: dict[str, Tensor], *, name: str, path: str | Path) -> None:
    """Load a state dict that must fit exactly.

    Raises:
        CheckpointError: tensors missing, unexpected, or of another shape; counts them and names one of each.
    """
    own = module.state_dict()
    wrong = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if wrong or missing or unexpected:
        found = (("missing", missing), ("unexpected", unexpected), ("shape", wrong))
        raise CheckpointError(
            f"its weights do not fit {name}: {len(missing)} missing, {len(unexpected)} unexpected, "
            f"{len(wrong)} of another shape.",
            *(f"for instance {kind}: {keys[0]}" for kind, keys in found if keys),
            where=str(path),
        )
    module.load_state_dict(state)
