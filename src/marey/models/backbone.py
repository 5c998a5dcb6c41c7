"""timm's image networks as backbones: made by name, run over the real frames of a clip.

Shape suffixes: B clips, T frames, C channels, H × W pixels, D features, N real frames of all clips.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from marey.errors import ConfigError, UnknownNameError
from marey.models.masked import Mask, is_tracing

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_backbone(
    name: str, *, size: int | tuple[int, int] | list[int], keywords: dict[str, Any] | None = None
) -> nn.Module:
    """A timm network without its classifier: `(N, C, H, W)` to `(N, D)`, weights at random.

    Args:
        name: timm's name, with or without a pretrained tag.
        size: pixels; networks with a fixed grid (ViT, Swin) are built for it.
        keywords: further keywords of timm's constructor, such as `{"pad_type": "same"}`.

    Raises:
        UnknownNameError: timm has no such network. ConfigError: it does not take these keywords.
    """
    import timm

    if not timm.is_model(name.removeprefix("timm/")):
        raise UnknownNameError("timm backbone", name, timm.list_models())
    name = name.removeprefix("timm/")
    extra = dict(keywords or {})
    default = timm.get_pretrained_cfg(name.partition(".")[0])
    if default is not None and default.fixed_input_size:
        extra.setdefault("img_size", tuple(size) if isinstance(size, list) else size)
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, **extra)
    except TypeError as error:
        raise ConfigError(f"timm's {name} does not take {extra}: {error}.") from error


def backbone_width(backbone: nn.Module) -> int:
    """D, the features that the backbone gives for an image."""
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)  # type: ignore[arg-type]


def part_features(backbone: nn.Module, parts: int, size: int | tuple[int, int] | list[int]) -> int:
    """Features that a map of `parts` × `parts` means over the backbone's last map has.

    Raises:
        ConfigError: the backbone's last layer is no map of the picture, or a smaller one.
    """
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    shadow: Any = copy.deepcopy(backbone).to("meta").eval()
    with torch.no_grad():
        last = shadow.forward_features(torch.empty(1, 3, height, width, device="meta"))
    if last.ndim != 4 or not 1 <= parts <= min(last.shape[2:]):
        raise ConfigError(
            f"this backbone's last layer is {tuple(last.shape[1:])} for {width}×{height} pixels; "
            f"it cannot be parted into {parts} × {parts}.",
            "give fewer parts, a larger size, or a convolutional backbone",
        )
    return int(last.shape[1]) * parts**2


def backbone_normalising(backbone: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std that timm's own weights for this network expect."""
    config: Any = getattr(backbone, "pretrained_cfg", None) or {}
    return tuple(config.get("mean", IMAGENET_MEAN)), tuple(config.get("std", IMAGENET_STD))


def each_frame(network: Callable[[Tensor], Tensor], x_BTCHW: Tensor, mask_BT: Mask) -> Tensor:
    """`network` on every real frame: `(B, T, C, H, W)` to `(B, T, D)`, zero where a frame is padding.

    Padding frames are not run at all, so batch norm in training sees real frames only; a compiler cannot
    choose frames by value, so while tracing all are run (in eval mode that changes no real frame).
    """
    batch = x_BTCHW.shape[0]
    if mask_BT is None or is_tracing():
        y_ND = network(rearrange(x_BTCHW, "b t c h w -> (b t) c h w"))
        return rearrange(y_ND, "(b t) d -> b t d", b=batch)
    y_ND = network(x_BTCHW[mask_BT])
    y_BTD = torch.zeros(*mask_BT.shape, y_ND.shape[-1], dtype=y_ND.dtype, device=y_ND.device)
    return y_BTD.index_put((mask_BT,), y_ND)


def rename_classifier(
    state: dict[str, Tensor], backbone: nn.Module, to: str, own: set[str] | None = None
) -> dict[str, Tensor]:
    """A timm state dict of a whole classifier as this model's: `backbone.…` and the head `to`.

    `own` are the names that it should have, where the backbone's have changed since timm made it.
    """
    config: Any = getattr(backbone, "pretrained_cfg", None) or {}
    classifier = config.get("classifier") or "classifier"
    if not isinstance(classifier, str):  # distilled networks have two; the first is the ordinary one
        classifier = classifier[0]
    own = own or set(backbone.state_dict())
    if len(own & set(state)) < len(own) // 2:
        return state
    renamed = {}
    for key, value in state.items():
        if key.startswith(f"{classifier}."):
            renamed[to + key.removeprefix(classifier)] = value
        else:
            renamed[f"backbone.{key}"] = value
    return renamed
