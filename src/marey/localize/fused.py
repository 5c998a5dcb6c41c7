"""Two localizers that answer as one: of pictures and of optical flow, say, each on the features of its own network.

Late fusion as in TAL-Net (Chao et al., https://arxiv.org/abs/1804.07667): what they say of each point or anchor is
averaged, class scores before the sigmoid and ends alike, and suppression sees the averages alone.
"""

from __future__ import annotations

from torch import Tensor, nn

from marey.errors import UsageError
from marey.localize.anchors import AnchorLocalizer
from marey.localize.pyramid import Localizer
from marey.localize.targets import Points


class FusedLocalizer(nn.Module):
    """The mean of two localizers of one form.

    Args:
        one, two: with the same classes, and the same points or anchors.

    Raises:
        UsageError: they do not say the same of the same points.
    """

    def __init__(self, one: Localizer | AnchorLocalizer, two: Localizer | AnchorLocalizer) -> None:
        super().__init__()
        forms = [_form(model) for model in (one, two)]
        if forms[0] != forms[1]:
            raise UsageError(
                "two localizers are fused point by point, and these have different points.",
                *(f"{name}: {form}" for name, form in zip(("one", "the other"), forms, strict=True)),
                "train both with the same head, and with the same --levels or --anchor-scales",
            )
        self.one, self.two = one, two
        self.num_classes, self.features = one.num_classes, one.features + two.features

    def forward(self, features_BTD: Tensor, mask_BT: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """As a localizer's; `features_BTD` holds the numbers of `one`, then those of `two`."""
        if features_BTD.shape[-1] != self.features:
            raise UsageError(
                f"features must have the shape (B, T, {self.features}), got {tuple(features_BTD.shape)}."
            )
        width = self.one.features
        logits, offsets, real = self.one(features_BTD[..., :width], mask_BT)
        more_logits, more_offsets, _ = self.two(features_BTD[..., width:], mask_BT)
        return (logits + more_logits) / 2, (offsets + more_offsets) / 2, real

    def points(self, positions: int) -> Points:
        """Where the points of a grid of so many positions stand."""
        return self.one.points(positions)


def _form(model: Localizer | AnchorLocalizer) -> str:
    if isinstance(model, AnchorLocalizer):
        return f"{model.num_classes} classes, anchors of {', '.join(f'{s:.4g}' for s in model.scales)} steps"
    ranges = ", ".join(f"{low:g} to {high:g}" for low, high in model.ranges)
    return f"{model.num_classes} classes, levels for {ranges} steps"
