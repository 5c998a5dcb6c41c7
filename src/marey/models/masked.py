"""Masks over time: which of a batch's frames are real, and how every layer keeps padding out.

A mask is bool `(B, T)`, real frames first: `[True] * L + [False] * (T − L)` with `L ≥ 1`. Inside a model
`None` stands for "all real" and costs nothing.

The rule that makes padding invisible: before any layer that mixes frames, padded positions are set to
zero, which is what the layer itself puts beyond the end of an unpadded clip; after it, the mask shrinks
to the length that the unpadded clip would have had. Layers that mix no frames need nothing.

Batch norm in training takes its statistics over the real frames only. Padding is an accident of batching:
counting it would make a clip's normalisation depend on how long its neighbours in the batch happen to be,
and would pull the running statistics, and with them evaluation, towards the padding.

Shape suffixes: B clips, C channels, T frames, H × W pixels, D features, N frames of all clips that are real.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from marey.errors import UsageError

Mask = Tensor | None  # bool (B, T), real frames first; None: all real


def is_tracing() -> bool:
    """True while torch compiles or exports: then nothing may depend on the values in a tensor."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def larger(one: int, other: int) -> int:
    """`max` of two sizes, which leaves both free while a graph is traced; `max` itself would settle which."""
    return cast(int, torch.sym_max(one, other))


def smaller(one: int, other: int) -> int:
    """`min` of two sizes, likewise."""
    return cast(int, torch.sym_min(one, other))


def check_mask(mask_BT: Tensor, batch: int, frames: int) -> Mask:
    """Refuse a mask that is no mask; give `None` where every frame is real.

    Raises:
        UsageError: wrong type or shape, a clip without a real frame, or padding before a real frame.
    """
    if mask_BT.dtype != torch.bool:
        raise UsageError(
            f"the mask must be of type torch.bool, got {mask_BT.dtype}.",
            "True marks a real frame: mask.bool()",
        )
    if mask_BT.shape != (batch, frames):
        raise UsageError(
            f"the mask must have the shape (B, T) = ({batch}, {frames}), got {tuple(mask_BT.shape)}."
        )
    if is_tracing():
        return mask_BT
    every, first, ordered = torch.stack(
        [mask_BT.all(), mask_BT[:, 0].all(), (mask_BT[:, :-1] >= mask_BT[:, 1:]).all()]
    ).tolist()
    if every:
        return None
    if not first or not ordered:
        found = "a clip without a real first frame" if not first else "a real frame after padding"
        raise UsageError(
            f"the mask must have the real frames first and at least one of them; found {found}.",
            "put padding at the end of the clip: [True] * L + [False] * (T - L)",
        )
    return mask_BT


def lengths(mask_BT: Tensor) -> Tensor:
    """Real frames of each clip: int64 `(B,)`."""
    return mask_BT.sum(dim=1)


def prefix_mask(lengths_B: Tensor, frames: int) -> Tensor:
    """The mask `(B, frames)` of clips of the given lengths."""
    return torch.arange(frames, device=lengths_B.device)[None] < lengths_B[:, None]


def along(mask_BT: Tensor, x: Tensor, dim: int) -> Tensor:
    """The mask shaped to broadcast against `x`, whose dimension `dim` is time."""
    shape = [1] * x.ndim
    shape[0], shape[dim] = mask_BT.shape
    return mask_BT.view(shape)


def zero_padding(x: Tensor, mask_BT: Mask, dim: int = 1) -> Tensor:
    """`x` with zeros where a frame (dimension `dim`) is padding. NaN and infinity there vanish too."""
    if mask_BT is None:
        return x
    return x.masked_fill(~along(mask_BT, x, dim), 0.0)


def masked_mean(x: Tensor, mask_BT: Mask, dim: int = 1) -> Tensor:
    """Mean over the real frames: `(B, …, T, …)` to the same without `dim`."""
    if mask_BT is None:
        return x.mean(dim=dim)
    total = zero_padding(x, mask_BT, dim).sum(dim=dim)
    count = lengths(mask_BT).to(x.dtype)
    return total / count.view([-1] + [1] * (total.ndim - 1))


def masked_max(x: Tensor, mask_BT: Mask, dim: int = 1) -> Tensor:
    """Maximum over the real frames."""
    if mask_BT is None:
        return x.amax(dim=dim)
    return x.masked_fill(~along(mask_BT, x, dim), torch.finfo(x.dtype).min).amax(dim=dim)


def last_real(x_BTD: Tensor, mask_BT: Mask) -> Tensor:
    """Each clip's last real frame: `(B, T, D)` to `(B, D)`."""
    if mask_BT is None:
        return x_BTD[:, -1]
    index = (lengths(mask_BT) - 1)[:, None, None].expand(-1, 1, x_BTD.shape[2])
    return x_BTD.gather(1, index).squeeze(1)


def reverse_time(x_BTD: Tensor, mask_BT: Mask) -> Tensor:
    """Real frames in reverse order, padding left at the end: its own inverse."""
    if mask_BT is None:
        return x_BTD.flip(1)
    position = torch.arange(x_BTD.shape[1], device=x_BTD.device)[None]
    mirrored = lengths(mask_BT)[:, None] - 1 - position
    index = torch.where(mask_BT, mirrored, position)[:, :, None].expand(-1, -1, x_BTD.shape[2])
    return x_BTD.gather(1, index)


def strided_mask(
    mask_BT: Mask, frames: int, *, kernel: int, stride: int, padding: int, dilation: int = 1
) -> Mask:
    """The mask after a convolution or pool over time whose output has `frames` positions.

    A clip of L real frames has `floor((L + 2·padding − dilation·(kernel − 1) − 1) / stride) + 1` positions
    (the formula of `torch.nn.Conv1d`), and at least one.
    """
    if mask_BT is None:
        return None
    reach = 2 * padding - dilation * (kernel - 1) - 1
    after = torch.div(lengths(mask_BT) + reach, stride, rounding_mode="floor") + 1
    return prefix_mask(after.clamp(min=1), frames)


def masked_conv3d(conv: nn.Conv3d, x_BCTHW: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:
    """`conv` with padding frames as invisible as the convolution's own zeros, and the mask after it."""
    if mask_BT is None:
        return conv(x_BCTHW), None
    kernel, stride, dilation = conv.kernel_size[0], conv.stride[0], conv.dilation[0]
    padding = cast(tuple[int, ...], conv.padding)[0]
    if kernel > 1:
        x_BCTHW = zero_padding(x_BCTHW, mask_BT, dim=2)
    y = conv(x_BCTHW)
    if kernel == stride == 1:
        return y, mask_BT
    return y, strided_mask(
        mask_BT, y.shape[2], kernel=kernel, stride=stride, padding=padding, dilation=dilation
    )


def masked_batch_norm(norm: nn.Module, x_BCTHW: Tensor, mask_BT: Mask) -> Tensor:
    """`norm` over `(B, C, T, H, W)`; in training its statistics come from the real frames only.

    `norm` is an ordinary `BatchNorm3d` or `SyncBatchNorm`, so that conversion for several devices works.
    """
    if mask_BT is None or not norm.training:
        return norm(x_BCTHW)
    x_BTCHW = x_BCTHW.transpose(1, 2)
    real_NCHW = x_BTCHW[mask_BT]
    normal_NCHW = norm(real_NCHW.unsqueeze(2)).squeeze(2)
    y_BTCHW = torch.zeros_like(x_BTCHW, dtype=normal_NCHW.dtype)
    return y_BTCHW.index_put((mask_BT,), normal_NCHW).transpose(1, 2)


class MaskedModule(nn.Module):
    """A layer or block that takes and gives `(x, mask)`."""

    def forward(self, x: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
        raise NotImplementedError


def apply_masked(module: nn.Module, x_BCTHW: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:
    """Any layer over `(B, C, T, H, W)` with a mask: convolution, batch norm, or one that mixes no frames."""
    if isinstance(module, MaskedModule | MaskedSequential):
        return module(x_BCTHW, mask_BT)
    if isinstance(module, nn.Conv3d):
        return masked_conv3d(module, x_BCTHW, mask_BT)
    if isinstance(module, _BatchNorm):
        return masked_batch_norm(module, x_BCTHW, mask_BT), mask_BT
    if isinstance(module, nn.Sequential):
        for inner in module:
            x_BCTHW, mask_BT = apply_masked(inner, x_BCTHW, mask_BT)
        return x_BCTHW, mask_BT
    return module(x_BCTHW), mask_BT


class MaskedSequential(nn.Sequential):
    """`nn.Sequential` whose layers hand the mask on; the names in a state dict are those of the plain one."""

    def forward(self, x_BCTHW: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:  # type: ignore[override]
        for module in self:
            x_BCTHW, mask_BT = apply_masked(module, x_BCTHW, mask_BT)
        return x_BCTHW, mask_BT


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: how much to pad before and after, so that `ceil(size / stride)` positions result.

    Without a branch on the size where the kernel is no shorter than the stride, so that a graph of any length
    can be traced.
    """
    total = kernel - 1 - (size - 1) % stride
    if kernel < stride:
        total = max(total, 0)
    return total // 2, total - total // 2


def pad_time_same(x_BCTHW: Tensor, mask_BT: Mask, kernel: int, stride: int) -> tuple[Tensor, Mask]:
    """Zeros for TensorFlow's SAME padding over time, and the mask after the strided layer that follows.

    With a stride, how many zeros go before the clip depends on its own length, odd or even. So in a batch
    of different lengths every clip is shifted by its own amount.
    """
    frames = x_BCTHW.shape[2]
    if mask_BT is None:
        return F.pad(x_BCTHW, (0, 0, 0, 0, *same_padding(frames, kernel, stride))), None
    x_BCTHW = zero_padding(x_BCTHW, mask_BT, dim=2)
    length_B = lengths(mask_BT)
    after = (frames + stride - 1) // stride
    mask_after = prefix_mask(torch.div(length_B + stride - 1, stride, rounding_mode="floor"), after)
    most = (kernel - 1) // 2
    needed = (after - 1) * stride + kernel
    x_BCTHW = F.pad(x_BCTHW, (0, 0, 0, 0, most, needed - frames))
    if stride > 1:
        rest_B = length_B % stride
        front_B = (kernel - torch.where(rest_B == 0, stride, rest_B)).clamp(min=0) // 2
        index_BT = torch.arange(needed, device=x_BCTHW.device)[None] + (most - front_B)[:, None]
        index = index_BT[:, None, :, None, None].expand(-1, x_BCTHW.shape[1], -1, *x_BCTHW.shape[3:])
        x_BCTHW = x_BCTHW.gather(2, index)
    return x_BCTHW[:, :, :needed], mask_after
