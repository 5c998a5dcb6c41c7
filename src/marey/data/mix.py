"""MixUp and CutMix on batches of clips.

MixUp: Zhang et al. 2018, arXiv 1710.09412. CutMix: Yun et al. 2019, arXiv 1905.04899; here the rectangle is the
same in all frames (a tube), so that motion inside it stays motion.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def mix_batch(
    inputs: dict[str, Tensor],
    mask_BT: Tensor,
    target: Tensor,
    *,
    num_classes: int,
    mixup: float = 0.0,
    cutmix: float = 0.0,
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
    cut = cutmix > 0 and (mixup <= 0 or rng.random() < 0.5)
    alpha = cutmix if cut else mixup
    share = rng.beta(alpha, alpha, size=batch).astype(np.float32)
    partner = torch.from_numpy((np.arange(batch) + int(rng.integers(1, batch))) % batch).to(mask_BT.device)
    corner = rng.random((2, batch)).astype(np.float32)

    mixed: dict[str, Tensor] = {}
    seen_B = torch.from_numpy(share).to(mask_BT.device)
    for name, x_BTCHW in inputs.items():
        if cut:
            own_BHW, seen_B = _outside(share, corner, *x_BTCHW.shape[-2:], device=x_BTCHW.device)
            weight = own_BHW[:, None, None]
        else:
            weight = seen_B[:, None, None, None, None]
        real = mask_BT if x_BTCHW.shape[1] == mask_BT.shape[1] else mask_BT[:, 1:]
        mixed[name] = _mixed(x_BTCHW, x_BTCHW[partner], weight, real, real[partner])
    other_BT = mask_BT[partner]
    either_BT = mask_BT | other_BT
    each_BT = torch.where(mask_BT & other_BT, seen_B[:, None], mask_BT.to(seen_B.dtype))
    own_B = (each_BT * either_BT).sum(1) / either_BT.sum(1).clamp(min=1)
    own_B1 = own_B[:, None].to(soft_BK.dtype)
    return mixed, either_BT, own_B1 * soft_BK + (1 - own_B1) * soft_BK[partner]


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
) -> tuple[Tensor, Tensor]:
    """1 outside and 0 inside each clip's rectangle `(B, H, W)`, and the share outside it in whole pixels `(B,)`.

    The rectangle has the picture's shape and lies wholly inside it, anywhere."""
    own = np.ones((len(share), height, width), dtype=np.float32)
    for b, side in enumerate(np.sqrt(1 - share)):
        h, w = round(height * float(side)), round(width * float(side))
        top, left = int(corner[0, b] * (height - h + 1)), int(corner[1, b] * (width - w + 1))
        own[b, top : top + h, left : left + w] = 0
    tensor = torch.from_numpy(own).to(device)
    return tensor, tensor.mean(dim=(1, 2))
