"""Moving pixels: the crop scaled to size, flips and warps, for one clip or many at once, on any device.

One clip on a CPU is scaled by torchvision's integer kernel, the fastest there is. Many clips, whose crops differ in
size, are scaled by two matrix products that repeat that kernel's arithmetic: whole numbers small enough for float32
to add them up exactly in any order, so that the levels come out the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional as F

from marey.data.automatic import source_of
from marey.data.draws import ClipDraw


def cut_box(frames_TCHW: Tensor, draw: ClipDraw) -> Tensor:
    """What the draw cuts from the frames: a view."""
    top, left, height, width = draw.box
    return frames_TCHW[..., top : top + height, left : left + width]


def move_clip(
    box_TCHW: Tensor,
    draw: ClipDraw,
    size: tuple[int, int],
    fill: Sequence[float],
    place: Tensor | None = None,
) -> Tensor:
    """One clip on its own, after `cut_box`: scaled to `size`, flipped, warped.

    Args:
        box_TCHW: uint8.
        size: height and width of the result.
        fill: level of each channel for what a warp brings in from outside.
        place: `(T or more, C, *size)` on the CPU, to lay the result in where that spares a copy.
    """
    box = np.ascontiguousarray(box_TCHW.permute(0, 2, 3, 1).numpy())  # channels last, as the kernel likes it
    moved = torch.from_numpy(box).permute(0, 3, 1, 2)
    if tuple(moved.shape[-2:]) != size:
        moved = interpolate(moved, size, mode="bilinear", antialias=True)
    planes = _planes(moved, mirrored=draw.mirrored, upside_down=draw.upside_down, place=place)
    return warp_clips([planes], [draw], fill)[0] if draw.warps else planes


def _planes(moved_TCHW: Tensor, *, mirrored: bool, upside_down: bool, place: Tensor | None) -> Tensor:
    """Flipped, and channel by channel in memory: OpenCV does in vector instructions what torch does byte by byte."""
    frames = moved_TCHW.permute(0, 2, 3, 1).numpy()
    if frames.shape[-1] != 3 or not frames.flags.c_contiguous:
        across = [axis for axis, flipped in ((-1, mirrored), (-2, upside_down)) if flipped]
        return (moved_TCHW.flip(across) if across else moved_TCHW).contiguous()
    shape = len(frames), 3, *frames.shape[1:3]
    out = np.empty(shape, np.uint8) if place is None else place[: len(frames)].numpy()
    assert out.shape == shape, (out.shape, shape)
    for frame, planes in zip(frames, out, strict=True):
        cv2.split(frame, list(planes))
    if mirrored and out.size:
        pile = out.reshape(-1, out.shape[-1])
        cv2.flip(pile, 1, pile)
    planar = torch.from_numpy(out)
    return planar.flip(-2) if upside_down else planar


def move_batch(
    boxes_BTCHW: Tensor, draws: Sequence[ClipDraw], size: tuple[int, int], fill: Sequence[float]
) -> Tensor:
    """`move_clip` for many clips at once: uint8 boxes, each in the upper left corner of its place and of the size that
    its draw says, to uint8 `(B, T, C, *size)`."""
    device = boxes_BTCHW.device
    batch, frames, channels, height, width = boxes_BTCHW.shape
    down = torch.zeros(batch, size[0], height)
    across = torch.zeros(batch, size[1], width)
    for b, draw in enumerate(draws):
        rows = torch.from_numpy(resize_weights(draw.box[2], size[0]))
        columns = torch.from_numpy(resize_weights(draw.box[3], size[1]))
        down[b, :, : draw.box[2]] = rows.flip(0) if draw.upside_down else rows
        across[b, :, : draw.box[3]] = columns.flip(0) if draw.mirrored else columns
    x = boxes_BTCHW.to(torch.float32).reshape(batch, -1, width)
    with _exact_products():
        x = _levels(x @ across.to(device).mT)  # across first, rounded, then down: as the kernel does
        x = x.view(batch, -1, height, size[1])
        x = _levels(down.to(device)[:, None] @ x)
    moved = x.to(torch.uint8).view(batch, frames, channels, *size)
    return torch.stack(warp_clips(list(moved), draws, fill))


def move_flow(box_TCHW: Tensor, draw: ClipDraw, size: tuple[int, int]) -> Tensor:
    """The motion of a clip that `move_clip` moves: vectors grow with the scaling, turn round with a flip and turn with
    a warp; what a warp brings in from outside stands still, and the bound stays where it is.

    Args:
        box_TCHW: float32 `(T, 2, h, w)`, the flow inside the box, −1…1 for the bound.
        size: height and width of the result.

    Returns:
        float32 `(T, 2, *size)`, −1…1.
    """
    height, width = box_TCHW.shape[-2:]
    if not len(box_TCHW):
        return box_TCHW.new_zeros(0, 2, *size)
    moved = box_TCHW if (height, width) == size else F.resize(box_TCHW, list(size), antialias=True)
    across = [axis for axis, flipped in ((-1, draw.mirrored), (-2, draw.upside_down)) if flipped]
    moved = moved.flip(across) if across else moved
    turn = np.diag([size[1] / width * (1 - 2 * draw.mirrored), size[0] / height * (1 - 2 * draw.upside_down)])
    if draw.warps:
        source = source_of(
            draw.warps, *size
        )  # from the result's pixels to the picture's, so vectors go the other way
        turn = np.linalg.inv(source[:, :2]) @ turn
        grid = torch.nn.functional.affine_grid(
            torch.from_numpy(_unit(source, *size)[None]).to(moved), [1, 1, *size], align_corners=False
        )
        flat = moved.reshape(1, -1, *size)
        moved = torch.nn.functional.grid_sample(flat, grid, align_corners=False).view(moved.shape)
    vectors = torch.from_numpy(turn).to(moved)
    return torch.einsum("ij,tjhw->tihw", vectors, moved).clamp_(-1, 1).contiguous()


def warp_clips(clips: Sequence[Tensor], draws: Sequence[ClipDraw], fill: Sequence[float]) -> list[Tensor]:
    """Shears, shifts and turns: one matrix and one bilinear resampling a clip, the same for all of its frames.

    Args:
        clips: uint8 `(T, C, H, W)` each; those of one length are done together.
    """
    clips = list(clips)
    lengths = {len(clips[n]) for n, draw in enumerate(draws) if draw.warps}
    for length in sorted(lengths):
        chosen = [n for n, draw in enumerate(draws) if draw.warps and len(clips[n]) == length]
        stack = torch.stack([clips[n] for n in chosen]).to(torch.float32)
        batch, frames, channels, height, width = stack.shape
        level = torch.tensor(fill, dtype=torch.float32, device=stack.device).view(-1, 1, 1)
        maps = np.stack([_unit(source_of(draws[n].warps, height, width), height, width) for n in chosen])
        grid = torch.nn.functional.affine_grid(
            torch.from_numpy(maps).to(stack), [batch, 1, height, width], align_corners=False
        )
        # outside is 0; seen from the fill's level, that is the fill. The frames of a clip are channels of one picture
        flat = (stack - level).reshape(batch, frames * channels, height, width)
        moved = torch.nn.functional.grid_sample(flat, grid, align_corners=False).view(stack.shape) + level
        for number, clip in zip(chosen, moved.round_().clamp_(0, 255).to(torch.uint8), strict=True):
            clips[number] = clip
    return clips


def resize_weights(length: int, size: int) -> NDArray[np.float32]:
    """How much each of `length` pixels counts for each of `size`: float32 `(size, length)`, rows add up to 1.

    Bilinear with antialiasing: a triangle as wide as the step where the picture shrinks. The weights are multiples
    of 2^−p with the p that the kernel chooses for 16-bit weights; with p ≤ 16, to which shrinking by four never comes,
    levels times weights add up in float32 without rounding."""
    step = length / size
    reach = max(step, 1.0)
    middle = step * (np.arange(size) + 0.5)
    first = np.maximum((middle - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((middle + reach + 0.5).astype(np.int64), length)
    place = np.arange(length)
    weights = np.maximum(1 - np.abs((place[None] - middle[:, None] + 0.5) / reach), 0)
    weights[(place < first[:, None]) | (place >= last[:, None])] = 0
    weights /= weights.sum(1, keepdims=True)
    precision = 0
    while precision < 22 and int(0.5 + weights.max() * 2 ** (precision + 1)) < 2**15:
        precision += 1
    return np.asarray(np.floor(0.5 + weights * 2**precision) / 2**precision, dtype=np.float32)


def _unit(source: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """The same map where the picture reaches from −1 to 1 in both directions."""
    scale = np.array([width / 2, height / 2])
    turned = source[:, :2] * scale[None] / scale[:, None]
    return np.concatenate([turned, (source[:, 2] / scale)[:, None]], axis=1)


def _levels(x: Tensor) -> Tensor:
    return torch.floor(x + 0.5).clamp_(0, 255)


@contextmanager
def _exact_products() -> Iterator[None]:
    """Float32 products with all their bits: TF32 keeps eleven of them."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
