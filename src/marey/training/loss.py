"""The loss of a batch: hard and soft targets, one label or several."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def clip_loss(
    logits: Tensor,
    target: Tensor,
    *,
    multi_label: bool,
    smoothing: float = 0.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Cross-entropy for one label a clip, binary cross-entropy for several.

    Args:
        logits: `(B, K)`.
        target: int `(B,)`, or float `(B, K)`: mixed clips (rows sum to 1) or independent labels.
        multi_label: independent labels.
        smoothing: share of the target that is spread over all classes (towards 0.5 where independent).
        weight: `(K,)`, a class's weight.
    """
    if multi_label:
        soft = target.to(logits.dtype) * (1 - smoothing) + 0.5 * smoothing
        return F.binary_cross_entropy_with_logits(logits, soft, pos_weight=weight)
    return F.cross_entropy(logits, target, weight=weight, label_smoothing=smoothing)
