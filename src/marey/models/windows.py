"""A network's features in windows: every `stride` frames one vector of what it sees in `window` frames.

Windows begin at frame 0, stride, 2·stride, … and cover the whole clip: the last one is filled up with padding
where the frames end before it does. An image network has windows of one frame.

Shape suffixes: B clips, T frames, W windows, t frames of a window, N real windows of all clips, C channels, D features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from marey.errors import ConfigError
from marey.models.base import VideoModel
from marey.models.masked import Mask, is_tracing, larger, lengths, masked_mean, prefix_mask

FRAMES_AT_ONCE = 64  # a long clip's windows go through the network in parts: memory stays flat


def count_windows(frames: int, window: int, stride: int) -> int:
    """Windows that cover so many frames."""
    return (larger(frames - window, 0) + stride - 1) // stride + 1


def check_windows(network: VideoModel, window: int, stride: int) -> None:
    """Refuse windows that the network cannot take, or that would leave frames unseen.

    Raises:
        ConfigError: names the numbers and the network.
    """
    if not 1 <= stride <= window:
        raise ConfigError(
            f"windows of {window} frames every {stride} frames cannot be.",
            "the stride is at least 1 frame and at most the window: frames between would not be seen",
        )
    spec = network.spec
    if window == 1 and spec.modalities != ("rgb",):
        raise ConfigError(f"{network.name} sees motion between frames; give windows of 2 frames or more.")
    if spec.fixed_frames and window > spec.frames:
        raise ConfigError(f"{network.name} takes {spec.frames} frames, not windows of {window}.")


def window_vectors(network: VideoModel, inputs: dict[str, Tensor], mask_Nt: Tensor | None) -> Tensor:
    """`(N, D)`: the mean over time of the network's features of each of N clips."""
    x_NtD, kept_Nt = network.features_and_mask(**inputs, mask=mask_Nt)
    return masked_mean(x_NtD, None if mask_Nt is None else kept_Nt)


def windowed_features(
    network: VideoModel, inputs: dict[str, Tensor], mask_BT: Mask, *, window: int, stride: int
) -> tuple[Tensor, Mask]:
    """Features `(B, W, D)` of a network that looks through windows, zero where a window is padding, and their mask.

    Args:
        network: its `features` are averaged over the time of each window.
        inputs: by modality, `(B, T, C, H, W)`; flow and differences lie between frames: one fewer.
        mask_BT: real frames, or None.
        window, stride: frames.
    """
    lead = next(iter(inputs.values()))
    batch = lead.shape[0]
    frames = lead.shape[1] + (0 if "rgb" in inputs else 1)
    windows = count_windows(frames, window, stride)
    needed = (windows - 1) * stride + window
    if mask_BT is None and needed > frames and not lead.is_meta:  # what is only counted needs no mask
        mask_BT = torch.ones(batch, frames, dtype=torch.bool, device=lead.device)
    parts: dict[str, Tensor] = {}
    for name, x_BTCHW in inputs.items():
        length = window if name == "rgb" else window - 1
        short = (windows - 1) * stride + length - x_BTCHW.shape[1]
        x_BTCHW = F.pad(x_BTCHW, (0, 0, 0, 0, 0, 0, 0, larger(short, 0)))
        parts[name] = x_BTCHW.unfold(1, length, stride)[:, :windows].movedim(-1, 2)
    mask_BWt = mask_BW = None
    if mask_BT is not None:
        mask_BWt = F.pad(mask_BT, (0, needed - frames)).unfold(1, window, stride)
        over_B = (lengths(mask_BT) - window).clamp(min=0)
        mask_BW = prefix_mask(torch.div(over_B + stride - 1, stride, rounding_mode="floor") + 1, windows)
    if mask_BWt is None or mask_BW is None or is_tracing():
        chosen = {name: x.flatten(0, 1) for name, x in parts.items()}
        mask_Nt = None if mask_BWt is None else mask_BWt.flatten(0, 1)
    else:  # windows that are padding alone are not run at all
        chosen = {name: x[mask_BW] for name, x in parts.items()}
        mask_Nt = mask_BWt[mask_BW]
    y_ND = _in_parts(network, chosen, mask_Nt, at_once=max(1, FRAMES_AT_ONCE // window))
    if mask_BW is None:
        return y_ND.unflatten(0, (batch, windows)), None
    if is_tracing():
        y_BWD = y_ND.unflatten(0, (batch, windows))
        return y_BWD.masked_fill(~mask_BW[..., None], 0.0), mask_BW
    y_BWD = torch.zeros(batch, windows, y_ND.shape[1], dtype=y_ND.dtype, device=y_ND.device)
    return y_BWD.index_put((mask_BW,), y_ND), mask_BW


def _in_parts(
    network: VideoModel, inputs: dict[str, Tensor], mask_Nt: Tensor | None, *, at_once: int
) -> Tensor:
    count = next(iter(inputs.values())).shape[0]
    if is_tracing() or count <= at_once:
        return window_vectors(network, inputs, mask_Nt)
    found = []
    for first in range(0, count, at_once):
        part = slice(first, first + at_once)
        mask = None if mask_Nt is None else mask_Nt[part]
        found.append(window_vectors(network, {name: x[part] for name, x in inputs.items()}, mask))
    return torch.cat(found)
