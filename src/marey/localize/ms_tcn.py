"""Dense labelling: a label for every position, refined from stage to stage.

    features ─ prediction stage: dual dilated layers ─ logits ─ softmax ─ refinement stages ─ logits

Li, AbuFarha, Liu, Cheng and Gall, "MS-TCN++: Multi-Stage Temporal Convolutional Network for Action Segmentation"
(https://arxiv.org/abs/2006.09220). A layer of the first stage looks near and far at once: one convolution with
dilation 2^l and one with 2^(L−1−l). The loss of every stage is cross-entropy plus λ times the truncated squared
change of log-probabilities from position to position (Farha and Gall, https://arxiv.org/abs/1903.01945).

Shape suffixes: B videos, T positions, D features, C channels, K classes, S stages.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from marey.errors import UsageError
from marey.localize.layers import Conv
from marey.models.masked import Mask, check_mask, zero_padding


class DualDilated(nn.Module):
    """Near and far at once: two dilated convolutions, their sum's ReLU fused by a 1-convolution, and a residual."""

    def __init__(self, channels: int, near: int, far: int, dropout: float) -> None:
        super().__init__()
        self.near, self.far = (
            Conv(channels, channels, 3, dilation=near),
            Conv(channels, channels, 3, dilation=far),
        )
        self.fuse = Conv(2 * channels, channels)
        self.dropout = dropout

    def forward(self, x_BCT: Tensor, mask: Mask) -> Tensor:
        both = torch.cat([self.near(x_BCT, mask)[0], self.far(x_BCT, mask)[0]], dim=1)
        y = F.dropout(F.relu(self.fuse(both, mask)[0]), self.dropout, self.training)
        return x_BCT + zero_padding(y, mask, dim=2)


class Dilated(nn.Module):
    """A dilated convolution, ReLU, a 1-convolution, and a residual."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.wide, self.fuse = Conv(channels, channels, 3, dilation=dilation), Conv(channels, channels)
        self.dropout = dropout

    def forward(self, x_BCT: Tensor, mask: Mask) -> Tensor:
        y = self.fuse(F.relu(self.wide(x_BCT, mask)[0]), mask)[0]
        return x_BCT + F.dropout(y, self.dropout, self.training)


class Stage(nn.Module):
    """In by a 1-convolution, through the layers, out by another to logits."""

    def __init__(self, inputs: int, channels: int, num_classes: int, layers: list[nn.Module]) -> None:
        super().__init__()
        self.enter, self.leave = Conv(inputs, channels), Conv(channels, num_classes)
        self.layers = nn.ModuleList(layers)

    def forward(self, x_BCT: Tensor, mask: Mask) -> Tensor:
        x_BCT = self.enter(x_BCT, mask)[0]
        for layer in self.layers:
            x_BCT = layer(x_BCT, mask)
        return self.leave(x_BCT, mask)[0]


class MSTCN(nn.Module):
    """Features on a grid to a label at every position.

    Args:
        num_classes: K, background included where there is any.
        features: D.
        channels: C, inside.
        layers, refine_layers: of the first and of each further stage; the longest dilation is 2^(layers − 1).
        refinements: further stages; each reads the probabilities of the one before.
        dropout: in the layers, in training.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        features: int,
        channels: int = 64,
        layers: int = 11,
        refine_layers: int = 10,
        refinements: int = 3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.num_classes, self.features = num_classes, features
        first: list[nn.Module] = [
            DualDilated(channels, 2**i, 2 ** (layers - 1 - i), dropout) for i in range(layers)
        ]
        self.stages = nn.ModuleList([Stage(features, channels, num_classes, first)])
        for _ in range(refinements):
            more: list[nn.Module] = [Dilated(channels, 2**i, dropout) for i in range(refine_layers)]
            self.stages.append(Stage(num_classes, channels, num_classes, more))

    def forward(self, features_BTD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Logits of every stage `(S, B, T, K)`, the last being the answer; zeros where a position is padding."""
        if features_BTD.ndim != 3 or features_BTD.shape[2] != self.features:
            raise UsageError(
                f"features must have the shape (B, T, {self.features}), got {tuple(features_BTD.shape)}."
            )
        mask = None if mask_BT is None else check_mask(mask_BT, *features_BTD.shape[:2])
        x_BCT = features_BTD.transpose(1, 2)
        found = []
        for stage in self.stages:
            logits_BKT = stage(x_BCT, mask)
            found.append(logits_BKT.transpose(1, 2))
            x_BCT = zero_padding(logits_BKT.softmax(dim=1), mask, dim=2)
        return torch.stack(found)


def dense_loss(
    logits_SBTK: Tensor,
    target_BT: Tensor,
    mask_BT: Mask = None,
    *,
    smoothing: float = 0.15,
    bound: float = 4.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Sum over stages of cross-entropy and smoothing, each a mean over the real positions: a number.

    Args:
        target_BT: int64, −100 where nothing is known of a position.
        smoothing: λ, what a change of log-probability weighs.
        bound: τ; larger changes count as this much.
        weight: float `(K,)`, of each class in the cross-entropy.
    """
    if mask_BT is not None:
        target_BT = target_BT.masked_fill(~mask_BT, -100)
    labelled = target_BT[target_BT >= 0]
    known = (
        len(labelled) if weight is None else weight[labelled].sum()
    ) or 1  # nothing known teaches nothing
    total = logits_SBTK.new_zeros(())
    for logits_BTK in logits_SBTK:
        cross = F.cross_entropy(logits_BTK.flatten(0, 1), target_BT.flatten(), weight=weight, reduction="sum")
        total = total + cross / known
        if logits_BTK.shape[1] < 2:
            continue
        logp = F.log_softmax(logits_BTK, dim=-1)
        change = (logp[:, 1:] - logp[:, :-1].detach()).abs().clamp(max=bound).square()
        if mask_BT is not None:
            change = change * mask_BT[:, 1:, None]
            count = mask_BT[:, 1:].sum().clamp(min=1) * change.shape[-1]
        else:
            count = torch.tensor(change.numel(), device=change.device)
        total = total + smoothing * change.sum() / count
    return total
