"""TimeSformer: a vision transformer in which every patch also looks along time.

    frames ─ patches ─ + place + time ─ blocks ─ norm ─ class token ─ linear ─ logits
    a divided block:  attention over time at each place ─ attention over space in each frame ─ MLP

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?"
(https://arxiv.org/abs/2102.05095): divided, joint and space-only attention. Modules are named as in the
original code, whose checkpoints load once their "model." is off; Hugging Face's names are translated; an
image ViT of timm starts a model, its attention copied to time and the temporal branch at zero, so that the
first step sees each frame as the ViT did. Padded frames are no keys for any real token, and the class token,
which is averaged over the frames, averages the real ones.

From scratch a small one learns with `stem="conv"`, strided convolutions over space and time before the tokens
(Xiao et al., https://arxiv.org/abs/2106.14881), `pool="mean"`, and `norm="batch"` before the mean (Yao et al.,
"Leveraging Batch Normalization for Vision Transformers", 2021, have it throughout).

Shape suffixes: B clips, T frames, C channels, N places in a frame, D features.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from marey.errors import ConfigError, UsageError
from marey.models.attention import (
    Attention,
    ConvStem,
    Mlp,
    initialise_transformer,
    make_norm,
    norm_tokens,
    resize_grid,
    stretched_positions,
)
from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages, numbered
from marey.models.masked import Mask, masked_mean
from marey.models.registry import register_model

PAPER = "https://arxiv.org/abs/2102.05095"
KINDS = ("divided", "joint", "space")
STEMS = ("patch", "conv")
POOLS = ("token", "mean")


class Block(nn.Module):
    """One layer over `(B, T, N, D)` patches and a class token: `(B, 1, D)`, or `(B, T, D)` for space-only."""

    def __init__(
        self, width: int, heads: int, hidden: int, kind: str, dropout: float, drop_path: float, qkv_bias: bool
    ) -> None:
        super().__init__()
        self.kind = kind
        if kind == "divided":
            self.temporal_norm1 = nn.LayerNorm(width, eps=1e-6)
            self.temporal_attn = Attention(width, heads, qkv_bias)
            self.temporal_fc = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, qkv_bias)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, hidden, dropout)
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, x_BTND: Tensor, cls_BSD: Tensor, mask_BT: Mask) -> tuple[Tensor, Tensor]:
        if self.kind == "joint":
            x_BTND, cls_BSD = self._joint(x_BTND, cls_BSD, mask_BT)
        else:
            if self.kind == "divided":
                x_BTND = x_BTND + self.temporal_fc(self.drop_path(self._over_time(x_BTND, mask_BT)))
            x_BTND, cls_BSD = self._over_space(x_BTND, cls_BSD, mask_BT)
        return (
            x_BTND + self.drop_path(self.mlp(self.norm2(x_BTND))),
            cls_BSD + self.drop_path(self.mlp(self.norm2(cls_BSD))),
        )

    def _over_time(self, x_BTND: Tensor, mask_BT: Mask) -> Tensor:
        places = x_BTND.shape[2]
        x = rearrange(self.temporal_norm1(x_BTND), "b t n d -> (b n) t d")
        keys = None if mask_BT is None else mask_BT.repeat_interleave(places, dim=0)
        return rearrange(self.temporal_attn(x, keys), "(b n) t d -> b t n d", n=places)

    def _over_space(self, x_BTND: Tensor, cls_BSD: Tensor, mask_BT: Mask) -> tuple[Tensor, Tensor]:
        frames = x_BTND.shape[1]
        cls_BTD = cls_BSD.expand(-1, frames, -1)  # the one class token goes along with every frame
        x = rearrange(torch.cat([cls_BTD[:, :, None], x_BTND], dim=2), "b t n d -> (b t) n d")
        y = rearrange(self.drop_path(self.attn(self.norm1(x))), "(b t) n d -> b t n d", t=frames)
        change_BTD = y[:, :, 0]
        if cls_BSD.shape[1] == 1:
            change_BTD = masked_mean(change_BTD, mask_BT)[:, None]
        return x_BTND + y[:, :, 1:], cls_BSD + change_BTD

    def _joint(self, x_BTND: Tensor, cls_B1D: Tensor, mask_BT: Mask) -> tuple[Tensor, Tensor]:
        frames, places = x_BTND.shape[1:3]
        x = torch.cat([cls_B1D, rearrange(x_BTND, "b t n d -> b (t n) d")], dim=1)
        keys = None
        if mask_BT is not None:  # the class token stands first and may always be seen
            keys = torch.cat([mask_BT[:, :1], mask_BT.repeat_interleave(places, dim=1)], dim=1)
        y = self.drop_path(self.attn(self.norm1(x), keys))
        return x_BTND + rearrange(y[:, 1:], "b (t n) d -> b t n d", t=frames), cls_B1D + y[:, :1]


class PatchEmbed(nn.Module):
    """Each frame's patches to tokens."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x_BTCHW: Tensor, mask_BT: Mask) -> Tensor:
        x = self.proj(rearrange(x_BTCHW, "b t c h w -> (b t) c h w"))
        return rearrange(x, "(b t) d h w -> b t h w d", b=x_BTCHW.shape[0])


class TimeSformer(VideoModel):
    """The video transformer.

    Args:
        num_classes: K.
        attention: "divided", "joint" or "space".
        frames, size: of the default input; other lengths stretch the time embedding.
        patch: side of a patch in pixels.
        width, depth, heads: features, layers, attention heads.
        stem: "patch" (one linear map of each patch) or "conv".
        pool: what is classified: the class token ("token", as published) or the "mean" of the real patches,
            from which a small network learns sooner.
        norm: the last one: "layer", as published, or "batch" (`attention.make_norm`), for the mean alone.
        qkv_bias: as in `Attention`.
        dropout: in MLPs and on tokens. drop_path: stochastic depth, growing to this at the last layer.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        attention: str = "divided",
        frames: int = 8,
        size: int | tuple[int, int] | list[int] = 224,
        patch: int = 16,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        stem: str = "patch",
        pool: str = "token",
        norm: str = "layer",
        qkv_bias: bool = True,
        dropout: float = 0.0,
        drop_path: float = 0.1,
    ) -> None:
        spec = input_spec(frames=frames, size=size, mean=(0.45,) * 3, std=(0.225,) * 3)
        super().__init__(num_classes=num_classes, spec=spec)
        if attention not in KINDS:
            raise ConfigError(f"attention {attention!r} is not from {', '.join(KINDS)}.")
        if any(side % patch for side in spec.size):
            raise ConfigError(f"size {spec.size} is no multiple of the patch, {patch} pixels.")
        if stem not in STEMS:
            raise ConfigError(f"stem {stem!r} is not from {', '.join(STEMS)}.")
        if pool not in POOLS:
            raise ConfigError(f"pool {pool!r} is not from {', '.join(POOLS)}.")
        if norm == "batch" and pool == "token":
            raise ConfigError("batch norm goes with the mean of the patches.", "add pool=mean")
        self.attention, self.pool = attention, pool
        self.grid = (spec.size[0] // patch, spec.size[1] // patch)
        self.patch_embed = PatchEmbed(width, patch) if stem == "patch" else ConvStem(width, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], width))
        if attention != "space":
            self.time_embed = nn.Parameter(torch.zeros(1, frames, width))
        self.pos_drop = nn.Dropout(dropout)
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(
            Block(width, heads, 4 * width, attention, dropout, rate, qkv_bias) for rate in rates
        )
        self.norm = make_norm(norm, width, eps=1e-6)
        self.head = nn.Linear(width, num_classes)
        initialise_transformer(self)
        if (
            norm == "batch"
        ):  # a mean over many normalised tokens is small: a head as small would hardly see it
            self.head.reset_parameters()
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        # From scratch, positions as large as the convolutional stem's tokens: attention finds order by them.
        nn.init.trunc_normal_(self.pos_embed, std=0.02 if stem == "patch" else 0.2)
        if attention != "space":
            nn.init.trunc_normal_(self.time_embed, std=0.02 if stem == "patch" else 0.2)

    def _tokens(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Tensor]:
        """Patches `(B, T, N, D)` and class token `(B, 1 or T, D)` after all blocks, not yet normalised."""
        x_BTHWD = self.patch_embed(inputs["rgb"], mask_BT)
        batch, frames, *grid, _ = x_BTHWD.shape
        if tuple(grid) != self.grid:
            raise UsageError(
                f"{self.name} was built for frames of {self.spec.size[0]}×{self.spec.size[1]} pixels, "
                f"got {inputs['rgb'].shape[3]}×{inputs['rgb'].shape[4]}.",
                "make it with size=… to read others; pretrained positions are resized then",
            )
        x_BTND = rearrange(x_BTHWD, "b t h w d -> b t (h w) d") + self.pos_embed[0, 1:]
        if self.attention != "space":
            x_BTND = x_BTND + stretched_positions(self.time_embed[0], frames, mask_BT)[:, :, None]
        copies = frames if self.attention == "space" else 1
        cls_BSD = repeat(self.cls_token[0] + self.pos_embed[0, :1], "1 d -> b s d", b=batch, s=copies)
        x_BTND, cls_BSD = self.pos_drop(x_BTND), self.pos_drop(cls_BSD)
        for block in self.blocks:
            x_BTND, cls_BSD = block(x_BTND, cls_BSD, mask_BT)
        return x_BTND, cls_BSD

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        x_BTND, _ = self._tokens(inputs, mask_BT)
        x_BTHWD = norm_tokens(self.norm, x_BTND[:, :, :, None], mask_BT)
        return reduce(x_BTHWD, "b t h w d -> b t d", "mean"), mask_BT

    def _logits(self, inputs: dict[str, Tensor], mask_BT: Mask) -> Tensor:
        if self.pool == "mean":
            return self.head(masked_mean(*self._features(inputs, mask_BT)))
        _, cls_BSD = self._tokens(inputs, mask_BT)
        # Space-only attention has a class token in every frame; they are averaged, as in the original.
        cls_BD = masked_mean(cls_BSD, mask_BT) if cls_BSD.shape[1] > 1 else cls_BSD[:, 0]
        return self.head(self.norm(cls_BD))

    def stage_prefixes(self) -> Stages:
        stem = ("patch_embed", "cls_token", "pos_embed", "time_embed")
        *first, last = numbered("blocks", len(self.blocks))
        return [stem, *first, (*last, "norm")]

    def convert_state_dict(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Original, Hugging Face or timm ViT names and shapes to this model's."""
        if "timesformer.embeddings.cls_token" in state:
            state = {_from_hugging_face(key): value for key, value in state.items()}
        state = {key.removeprefix("model."): value for key, value in state.items()}
        if "pos_embed" not in state:
            return state
        state["pos_embed"] = torch.cat(
            [state["pos_embed"][:, :1], resize_grid(state["pos_embed"][0, 1:], self.grid)[None]], dim=1
        )
        if self.attention != "space":
            if "time_embed" in state:
                state["time_embed"] = stretched_positions(
                    state["time_embed"][0], self.time_embed.shape[1], None
                )
            else:  # an image network: time says nothing at first
                state["time_embed"] = torch.zeros_like(self.time_embed)
        if self.attention == "divided" and "blocks.0.temporal_fc.weight" not in state:
            state.update(_start_time_from_space(state))
        return state


HUGGING_FACE = (
    ("timesformer.embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("timesformer.embeddings.position_embeddings", "pos_embed"),
    ("timesformer.embeddings.time_embeddings", "time_embed"),
    ("timesformer.embeddings.cls_token", "cls_token"),
    ("timesformer.encoder.layer.", "blocks."),
    ("timesformer.layernorm", "norm"),
    ("classifier", "head"),
    ("temporal_attention.attention.qkv", "temporal_attn.qkv"),
    ("temporal_attention.output.dense", "temporal_attn.proj"),
    ("temporal_layernorm", "temporal_norm1"),
    ("temporal_dense", "temporal_fc"),
    (".attention.attention.qkv", ".attn.qkv"),
    (".attention.output.dense", ".attn.proj"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
)


def _from_hugging_face(key: str) -> str:
    for theirs, ours in HUGGING_FACE:
        key = key.replace(theirs, ours)
    return key


def _start_time_from_space(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """An image ViT's attention over space copied to time, and the branch that adds it set to zero."""
    added = {}
    for key, value in state.items():
        if not key.startswith("blocks."):
            continue
        _, index, rest = key.split(".", 2)
        prefix = f"blocks.{index}"
        if rest.startswith(("attn.", "norm1.")):
            added[f"{prefix}.temporal_{rest}"] = value.clone()
        if rest == "attn.proj.weight":
            added[f"{prefix}.temporal_fc.weight"] = torch.zeros_like(value)
        if rest == "attn.proj.bias":
            added[f"{prefix}.temporal_fc.bias"] = torch.zeros_like(value)
    return added


@register_model(
    about="divided space-time attention, base size",
    paper=PAPER,
    input="rgb 8 × 224²",
    weights="facebook/timesformer-base-finetuned-k400",
)
def timesformer_base(**keywords: Any) -> TimeSformer:
    return TimeSformer(**keywords)


@register_model(
    about="the same with larger pictures (HR)",
    paper=PAPER,
    input="rgb 16 × 448²",
    weights="facebook/timesformer-hr-finetuned-k400",
)
def timesformer_hr(**keywords: Any) -> TimeSformer:
    return TimeSformer(**{"frames": 16, "size": 448, **keywords})


@register_model(
    about="the same with many frames (L), for long actions",
    paper=PAPER,
    input="rgb 96 × 224²",
    weights="fcakyon/timesformer-large-finetuned-k400",
)
def timesformer_large(**keywords: Any) -> TimeSformer:
    return TimeSformer(**{"frames": 96, **keywords})


@register_model(
    about="four narrow layers on a convolutional stem: from scratch on a laptop",
    paper=PAPER,
    input="rgb 8 × 56²",
)
def timesformer_tiny(**keywords: Any) -> TimeSformer:
    small = {
        "size": 56,
        "patch": 8,
        "width": 64,
        "depth": 4,
        "heads": 2,
        "stem": "conv",
        "pool": "mean",
        "norm": "batch",
        "drop_path": 0.0,
    }
    return TimeSformer(**{**small, **keywords})
