"""What the transformer families share: attention with a mask, positions in time by a clip's own length.

Shape suffixes: B sequences, N tokens, C channels, D features, H heads, T frames; B T H W D: clips, frames and
places of tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from marey.errors import ConfigError
from marey.models.masked import Mask, MaskedSequential, lengths, masked_batch_norm
from marey.models.r2plus1d import FactorisedBlock, initialise

NORMS = ("layer", "batch")


class Attention(nn.Module):
    """Multi-head self-attention `(B, N, D)`, named as in timm's vision transformers.

    Args:
        width: D.
        heads: H.
        qkv_bias: whether queries, keys and values have biases.
        dropout: of attention weights, in training.
    """

    def __init__(self, width: int, heads: int, qkv_bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BND: Tensor, keys_BN: Mask = None) -> Tensor:
        """`keys_BN` is True where a token may be looked at; at least one of each row must be."""
        q, k, v = rearrange(self.qkv(x_BND), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        allowed = None if keys_BN is None else keys_BN[:, None, None, :]
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=allowed, dropout_p=self.dropout if self.training else 0.0
        )
        return self.proj(rearrange(y, "b h n d -> b n (h d)"))


class Mlp(nn.Module):
    """Two linear layers with GELU between, named as in timm."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(x)))))


class ConvStem(nn.Module):
    """R(2+1)D's factorised blocks down to a patch's size: each halves the picture and looks one frame to either
    side, beside a shortcut.

    Args:
        width: D.
        patch: side of a patch in pixels, a power of two.
    """

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        if patch < 2 or patch & (patch - 1):
            raise ConfigError(
                f"a convolutional stem needs a patch that is a power of two, got {patch} pixels."
            )
        steps = patch.bit_length() - 1
        widths = [max(width >> (steps - 1 - step), 16) for step in range(steps - 1)] + [width]
        channels = zip((3, *widths), widths, strict=False)
        self.layers = MaskedSequential(*(FactorisedBlock(inputs, outputs) for inputs, outputs in channels))
        initialise(self.layers)

    def forward(self, x_BTCHW: Tensor, mask_BT: Mask) -> Tensor:
        x, _ = self.layers(rearrange(x_BTCHW, "b t c h w -> b c t h w"), mask_BT)
        return rearrange(x, "b d t h w -> b t h w d")


def make_norm(kind: str, width: int, eps: float = 1e-5) -> nn.Module:
    """A norm for tokens of D features, applied by `norm_tokens`.

    Args:
        kind: "layer", over each token's features, or "batch", over each feature of all tokens of all clips.
            What motion adds to a feature's mean over a clip is small beside what all clips have in common.
            Layer norm leaves that common part in, and a small network from scratch stays at chance for long;
            batch norm takes it away.
    """
    if kind not in NORMS:
        raise ConfigError(f"norm {kind!r} is not from {', '.join(NORMS)}.")
    return nn.LayerNorm(width, eps=eps) if kind == "layer" else nn.BatchNorm3d(width)


def norm_tokens(norm: nn.Module, x_BTHWD: Tensor, mask_BT: Mask) -> Tensor:
    """`norm` of `make_norm` over `(B, T, H, W, D)`; padded frames have no part in batch norm's statistics."""
    if not isinstance(norm, _BatchNorm):
        return norm(x_BTHWD)
    x = masked_batch_norm(norm, rearrange(x_BTHWD, "b t h w d -> b d t h w"), mask_BT)
    return rearrange(x, "b d t h w -> b t h w d")


def stretched_positions(table_FD: Tensor, frames: int, mask_BT: Mask) -> Tensor:
    """Embeddings of F positions in time for clips of other lengths: `(1 or B, frames, D)`.

    Frame t of a clip of L real frames takes entry `floor(t · F / L)`, which is nearest interpolation over
    the clip's own length, whatever it is padded to.
    """
    entries = table_FD.shape[0]
    position = torch.arange(frames, device=table_FD.device)[None]
    if mask_BT is None:
        return table_FD[position * entries // frames]
    index = torch.div(position * entries, lengths(mask_BT)[:, None], rounding_mode="floor")
    return table_FD[index.clamp(max=entries - 1)]


def initialise_transformer(model: nn.Module) -> None:
    """Truncated normal of 0.02 for linear layers, as vision transformers have it."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def resize_grid(table_ND: Tensor, size: tuple[int, int]) -> Tensor:
    """A square grid of position embeddings `(N, D)` to another grid, bicubically."""
    side = round(table_ND.shape[0] ** 0.5)
    if (side, side) == size:
        return table_ND
    grid = rearrange(table_ND.float(), "(h w) d -> 1 d h w", h=side)
    grid = F.interpolate(grid, size=size, mode="bicubic", antialias=True, align_corners=False)
    return rearrange(grid, "1 d h w -> (h w) d").to(table_ND.dtype)
