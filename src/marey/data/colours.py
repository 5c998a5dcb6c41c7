"""Changes of colour, for one clip or many at once, on any device.

    change(x_NTCHW uint8, value_N) -> uint8 of the same shape, rounded to the nearest level

A clip is one thing: where an operation measures the picture first (contrast its mean, autocontrast its extremes,
equalize its histogram), it measures all frames of the clip together, and does the same to each of them. Measured
frame by frame, as torchvision does with videos, these three would take away the changes of light that a clip
shows, and put others in. Sums are of whole numbers and the arithmetic is the same in the same order everywhere,
so that a GPU gives what a CPU gives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from marey.data.draws import Operation

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma


def change_colours(clips: list[Tensor], changes: Sequence[Sequence[Operation]]) -> list[Tensor]:
    """Each clip with its own operations, in their order.

    Args:
        clips: uint8 `(T, C, H, W)` each, of one size; T may differ. All on one device.
        changes: the operations of each.

    Returns:
        The clips changed. The i-th operations of all clips are done together where they have one name and length.
    """
    clips = list(clips)
    for step in range(max(map(len, changes), default=0)):
        alike: dict[tuple[str, int], list[int]] = defaultdict(list)
        for number, operations in enumerate(changes):
            if step < len(operations) and operations[step].name != "nothing":
                alike[operations[step].name, len(clips[number])].append(number)
        for (name, _), numbers in alike.items():
            values = torch.tensor([changes[n][step].value for n in numbers], dtype=torch.float32)
            stack = torch.stack([clips[n] for n in numbers])
            changed = OPERATIONS[name](stack, values.to(stack.device))
            for number, clip in zip(numbers, changed, strict=True):
                clips[number] = clip
    return clips


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Levels times a factor."""
    return _levels(x.to(torch.float32).mul_(_wide(factor)))


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Distance from the clip's mean grey times a factor."""
    sums = x.sum(dim=(1, 3, 4), dtype=torch.int64).to(torch.float64)  # exact in any order
    count = x[0, :, 0].numel()
    mean = _weighted(sums.unbind(1)) / count
    return _blend(x, _wide(mean.to(torch.float32)), factor)


def saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Distance of each pixel from its own grey times a factor."""
    return _blend(x, _weighted(x.to(torch.float32).unbind(2)).unsqueeze(2), factor)


def hue(x: Tensor, turn: Tensor) -> Tensor:
    """Hue turned by a part of the circle, value and saturation kept.

    RGB to HSV and back as in Smith 1978, "Color gamut transform pairs"."""
    r, g, b = (x.to(torch.float32) / 255).unbind(2)
    value = torch.maximum(torch.maximum(r, g), b)
    spread = value - torch.minimum(torch.minimum(r, g), b)
    safe = torch.where(spread > 0, spread, 1.0)
    sixth = torch.where(
        value == r, (g - b) / safe, torch.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4)
    )
    sixth = sixth + 6 * _wide(turn)[:, :, 0]
    planes = []
    for corner in (5, 3, 1):
        place = torch.remainder(corner + sixth, 6)
        planes.append(value - spread * torch.minimum(place, 4 - place).clamp(0, 1))
    return _levels(torch.stack(planes, dim=2) * 255)


def sharpness(x: Tensor, factor: Tensor) -> Tensor:
    """Distance from a blur (3×3, its middle five times as heavy) times a factor; the rim stays as it is."""
    if min(x.shape[-2:]) < 3:
        return x
    height, width = x.shape[-2:]
    whole = x.to(torch.int32)
    inside = whole[..., 1:-1, 1:-1]
    total = 4 * inside
    for down in range(3):
        for right in range(3):
            total = total + whole[..., down : height - 2 + down, right : width - 2 + right]
    out = x.clone()
    out[..., 1:-1, 1:-1] = _blend(x[..., 1:-1, 1:-1], (total.to(torch.float32) / 13).round(), factor)
    return out


def posterize(x: Tensor, bits: Tensor) -> Tensor:
    """The upper bits of each level alone."""
    keep = (256 - 2 ** (8 - bits)).to(torch.uint8)
    return x & _wide(keep)


def solarize(x: Tensor, threshold: Tensor) -> Tensor:
    """Levels from a threshold on turned into their negative."""
    return torch.where(x >= _wide(threshold), 255 - x, x)


def autocontrast(x: Tensor, _: Tensor) -> Tensor:
    """Each channel stretched to all levels, by its extremes in the whole clip."""
    return _as_one_picture(F.autocontrast, x)


def equalize(x: Tensor, _: Tensor) -> Tensor:
    """Each channel's histogram, that of the whole clip, made flat."""
    return _as_one_picture(F.equalize, x)


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    each.__name__: each
    for each in (
        brightness, contrast, saturation, hue, sharpness, posterize, solarize, autocontrast, equalize,
    )
}  # fmt: skip


def _as_one_picture(change: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The frames of a clip as one tall picture, so that what torchvision measures of it is measured of all."""
    n, t, c, h, w = x.shape
    tall = x.movedim(1, 2).reshape(n, c, t * h, w)
    return change(tall).reshape(n, c, t, h, w).movedim(2, 1).contiguous()


def _weighted(channels: Sequence[Tensor]) -> Tensor:
    """Grey of three channels; a single one is grey already. Added one by one: a sum's order may differ by device."""
    if len(channels) == 1:
        return channels[0]
    r, g, b = channels
    return r * _GREY[0] + g * _GREY[1] + b * _GREY[2]


def _blend(x: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    factor = _wide(factor)
    return _levels(x.to(torch.float32).mul_(factor).add_(other * (1 - factor)))


def _levels(x: Tensor) -> Tensor:
    """To uint8; `x` is used up."""
    return x.round_().clamp_(0, 255).to(torch.uint8)


def _wide(value_N: Tensor) -> Tensor:
    return value_N.view(-1, 1, 1, 1, 1)
