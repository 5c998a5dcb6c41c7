"""What each branch of a two-stream model says by itself, in the same pass as the whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from marey.predict.predictor import Predictor
from marey.predict.runtime import TorchRuntime


def branch_names(predictor: Predictor) -> tuple[str, ...]:
    """The branches of a model that has more than one, else ()."""
    runtime = predictor.runtime
    if not isinstance(runtime, TorchRuntime) or not hasattr(runtime.model, "all_logits"):
        return ()
    return predictor.spec.modalities if len(predictor.spec.modalities) > 1 else ()


def side_by_side(predictor: Predictor, *, features: bool = False) -> Predictor:
    """A predictor whose rows hold the logits of the whole, then of each branch: `(N, 3·K)`; or, with `features`,
    what the branches hand to a fusion by concatenation: `(N, D)`."""
    from torch import Tensor, cat, nn

    assert isinstance(predictor.runtime, TorchRuntime)
    model: Any = predictor.runtime.model

    class SideBySide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, **inputs: Tensor) -> Tensor:
            if features:
                found: Tensor = model.pooled_features(**inputs)
                return found
            return cat(list(model.all_logits(**inputs).values()), dim=1)

    runtime = predictor.runtime
    columns = (
        model.pooled_width if features else len(predictor.class_names) * (1 + len(predictor.spec.modalities))
    )
    wide = TorchRuntime(SideBySide(), device=runtime.device, autocast=runtime.autocast)  # type: ignore[arg-type]
    return replace(predictor, runtime=wide, class_names=tuple(map(str, range(columns))))
