"""Fitting the fusion of two trained branches, which stay as they are: a convex problem, solved to its end."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_STEPS = 100


def fit_fusion(fusion: nn.Module, x: Tensor, target: Tensor, *, decay: float = 1e-2) -> tuple[float, float]:
    """Minimise the cross-entropy of `fusion(x)` by L-BFGS, in place.

    With `decay`, half the squared distance to where the weights began counts too: where branches fit their training
    samples perfectly nothing else would keep the weights finite, and the beginning is the plain average.

    Args:
        fusion: a linear layer over features `(N, D)`, or weights over logits `(M, N, K)`.
        x: what it takes, of the training samples.
        target: long `(N,)`, or float `(N, K)` of 0 and 1 for several labels.
        decay: weight of the distance.

    Returns:
        The loss before and after, without the distance.
    """
    parameters = list(fusion.parameters())
    began = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.LBFGS(parameters, max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        logits = fusion(x)
        if target.is_floating_point():
            return F.binary_cross_entropy_with_logits(logits, target)
        return F.cross_entropy(logits, target)

    def closure() -> Tensor:
        optimizer.zero_grad()
        near = sum(((p - b) ** 2).sum() for p, b in zip(parameters, began, strict=True))
        whole: Tensor = loss() + 0.5 * decay * near
        whole.backward()
        return whole

    with torch.no_grad():
        before = float(loss())
    optimizer.step(closure)
    with torch.no_grad():
        return before, float(loss())
