"""Video Swin: attention in small windows over space and time, shifted from layer to layer.

    clip ─ 2 × 4 × 4 patches ─ four stages of (window, shifted window) blocks, merging 2 × 2 places between
         ─ norm ─ mean over places and real time ─ linear ─ logits

Liu et al., "Video Swin Transformer" (https://arxiv.org/abs/2106.13230). Modules are named as torchvision's
`swin3d_*` (with `layers` for its `features`), whose state dicts load as they are; the authors' own
checkpoints are translated; 2D Swin weights of timm and torchvision inflate.

Three things differ from torchvision, none of which changes a logit where its windows fit exactly:
which tokens may see each other depends on sizes alone and is computed once for each, so that it becomes a
constant in an exported graph; tokens that only fill up a window are masked (torchvision lets them be seen);
a picture smaller than a window uses the position biases of its own offsets.

Time is windowed by each clip's own length: a clip that fits into one window is not shifted, whatever it is
padded to, since alone it would not be.

Shape suffixes: B clips, C channels, T × H × W tokens, D features, M windows, N tokens in one, Z heads.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from marey.errors import ConfigError
from marey.models.attention import ConvStem, initialise_transformer, make_norm, norm_tokens
from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages, numbered
from marey.models.masked import Mask, lengths, masked_mean, prefix_mask, zero_padding
from marey.models.registry import register_model

PAPER = "https://arxiv.org/abs/2106.13230"
STEMS = ("patch", "conv")
Triple = tuple[int, int, int]
UNSEEN = -1e4  # added to an attention score: gone after the softmax, and no NaN where a whole row is


# --- which tokens see which ---------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def regions(size: int, padded: int, window: int, shift: int) -> tuple[int, ...]:
    """For each place along one axis, after the cyclic shift, the region it may look at; −1 fills up.

    The shift brings the first `shift` places next to the last ones; they are no neighbours.
    """
    found = []
    for place in range(padded):
        original = (place + shift) % padded
        wrapped = shift > 0 and place >= padded - shift
        found.append(-1 if original >= size else int(wrapped))
    return tuple(found)


@functools.lru_cache(maxsize=16)
def bias_rows(window: Triple, table: Triple) -> NDArray[np.int64]:
    """Row of the bias table for each pair of tokens of a window: `(N, N)`.

    `table` is the window that the table was made for; `window` is that or smaller. In NumPy, since a tensor
    that was made and kept while a model is traced would be a tracer's ghost afterwards.
    """
    places = np.stack(np.meshgrid(*(np.arange(n) for n in window), indexing="ij"), axis=-1).reshape(-1, 3)
    offset = places[:, None] - places[None] + np.array(table) - 1
    return (offset[..., 0] * (2 * table[1] - 1) + offset[..., 1]) * (2 * table[2] - 1) + offset[..., 2]


@dataclass(frozen=True)
class Grid:
    """How one stage cuts its tokens into windows.

    Attributes:
        size, padded, window, shift: tokens along T, H, W; filled up to whole windows; a window; the shift.
        mask: bool `(B, T)` of the tokens in time, or None.
    """

    size: Triple
    padded: Triple
    window: Triple
    shift: Triple
    mask: Mask

    @staticmethod
    def of(size: Triple, window: Triple, mask: Mask) -> Grid:
        fits = tuple(s <= w for s, w in zip(size, window, strict=True))
        own = tuple(s if f else w for s, w, f in zip(size, window, fits, strict=True))
        shift = tuple(0 if f else w // 2 for w, f in zip(window, fits, strict=True))
        padded = tuple(-(-s // w) * w for s, w in zip(size, own, strict=True))
        return Grid(size, padded, own, shift, mask)  # type: ignore[arg-type]

    def time_shift(self) -> Tensor:
        """Each clip's own shift `(B,)`: none where it fits into one window."""
        assert self.mask is not None
        return torch.where(lengths(self.mask) > self.window[0], self.shift[0], 0)

    def roll(self, x_BTHWD: Tensor, back: bool = False) -> Tensor:
        """The cyclic shift, or its inverse."""
        sign = 1 if back else -1
        x_BTHWD = torch.roll(x_BTHWD, (sign * self.shift[1], sign * self.shift[2]), (2, 3))
        if self.shift[0] == 0:
            return x_BTHWD
        if self.mask is None:
            return torch.roll(x_BTHWD, sign * self.shift[0], 1)
        index_BT = self._shifted_times(-1 if back else 1)
        return x_BTHWD.gather(1, index_BT[:, :, None, None, None].expand(-1, -1, *x_BTHWD.shape[2:]))

    def _shifted_times(self, sign: int) -> Tensor:
        times = torch.arange(self.padded[0], device=self.mask.device)  # type: ignore[union-attr]
        return (times[None] + sign * self.time_shift()[:, None]) % self.padded[0]

    def unseen(self, shifted: bool, device: torch.device) -> Tensor | None:
        """What is added to the scores `(B or 1, M, N, N)`: 0 or UNSEEN; None where all see all."""
        shift = self.shift if shifted else (0, 0, 0)
        if self.mask is None and not any(shift) and self.padded == self.size:
            return None
        axes = [
            torch.tensor(regions(s, p, w, d), device=device)
            for s, p, w, d in zip(self.size, self.padded, self.window, shift, strict=True)
        ]
        time_BT = axes[0][None]
        if self.mask is not None:
            real_BT = prefix_mask(lengths(self.mask), self.padded[0])
            if shift[0]:
                moved_B = self.time_shift()
                real_BT = real_BT.gather(1, self._shifted_times(1))
                places = torch.arange(self.padded[0], device=device)[None]
                time_BT = (places >= self.padded[0] - moved_B[:, None]).long()
            time_BT = torch.where(real_BT, time_BT, -1)
        h, w = axes[1][None, None, :, None], axes[2][None, None, None, :]
        t = time_BT[:, :, None, None]
        number = torch.where((t < 0) | (h < 0) | (w < 0), -1, 4 * t + 2 * h + w)
        number_BMN = self.cut(number[..., None]).squeeze(-1)
        apart = (number_BMN[..., :, None] != number_BMN[..., None, :]) | (number_BMN[..., None, :] < 0)
        return torch.zeros(apart.shape, device=device).masked_fill(apart, UNSEEN)

    def cut(self, x_BTHWD: Tensor) -> Tensor:
        """Tokens to windows: `(B, T, H, W, D)` to `(B, M, N, D)`."""
        t, h, w = self.window
        return rearrange(x_BTHWD, "b (mt t) (mh h) (mw w) d -> b (mt mh mw) (t h w) d", t=t, h=h, w=w)

    def join(self, x_BMND: Tensor) -> Tensor:
        """The inverse of `cut`."""
        (tp, hp, wp), (t, h, w) = self.padded, self.window
        return rearrange(
            x_BMND,
            "b (mt mh mw) (t h w) d -> b (mt t) (mh h) (mw w) d",
            mt=tp // t, mh=hp // h, mw=wp // w, t=t, h=h, w=w,
        )  # fmt: skip


# --- blocks -------------------------------------------------------------------------------------------------


class WindowAttention(nn.Module):
    """Attention within windows, with a learned bias for each offset between two tokens."""

    def __init__(self, width: int, heads: int, window: Triple, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.window, self.dropout = heads, window, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        rows = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(rows, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x_BTHWD: Tensor, grid: Grid, shifted: bool, unseen: Tensor | None) -> Tensor:
        shape = x_BTHWD.shape
        fill = [p - s for p, s in zip(grid.padded, grid.size, strict=True)]
        x_BTHWD = F.pad(x_BTHWD, (0, 0, 0, fill[2], 0, fill[1], 0, fill[0]))
        if shifted:
            x_BTHWD = grid.roll(x_BTHWD)
        x_BMND = grid.cut(x_BTHWD)
        windows = x_BMND.shape[1]
        index = torch.tensor(bias_rows(grid.window, self.window), device=x_BMND.device)
        bias_ZNN = rearrange(self.relative_position_bias_table[index], "n m z -> z n m")
        # Windows and heads share a dimension, so that one mask serves all clips without being copied.
        q, k, v = rearrange(self.qkv(x_BMND), "b m n (three z d) -> three b (m z) n d", three=3, z=self.heads)
        if unseen is None:
            scores = bias_ZNN.repeat(windows, 1, 1)[None]
        else:
            scores = rearrange(unseen[:, :, None] + bias_ZNN, "b m z n k -> b (m z) n k")
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=scores.to(q.dtype), dropout_p=self.dropout if self.training else 0.0
        )
        y_BTHWD = grid.join(self.proj(rearrange(y, "b (m z) n d -> b m n (z d)", z=self.heads)))
        if shifted:
            y_BTHWD = grid.roll(y_BTHWD, back=True)
        return y_BTHWD[:, : shape[1], : shape[2], : shape[3]]


class Block(nn.Module):
    """Attention in windows, shifted in every second block, then an MLP."""

    def __init__(
        self, width: int, heads: int, window: Triple, shifted: bool, drop_path: float, norm: str
    ) -> None:
        super().__init__()
        self.shifted = shifted
        self.norm1 = make_norm(norm, width)
        self.attn = WindowAttention(width, heads, window)
        self.stochastic_depth = StochasticDepth(drop_path, "row")
        self.norm2 = make_norm(norm, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(0.0),
            nn.Linear(4 * width, width),
            nn.Dropout(0.0),
        )

    def forward(self, x_BTHWD: Tensor, grid: Grid, unseen: Tensor | None) -> Tensor:
        shifted = self.shifted and any(grid.shift)
        y = self.attn(norm_tokens(self.norm1, x_BTHWD, grid.mask), grid, shifted, unseen)
        x_BTHWD = x_BTHWD + self.stochastic_depth(y)
        y = self.mlp(norm_tokens(self.norm2, x_BTHWD, grid.mask))
        return x_BTHWD + self.stochastic_depth(y)


class Stage(nn.Sequential):
    """Blocks on one grid; what may be seen is worked out once for all of them."""

    def forward(self, x_BTHWD: Tensor, mask_BT: Mask) -> Tensor:  # type: ignore[override]
        blocks: list[Block] = list(self)  # type: ignore[arg-type]
        grid = Grid.of(tuple(x_BTHWD.shape[1:4]), blocks[0].attn.window, mask_BT)  # type: ignore[arg-type]
        unseen = [grid.unseen(shifted, x_BTHWD.device) for shifted in (False, True)]
        for block in blocks:
            x_BTHWD = block(x_BTHWD, grid, unseen[block.shifted])
        return x_BTHWD


class PatchMerging(nn.Module):
    """2 × 2 places to one of twice the width; an odd side is filled up with zeros."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = make_norm(norm, 4 * width)

    def forward(self, x_BTHWD: Tensor, mask_BT: Mask) -> Tensor:
        x = F.pad(x_BTHWD, (0, 0, 0, x_BTHWD.shape[3] % 2, 0, x_BTHWD.shape[2] % 2))
        x = rearrange(x, "b t (h dh) (w dw) d -> b t h w (dw dh d)", dh=2, dw=2)
        return self.reduction(norm_tokens(self.norm, x, mask_BT))


class PatchEmbed(nn.Module):
    """Patches of the clip to tokens; odd ends are filled up with zeros."""

    def __init__(self, width: int, patch: Triple, stem: str, norm: str) -> None:
        super().__init__()
        self.patch = patch if stem == "patch" else (1, *patch[1:])
        self.proj = nn.Conv3d(3, width, patch, patch) if stem == "patch" else ConvStem(width, patch[1])
        self.norm = make_norm(norm, width)

    def forward(self, x_BTCHW: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:
        sizes = (x_BTCHW.shape[1], *x_BTCHW.shape[3:])
        t, h, w = (-size % patch for size, patch in zip(sizes, self.patch, strict=True))
        x_BTCHW = F.pad(zero_padding(x_BTCHW, mask_BT), (0, w, 0, h, 0, 0, 0, t))
        if isinstance(self.proj, ConvStem):
            return norm_tokens(self.norm, self.proj(x_BTCHW, mask_BT), mask_BT), mask_BT
        x = self.proj(rearrange(x_BTCHW, "b t c h w -> b c t h w"))
        x_BTHWD = rearrange(x, "b d t h w -> b t h w d")
        if mask_BT is not None:
            steps_B = torch.div(lengths(mask_BT) + self.patch[0] - 1, self.patch[0], rounding_mode="floor")
            mask_BT = prefix_mask(steps_B, x_BTHWD.shape[1])
        return norm_tokens(self.norm, x_BTHWD, mask_BT), mask_BT


class VideoSwin(VideoModel):
    """The video transformer of shifted windows.

    Args:
        num_classes: K.
        width: D of the first stage; doubles with each.
        depths, heads: blocks and attention heads of each stage.
        window, patch: tokens of a window, pixels of a patch, along T, H, W.
        stem: "patch", one linear map of each patch, or "conv" (`attention.ConvStem`), which keeps every frame.
        norm: "layer", as published, or "batch" (`attention.make_norm`), which learns from scratch sooner.
        frames, size: of the default input.
        dropout: share of features dropped before the linear layer. drop_path: stochastic depth, growing to
            this at the last block.
    """

    traces_any_length = (
        False  # how time is cut into windows, and who sees whom in them, are constants of a length
    )

    def __init__(
        self,
        *,
        num_classes: int,
        width: int = 96,
        depths: tuple[int, ...] | list[int] = (2, 2, 6, 2),
        heads: tuple[int, ...] | list[int] = (3, 6, 12, 24),
        window: tuple[int, ...] | list[int] = (8, 7, 7),
        patch: tuple[int, ...] | list[int] = (2, 4, 4),
        stem: str = "patch",
        norm: str = "layer",
        frames: int = 32,
        size: int | tuple[int, int] | list[int] = 224,
        dropout: float = 0.0,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__(num_classes=num_classes, spec=input_spec(frames=frames, size=size))
        if len(depths) != len(heads) or len(window) != 3 or len(patch) != 3:
            raise ConfigError(
                f"depths {depths} and heads {heads} must be as many, window {window} and patch {patch} three each."
            )
        if stem not in STEMS:
            raise ConfigError(f"stem {stem!r} is not from {', '.join(STEMS)}.")
        self.patch_embed = PatchEmbed(width, tuple(patch), stem, norm)  # type: ignore[arg-type]
        rates = iter(torch.linspace(0, drop_path, sum(depths), device="cpu").tolist())
        layers: list[nn.Module] = []
        for stage, (depth, head) in enumerate(zip(depths, heads, strict=True)):
            wide = width * 2**stage
            layers.append(
                Stage(
                    *(Block(wide, head, tuple(window), i % 2 == 1, next(rates), norm) for i in range(depth))  # type: ignore[arg-type]
                )
            )
            if stage + 1 < len(depths):
                layers.append(PatchMerging(wide, norm))
        self.layers = nn.ModuleList(layers)
        self.norm = make_norm(norm, wide)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(wide, num_classes)
        initialise_transformer(self)
        if (
            norm == "batch"
        ):  # a mean over many normalised tokens is small: a head as small would hardly see it
            self.head.reset_parameters()
        self.register_load_state_dict_pre_hook(_rename_torchvision)

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        x, mask = self.patch_embed(inputs["rgb"], mask_BT)
        for part in self.layers:
            x = part(x, mask)
        return reduce(norm_tokens(self.norm, x, mask), "b t h w d -> b t d", "mean"), mask

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        return self.head(self.dropout(masked_mean(x_BTD, mask_BT)))

    def stage_prefixes(self) -> Stages:
        found: Stages = [("patch_embed",)]
        for i, part in enumerate(self.layers):
            if isinstance(part, Stage):
                found += numbered(f"layers.{i}", len(part))
            else:  # the merging learns with the block before it
                found[-1] += (f"layers.{i}",)
        found[-1] += ("norm",)
        return found

    def convert_state_dict(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's 3D and 2D names, timm's 2D ones and the authors' 3D ones to this model's."""
        if "features.0.0.weight" in state:
            named = {_from_torchvision_2d(key): value for key, value in state.items()}
        elif any(key.startswith("features.") for key in state):
            named = dict(state)
            _rename_torchvision(self, named, "")
        else:
            old = any(
                ".downsample." in key and key.startswith(("layers.0", "backbone.layers.0")) for key in state
            )
            named = {_from_timm(key, old): value for key, value in state.items()}
        drop = ("relative_position_index", "attn_mask")
        return {key: self._inflate(key, value) for key, value in named.items() if not key.endswith(drop)}

    def _inflate(self, key: str, value: Tensor) -> Tensor:
        """2D filters and position biases repeated over time: a still clip looks as its image did."""
        if key == "patch_embed.proj.weight" and value.ndim == 4:
            frames = self.patch_embed.patch[0]
            return value[:, :, None].repeat(1, 1, frames, 1, 1) / frames
        if key.endswith("relative_position_bias_table"):
            window = next(m.window for m in self.modules() if isinstance(m, WindowAttention))
            if value.shape[0] == (2 * window[1] - 1) * (2 * window[2] - 1):
                return value.repeat(2 * window[0] - 1, 1)
        return value


def _rename_torchvision(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """torchvision says `features` (a method here) and keeps the constant index of the bias tables."""
    for key in list(state):
        if key.startswith(f"{prefix}features."):
            value = state.pop(key)
            if not key.endswith("relative_position_index"):
                state[f"{prefix}layers.{key.removeprefix(f'{prefix}features.')}"] = value


def _from_torchvision_2d(key: str) -> str:
    part, _, rest = key.partition(".")
    if part != "features":
        return key
    index, _, rest = rest.partition(".")
    if index == "0":
        return (
            rest.replace("0.", "patch_embed.proj.", 1)
            if rest[0] == "0"
            else rest.replace("2.", "patch_embed.norm.", 1)
        )
    return f"layers.{int(index) - 1}.{rest}"


def _from_timm(key: str, old: bool) -> str:
    """timm's and the authors' names: stages with their blocks, and the merging between two stages, which
    older files keep with the stage before it."""
    key = key.removeprefix("backbone.").replace("cls_head.fc_cls.", "head.").replace("head.fc.", "head.")
    parts = key.split(".")
    if parts[0] != "layers":
        return key
    stage = int(parts[1])
    if parts[2] == "downsample":
        return ".".join(["layers", str(2 * stage + (1 if old else -1)), *parts[3:]])
    rest = ".".join(parts[3:]).replace("mlp.fc1.", "mlp.0.").replace("mlp.fc2.", "mlp.3.")
    return f"layers.{2 * stage}.{rest}"


@register_model(
    about="windowed attention, tiny: the transformer to try first",
    paper=PAPER,
    input="rgb 32 × 224²",
    weights="Swin3D_T_Weights.KINETICS400_V1",
)
def video_swin_t(**keywords: Any) -> VideoSwin:
    return VideoSwin(**keywords)


@register_model(
    about="the same, deeper", paper=PAPER, input="rgb 32 × 224²", weights="Swin3D_S_Weights.KINETICS400_V1"
)
def video_swin_s(**keywords: Any) -> VideoSwin:
    return VideoSwin(**{"depths": (2, 2, 18, 2), **keywords})


@register_model(
    about="the same, deeper and wider",
    paper=PAPER,
    input="rgb 32 × 224²",
    weights="Swin3D_B_Weights.KINETICS400_V1",
)
def video_swin_b(**keywords: Any) -> VideoSwin:
    return VideoSwin(**{"width": 128, "depths": (2, 2, 18, 2), "heads": (4, 8, 16, 32), **keywords})


@register_model(
    about="two narrow stages on a convolutional stem: from scratch on a laptop",
    paper=PAPER,
    input="rgb 8 × 56²",
)
def video_swin_tiny(**keywords: Any) -> VideoSwin:
    small = {
        "width": 64, "depths": (2, 2), "heads": (2, 4), "window": (4, 7, 7), "patch": (1, 8, 8), "stem": "conv",
        "norm": "batch", "frames": 8, "size": 56, "drop_path": 0.0,
    }  # fmt: skip
    return VideoSwin(**{**small, **keywords})
