"""VideoMAE: a plain vision transformer over tubelets, the network that masked autoencoding pretrains.

    clip ─ tubelets of 2 × 16 × 16 ─ + sine and cosine positions ─ blocks ─ mean ─ norm ─ linear ─ logits

Tong et al., "VideoMAE" (https://arxiv.org/abs/2203.12602). Every token sees every other over space and time;
those of padded frames are masked. Modules are named as in the original code; Hugging Face's checkpoints are
translated (their query, key and value are three layers, and older ones keep the biases apart).

Shape suffixes: B clips, T frames, T' tubelets in time, N places in a frame, D features.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from marey.errors import ConfigError
from marey.models.attention import Attention, Mlp, initialise_transformer
from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages, numbered
from marey.models.masked import Mask, lengths, masked_mean, prefix_mask, zero_padding
from marey.models.registry import register_model

PAPER = "https://arxiv.org/abs/2203.12602"


def sine_positions(tokens: int, width: int, device: torch.device) -> Tensor:
    """Vaswani et al.'s fixed encoding of positions in a row: `(tokens, D)`, sine and cosine in turn."""
    rate = torch.exp(torch.arange(0, width, 2, device=device, dtype=torch.float64) * (-math.log(1e4) / width))
    angle = torch.arange(tokens, device=device, dtype=torch.float64)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)


class Block(nn.Module):
    """Attention and MLP, each after a norm."""

    def __init__(self, width: int, heads: int, drop_path: float, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, 4 * width)
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, x_BND: Tensor, keys_BN: Mask) -> Tensor:
        x_BND = x_BND + self.drop_path(self.attn(self.norm1(x_BND), keys_BN))
        return x_BND + self.drop_path(self.mlp(self.norm2(x_BND)))


class PatchEmbed(nn.Module):
    """Tubelets to tokens."""

    def __init__(self, width: int, tubelet: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, width, (tubelet, patch, patch), (tubelet, patch, patch))


class VideoMAE(VideoModel):
    """The encoder with a classifier on the mean of its tokens.

    Args:
        num_classes: K.
        frames, size: of the default input.
        tubelet, patch: frames and pixels of a token.
        width, depth, heads: features, layers, attention heads.
        drop_path: stochastic depth, growing to this at the last layer.
        eps: of the layers' norms.
    """

    head_prefixes = ("fc_norm", "head")

    def __init__(
        self,
        *,
        num_classes: int,
        frames: int = 16,
        size: int | tuple[int, int] | list[int] = 224,
        tubelet: int = 2,
        patch: int = 16,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        drop_path: float = 0.1,
        eps: float = 1e-12,
    ) -> None:
        super().__init__(num_classes=num_classes, spec=input_spec(frames=frames, size=size))
        if any(side % patch for side in self.spec.size):
            raise ConfigError(f"size {self.spec.size} is no multiple of the patch, {patch} pixels.")
        self.tubelet = tubelet
        self.patch_embed = PatchEmbed(width, tubelet, patch)
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(Block(width, heads, rate, eps) for rate in rates)
        self.fc_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)
        initialise_transformer(self)

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        x = zero_padding(inputs["rgb"], mask_BT)
        x = F.pad(x, (0, 0, 0, 0, 0, 0, 0, -x.shape[1] % self.tubelet))
        x = self.patch_embed.proj(rearrange(x, "b t c h w -> b c t h w"))
        steps, places = x.shape[2], x.shape[3] * x.shape[4]
        x_BND = rearrange(x, "b d t h w -> b (t h w) d")
        x_BND = x_BND + sine_positions(x_BND.shape[1], x_BND.shape[2], x.device).to(x.dtype)
        mask, keys = None, None
        if mask_BT is not None:
            real_B = torch.div(lengths(mask_BT) + self.tubelet - 1, self.tubelet, rounding_mode="floor")
            mask = prefix_mask(real_B, steps)
            keys = mask.repeat_interleave(places, dim=1)
        for block in self.blocks:
            x_BND = block(x_BND, keys)
        return reduce(x_BND, "b (t n) d -> b t d", "mean", t=steps), mask

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        return self.head(self.fc_norm(masked_mean(x_BTD, mask_BT)))

    def stage_prefixes(self) -> Stages:
        return [("patch_embed",), *numbered("blocks", len(self.blocks))]

    def convert_state_dict(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Hugging Face's and the original's names, of a classifier or of the pretrained encoder alone."""
        named = {}
        for key, value in state.items():
            for theirs, ours in RENAMED:
                key = key.replace(theirs, ours)
            named[key.removeprefix("encoder.")] = value
        for i in range(len(self.blocks)):
            _join_qkv(named, f"blocks.{i}.attn.")
        # The encoder of the autoencoder ends in a norm of its own, which starts the classifier's.
        for kind in ("weight", "bias"):
            if f"norm.{kind}" in named and f"fc_norm.{kind}" not in named:
                named[f"fc_norm.{kind}"] = named.pop(f"norm.{kind}")
        drop = ("decoder", "mask_token", "encoder_to_decoder", "pos_embed")
        return {key: value for key, value in named.items() if not key.startswith(drop)}


RENAMED = (
    ("videomae.embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("videomae.encoder.layer.", "blocks."),
    ("videomae.layernorm", "norm"),
    ("classifier", "head"),
    ("attention.attention.", "attn."),
    ("attention.output.dense", "attn.proj"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
)


def _join_qkv(state: dict[str, Tensor], prefix: str) -> None:
    """Three layers as one. Keys have no bias in VideoMAE: it would shift all scores of a query alike."""
    parts = [state.pop(f"{prefix}{name}.weight", None) for name in ("query", "key", "value")]
    weights = [part for part in parts if part is not None]
    if len(weights) == 3:
        state[f"{prefix}qkv.weight"] = torch.cat(weights)
    q = state.pop(f"{prefix}q_bias", state.pop(f"{prefix}query.bias", None))
    v = state.pop(f"{prefix}v_bias", state.pop(f"{prefix}value.bias", None))
    if q is not None and v is not None:
        state[f"{prefix}qkv.bias"] = torch.cat([q, torch.zeros_like(q), v])


@register_model(
    about="plain transformer over tubelets, base; from masked autoencoding",
    paper=PAPER,
    input="rgb 16 × 224²",
    weights="MCG-NJU/videomae-base-finetuned-kinetics",
)
def videomae_b(**keywords: Any) -> VideoMAE:
    return VideoMAE(**keywords)


@register_model(
    about="the same, small",
    paper=PAPER,
    input="rgb 16 × 224²",
    weights="MCG-NJU/videomae-small-finetuned-kinetics",
)
def videomae_s(**keywords: Any) -> VideoMAE:
    return VideoMAE(**{"width": 384, "heads": 6, **keywords})
