"""Layers over time that keep padding out: `(B, C, T)` in and out, zeros where a position is padding.

Shape suffixes: B windows, T positions, C channels, H heads, D features of a head, Q queries of a chunk.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from marey.models.masked import Mask, zero_padding


class Conv(nn.Module):
    """Convolution over time whose padding positions are zero before and after.

    Args:
        inputs, outputs: channels.
        kernel: odd. stride, dilation, groups, bias: as in `nn.Conv1d`.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1, groups: int = 1,
        bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stride = stride
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, padding, dilation, groups, bias)

    def forward(self, x_BCT: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:
        x_BCT = self.conv(zero_padding(x_BCT, mask_BT, dim=2))
        mask_BT = halved(mask_BT, self.stride)
        return zero_padding(x_BCT, mask_BT, dim=2), mask_BT


def halved(mask_BT: Mask, stride: int) -> Mask:
    """The mask at every `stride`-th position: a clip of L has ceil(L ÷ stride) of them."""
    return mask_BT if mask_BT is None or stride == 1 else mask_BT[:, ::stride]


class ChannelNorm(nn.Module):
    """Layer norm over the channels of `(B, C, T)`: no position sees another."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x_BCT: Tensor) -> Tensor:
        return self.norm(x_BCT.transpose(1, 2)).transpose(1, 2)


class ScaledDropPath(nn.Module):
    """A residual branch: a learned scale a channel, small at first, and whole samples dropped in training."""

    def __init__(self, channels: int, drop: float, first: float = 1e-4) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels, 1), first))
        self.drop = drop

    def forward(self, x_BCT: Tensor) -> Tensor:
        x_BCT = self.scale * x_BCT
        if not self.training or not self.drop:
            return x_BCT
        kept = torch.rand(len(x_BCT), 1, 1, device=x_BCT.device) >= self.drop
        return x_BCT * kept / (1 - self.drop)


class LocalAttention(nn.Module):
    """Self-attention in which a position sees `window` neighbours around itself, whatever the length.

    Queries, keys and values pass a depthwise convolution first, which also strides (Fan et al.,
    https://arxiv.org/abs/2104.11227, as used in ActionFormer). The sequence is cut into chunks of queries; a
    chunk sees its own positions and half a window on either side, so memory grows with T, not with T².

    Args:
        channels: C. heads: H.
        window: odd; 0 or less lets every position see every other.
        stride: of the output.
        dropout: of the attention's weights and of its output, in training.
    """

    def __init__(
        self, channels: int, heads: int, *, window: int, stride: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        assert window <= 0 or window % 2 == 1
        self.heads, self.window, self.dropout = heads, window, dropout
        self.mix = nn.ModuleList(
            Conv(channels, channels, 3, stride=stride, groups=channels, bias=False) for _ in "qkv"
        )
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in "qkv")
        self.project = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in "qkv")
        self.out = nn.Conv1d(channels, channels, 1)

    def forward(self, x_BCT: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:
        after: Mask = None
        parts = []
        for mix, norm, project in zip(self.mix, self.norms, self.project, strict=True):
            y, after = mix(x_BCT, mask_BT)
            parts.append(rearrange(project(norm(y)), "b (h d) t -> b h t d", h=self.heads))
        q, k, v = parts
        drop = self.dropout if self.training else 0.0
        if self.window <= 0:
            allowed = None if after is None else after[:, None, None, :]
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=drop)
        else:
            y = banded_attention(q, k, v, after, reach=self.window // 2, dropout=drop)
        y = F.dropout(self.out(rearrange(y, "b h t d -> b (h d) t")), self.dropout, self.training)
        return zero_padding(y, after, dim=2), after


def banded_attention(
    q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, mask_BT: Mask, *, reach: int, dropout: float = 0.0
) -> Tensor:
    """Attention of each position to those at most `reach` away: `(B, H, T, D)`."""
    batch, frames = q_BHTD.shape[0], q_BHTD.shape[2]
    chunk = max(2 * reach, 16)
    chunks = -(-frames // chunk)
    more = chunks * chunk - frames
    q = F.pad(q_BHTD, (0, 0, 0, more))
    q = rearrange(q, "b h (n q) d -> (b n) h q d", q=chunk)

    def around(x: Tensor) -> Tensor:
        """Each chunk's own positions and `reach` on both sides."""
        x = F.pad(x, (0, 0, reach, reach + more)).unfold(2, chunk + 2 * reach, chunk)
        return rearrange(x, "b h n d w -> (b n) h w d")

    here = torch.arange(chunk, device=q.device)
    there = torch.arange(chunk + 2 * reach, device=q.device) - reach
    near_QW = (here[:, None] - there[None]).abs() <= reach
    real_BT = mask_BT
    if real_BT is None:
        real_BT = torch.ones(batch, frames, dtype=torch.bool, device=q.device)
    real = F.pad(real_BT, (reach, reach + more)).unfold(1, chunk + 2 * reach, chunk)
    real = rearrange(real, "b n w -> (b n) 1 1 w")
    # A padded query has nothing to see; itself is allowed, so that its softmax is no 0 ÷ 0.
    allowed = (near_QW & real) | (here[:, None] == there[None])
    y = F.scaled_dot_product_attention(
        q, around(k_BHTD), around(v_BHTD), attn_mask=allowed, dropout_p=dropout
    )
    return rearrange(y, "(b n) h q d -> b h (n q) d", b=batch)[:, :, :frames]
