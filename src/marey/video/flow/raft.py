"""RAFT from torchvision: learned flow, for where there is a GPU. torch is imported here and nowhere else.

The networks take frames of at least 128 pixels a side in multiples of 8; smaller or odd frames are padded by
their edge and the flow is cut back. They are Teed and Deng's (arXiv 2003.12039), with torchvision's weights.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray

from marey.errors import CheckpointError
from marey.types import UInt8Array

_SMALLEST = 128  # the coarsest of four correlation levels at 1/8 resolution must keep 2 cells a side
_PIXELS = 2_000_000  # a batch of pairs holds about this many: 1.5 GB for raft-large at most


def raft_fields(
    frames: UInt8Array,
    pairs: NDArray[np.intp],
    method: str,
    *,
    weights: str | Path | None = None,
    device: str | None = None,
) -> NDArray[np.float32]:
    """Flow from frame i to frame i+1 for every i in `pairs`: float32 `(len(pairs), 2, H, W)` in pixels.

    Args:
        frames: uint8 `(T, H, W, 3 or 1)`.
        method: "raft-small" or "raft-large".
        weights, device: as in `compute_flow`.
    """
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    network = load_raft(method, None if weights is None else str(weights), device)
    height, width = frames.shape[1:3]
    more_y = max(_SMALLEST, -(-height // 8) * 8) - height
    more_x = max(_SMALLEST, -(-width // 8) * 8) - width
    batch = max(1, _PIXELS // ((height + more_y) * (width + more_x)))
    fields = np.empty((len(pairs), 2, height, width), dtype=np.float32)
    for begin in range(0, len(pairs), batch):
        some = pairs[begin : begin + batch]
        images = []
        for index in (some, some + 1):
            x_BCHW = torch.from_numpy(frames[index]).to(device).permute(0, 3, 1, 2)
            x_BCHW = x_BCHW.expand(-1, 3, -1, -1).float() / 127.5 - 1  # as torchvision's OpticalFlow preset
            images.append(torch.nn.functional.pad(x_BCHW, (0, more_x, 0, more_y), mode="replicate"))
        with torch.inference_mode():
            flow_B2HW = network(*images)[-1][:, :, :height, :width]
        fields[begin : begin + len(some)] = flow_B2HW.cpu().numpy()
    return fields


@functools.lru_cache(maxsize=2)
def load_raft(method: str, weights: str | None, device: str) -> Any:
    """The network in eval mode on `device`.

    Raises:
        CheckpointError: the file is not there or does not fit, or the download failed.
    """
    from torchvision.models import optical_flow

    size = method.removeprefix("raft-")
    table = {"small": optical_flow.Raft_Small_Weights, "large": optical_flow.Raft_Large_Weights}[size]
    network = {"small": optical_flow.raft_small, "large": optical_flow.raft_large}[size](weights=None)
    state = _published(table.DEFAULT, method) if weights is None else _from_file(Path(weights))
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"these weights are not those of {method}: {str(error).splitlines()[0]}",
            f"they must be a state dictionary of torchvision's raft_{size}.",
            where=weights,
        ) from error
    return network.eval().requires_grad_(False).to(device)


def _published(entry: Any, method: str) -> Any:
    """torchvision's weights; it says what it downloads and where to, and checks the hash in the name."""
    try:
        return entry.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights of {method} are not here and cannot be downloaded ({error}).",
            f"on a machine with a connection fetch {entry.url}",
            "and give the file: weights=PATH (marey flow --weights PATH).",
        ) from error


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError("there is no such file of weights.", where=str(path))
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        import torch

        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every reader has its own tree; what is wrong with the file is what counts
        raise CheckpointError(
            f"the weights cannot be read ({type(error).__name__}: {str(error).splitlines()[0]}).",
            "they must be plain tensors: .safetensors, or .pth that loads with weights_only=True.",
            where=str(path),
        ) from error
