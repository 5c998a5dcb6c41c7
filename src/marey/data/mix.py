"""MixUp, CutMix and VideoMix on batches of clips.

MixUp: Zhang et al. 2018, arXiv 1710.09412. CutMix: Yun et al. 2019, arXiv 1905.04899. VideoMix: Yun et al. 2020,
arXiv 2012.03457, whose three forms are `cut`: a rectangle that is the same in all frames (a tube), so that motion
inside it stays motion; all of some neighbouring frames; or a rectangle in some neighbouring frames.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Cut: TypeAlias = Literal["space", "time", "both"]


def mix_batch(
    inputs: dict[str, Tensor],
    mask_BT: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    cut: Cut = "space",
    generator: torch.Generator,
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Blend every clip of a batch with another one of it, pixels and labels alike.

    Clips of different length meet like this: where both are real they are mixed, where only one is real it
    stands alone, and the mask is real where either is. The label of each is weighted with its share of what is
    to be seen over all real frames, so that a short clip counts for less.

    Args:
        inputs: by modality, `(B, T, C, H, W)` uint8 or floating point; flow and differences may have T−1.
        mask_BT: bool, True where a frame is real.
        target: long `(B,)` or float `(B, K)`.
        num_classes: K.
        mixup, cutmix: alpha of Beta(alpha, alpha), from which each clip's share is drawn; 0 is off. Where both
            are on, a fair coin chooses one for the batch.
        cut: the part that cutmix takes. Time is cut in the frames that are real in both clips, and in `rgb` alone:
            between frames of two videos there is no motion that flow or differences could show.
        generator: a CPU generator; all draws come from it.

    Returns:
        inputs of the same types and shapes, the mask, and soft targets float `(B, K)`.
    """
    soft_BK = target if target.is_floating_point() else F.one_hot(target, num_classes).to(torch.float32)
    batch = len(mask_BT)
    if (mixup <= 0 and cutmix <= 0) or batch < 2:
        return inputs, mask_BT, soft_BK
    # torch's Beta takes no generator; NumPy's does, seeded from the one that was given
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    cuts = cutmix > 0 and (mixup <= 0 or rng.random() < 0.5)
    assert cut == "space" or set(inputs) == {"rgb"}, "AugmentConfig.check_modalities refuses this"
    alpha = cutmix if cuts else mixup
    share = rng.beta(alpha, alpha, size=batch).astype(np.float32)
    shift = int(rng.integers(1, batch))
    partner = torch.from_numpy((np.arange(batch) + shift) % batch).to(mask_BT.device)
    corner = rng.random((2, batch)).astype(np.float32)
    other_BT = mask_BT[partner]
    both_BT, either_BT = mask_BT & other_BT, mask_BT | other_BT
    span_BT = torch.ones_like(mask_BT)
    if cuts and cut != "space":
        share, span_BT = _span(share, rng.random(batch), both_BT, whole=cut == "time")

    mixed: dict[str, Tensor] = {}
    seen_BT = torch.from_numpy(share).to(mask_BT.device)[:, None].expand(mask_BT.shape)
    for name, x_BTCHW in inputs.items():
        between = slice(mask_BT.shape[1] - x_BTCHW.shape[1], None)  # flow and differences lie between frames
        weight = seen_BT[:, between, None, None, None]
        if cuts:
            own_BHW = _outside(share, corner, *x_BTCHW.shape[-2:], device=x_BTCHW.device)
            own_BTHW = torch.where(span_BT[:, between, None, None], own_BHW[:, None], 1.0)
            seen_BT = torch.where(span_BT, own_BHW.mean(dim=(1, 2))[:, None], 1.0)
            weight = own_BTHW[:, :, None]
        mixed[name] = _mixed(
            x_BTCHW, x_BTCHW[partner], weight, mask_BT[:, between], mask_BT[partner][:, between]
        )
    each_BT = torch.where(both_BT, seen_BT, mask_BT.to(seen_BT.dtype))
    own_B = (each_BT * either_BT).sum(1) / either_BT.sum(1).clamp(min=1)
    own_B1 = own_B[:, None].to(soft_BK.dtype)
    return mixed, either_BT, own_B1 * soft_BK + (1 - own_B1) * soft_BK[partner]


def _span(
    share: np.ndarray, corner: np.ndarray, both_BT: Tensor, *, whole: bool
) -> tuple[np.ndarray, Tensor]:
    """Which frames are cut, neighbours among those that are real in both clips (which come first), and the share of
    each of them that stays: nothing of `whole` frames, else what makes a cuboid of equal shares of its sides."""
    length = both_BT.sum(1).cpu().numpy()
    part = (1 - share) if whole else np.cbrt(1 - share)
    count = np.round(length * part).astype(int)
    first = (corner * (length - count + 1)).astype(int)
    place = np.arange(both_BT.shape[1])
    span = (place >= first[:, None]) & (place < (first + count)[:, None])
    stays = np.zeros_like(share) if whole else 1 - part**2
    return stays.astype(np.float32), torch.from_numpy(span).to(both_BT.device)


def _mixed(x: Tensor, other: Tensor, weight: Tensor, real_BT: Tensor, other_BT: Tensor) -> Tensor:
    """`weight` of x and the rest of the other where both are real; else the one that is real."""
    blend = torch.lerp(other.to(torch.float32), x.to(torch.float32), weight)
    if not x.is_floating_point():
        blend = blend.round_().clamp_(0, 255)
    shape = (*real_BT.shape, 1, 1, 1)
    alone = torch.where(real_BT.view(shape), x, other)
    return torch.where((real_BT & other_BT).view(shape), blend.to(x.dtype), alone)


def _outside(
    share: np.ndarray, corner: np.ndarray, height: int, width: int, *, device: torch.device
) -> Tensor:
    """1 outside and 0 inside each clip's rectangle `(B, H, W)`, of which `share` is outside, to whole pixels.

    The rectangle has the picture's shape and lies wholly inside it, anywhere."""
    own = np.ones((len(share), height, width), dtype=np.float32)
    for b, side in enumerate(np.sqrt(1 - share)):
        h, w = round(height * float(side)), round(width * float(side))
        top, left = int(corner[0, b] * (height - h + 1)), int(corner[1, b] * (width - w + 1))
        own[b, top : top + h, left : left + w] = 0
    return torch.from_numpy(own).to(device)
