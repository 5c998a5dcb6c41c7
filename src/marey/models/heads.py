"""Small networks on features over time: what is trained where a large network has been run once and for all.

    features ─ (changes over time) ─ standardise ─ head ─ (largest over places) ─ linear ─ logits

    linear          mean over time
    gru             linear, norm ─ GRU ─ mean over time
    attention       linear, norm ─ positions ─ self-attention block ─ attention pooling
    temporal-conv   linear, norm ─ residual convolutions over time ─ mean over time

Attention pooling is a learned weight a position (Ilse et al., https://arxiv.org/abs/1802.04712). None of them sees
padding: it is zero before every layer that mixes positions.

Shape suffixes: B clips, T positions in time, D features, S places in the picture, H hidden width, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from einops import rearrange
from torch import Tensor, nn

from marey.errors import ConfigError, UnknownNameError
from marey.models.attention import Attention, Mlp
from marey.models.masked import Mask, masked_mean, zero_padding

HEADS = ("linear", "gru", "attention", "temporal-conv")
INPUTS = ("features", "changes", "both")


class Head(nn.Module):
    """Features over time `(B, T, D)` to logits `(B, K)`.

    Args:
        features: D.
        num_classes: K.
        kind: from `HEADS`.
        inputs: the `features`, their `changes` |x_t − x_{t−1}|, or `both`.
        places: S, where D holds a vector for each of S places in the picture, as `(D/S, S)` flattened. The head
            goes over each place by itself, and of what it finds the largest over the places counts: something
            small that moves is then not averaged away by all that stands still.
        hidden: H.
        dropout: share of numbers dropped before the last layer, in training.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        features: int,
        num_classes: int,
        *,
        kind: str = "gru",
        inputs: str = "features",
        places: int = 1,
        hidden: int = 128,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if kind not in HEADS:
            raise UnknownNameError("head", kind, HEADS)
        if inputs not in INPUTS:
            raise UnknownNameError("input of a head", inputs, INPUTS)
        if features % places:
            raise ConfigError(f"{features} features cannot be those of {places} places.")
        self.inputs, self.places = inputs, places
        width = features // places * (2 if inputs == "both" else 1)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))
        self.body: nn.Module | None = None
        if kind != "linear":
            self.embed = nn.Sequential(nn.Linear(width, hidden), nn.LayerNorm(hidden))
            self.body = {"gru": Gru, "attention": AttentionPool, "temporal-conv": TemporalConv}[kind](hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width if self.body is None else hidden, num_classes)

    def forward(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        return self.out(self.dropout(self.pooled(x_BTD, mask_BT)))

    def pooled(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        """One vector a clip: what the last layer sees."""
        x_BTSD = (self.prepare(x_BTD, mask_BT) - self.mean) / self.std
        batch, places = x_BTSD.shape[0], x_BTSD.shape[2]
        x_NTD = rearrange(x_BTSD, "b t s d -> (b s) t d")
        mask_NT = mask_BT if mask_BT is None or places == 1 else mask_BT.repeat_interleave(places, dim=0)
        if self.body is None:
            x_ND = masked_mean(x_NTD, mask_NT)
        else:
            x_ND = self.body(zero_padding(self.embed(x_NTD), mask_NT), mask_NT)
        return x_ND.unflatten(0, (batch, places)).amax(1)

    def prepare(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        """`(B, T, S, D)`: what the head looks at, before it is standardised; at the first position nothing has
        changed yet."""
        x_BTSD = rearrange(zero_padding(x_BTD, mask_BT), "b t (d s) -> b t s d", s=self.places)
        if self.inputs == "features":
            return x_BTSD
        steps = (x_BTSD[:, 1:] - x_BTSD[:, :-1]).abs()
        moved_BTSD = zero_padding(torch.cat([torch.zeros_like(x_BTSD[:, :1]), steps], dim=1), mask_BT)
        return moved_BTSD if self.inputs == "changes" else torch.cat([x_BTSD, moved_BTSD], dim=3)

    @torch.no_grad()
    def standardise_by(self, samples: Iterable[Tensor]) -> None:
        """Take mean and standard deviation of every input from samples `(T, D)`: those that are learnt from."""
        total = squares = torch.zeros(len(self.mean), dtype=torch.float64)
        count = 0
        for x_TD in samples:
            x = self.prepare(x_TD[None].float(), None)[0].flatten(0, 1).double()
            total, squares, count = total + x.sum(0), squares + x.square().sum(0), count + len(x)
        mean = total / max(count, 1)
        variance = (squares / max(count, 1) - mean.square()).clamp(min=0)
        self.mean.copy_(mean)
        # an input that never varies says nothing; it must not be blown up where it does for once
        self.std.copy_(torch.where(variance > 1e-12, variance.sqrt(), torch.ones_like(variance)))


class Gru(nn.Module):
    """Mean over time of a GRU's outputs; it runs forward, so padding behind the clip never reaches them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, x_BTH: Tensor, mask_BT: Mask) -> Tensor:
        return masked_mean(self.gru(x_BTH)[0], mask_BT)


class AttentionPool(nn.Module):
    """A self-attention block over positions that know their place in time, then a learned weight for each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % 8:
            raise ConfigError(f"a head of attention needs a hidden width that 8 divides; got {width}.")
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attention = Attention(width, heads=max(1, width // 32))
        self.mlp = Mlp(width, 2 * width)
        self.weight = nn.Linear(width, 1, bias=False)  # softmax does not feel a bias

    def forward(self, x_BTH: Tensor, mask_BT: Mask) -> Tensor:
        x_BTH = x_BTH + sinusoids(x_BTH.shape[1], x_BTH.shape[2], x_BTH)
        x_BTH = x_BTH + self.attention(self.norm1(x_BTH), mask_BT)
        x_BTH = self.norm3(x_BTH + self.mlp(self.norm2(x_BTH)))
        score_BT = self.weight(x_BTH).squeeze(2)
        if mask_BT is not None:
            score_BT = score_BT.masked_fill(~mask_BT, -torch.inf)
        return torch.einsum("bt,bth->bh", score_BT.softmax(1), zero_padding(x_BTH, mask_BT))


class TemporalConv(nn.Module):
    """Residual convolutions over time, three positions wide, one and then two apart; the mean over time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=apart, dilation=apart) for apart in (1, 2)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.convs)

    def forward(self, x_BTH: Tensor, mask_BT: Mask) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y_BTH = conv(zero_padding(x_BTH, mask_BT).transpose(1, 2)).transpose(1, 2)
            x_BTH = x_BTH + norm(y_BTH).relu()
        return masked_mean(x_BTH, mask_BT)


def sinusoids(positions: int, width: int, like: Tensor) -> Tensor:
    """Position embeddings `(positions, width)` of sines and cosines (Vaswani et al., https://arxiv.org/abs/1706.03762)."""
    place = torch.arange(positions, device=like.device, dtype=torch.float32)[:, None]
    rate = 10000 ** (-torch.arange(0, width, 2, device=like.device, dtype=torch.float32) / width)
    return torch.cat([(place * rate).sin(), (place * rate).cos()], dim=1)[:, :width].to(like.dtype)
