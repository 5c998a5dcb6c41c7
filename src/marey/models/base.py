"""What every model is: keyword inputs named after modalities, normalising inside, a mask, a spec.

Shape suffixes: B clips, T frames, T' positions in time that the network keeps, C channels, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from marey.errors import UsageError
from marey.models.depth import Stages, stages
from marey.models.masked import Mask, check_mask, zero_padding
from marey.spec import InputSpec

CHANNELS = {"rgb": 3, "flow": 2, "diff": 3}


class VideoModel(nn.Module):
    """Base of all models.

    A family writes `_features` (and `classify`, or `_logits` where logits do not come from features).

    Attributes:
        spec: the `InputSpec`; assigning a new one changes the normalising with it.
        num_classes: K.
        name, kwargs: what `create_model` needs to build this model again (without its weights).
        load_report: what pretrained weights were loaded, or None (`marey.models.fit.LoadReport`).
        frozen_batch_norm: whether batch norm is held still (see `set_frozen_batch_norm`).
        held_stages: how many of the first stages are held still (see `depth.hold_stages`).
        head_prefixes: names of the sub-modules that make up the head; the rest is the backbone.
        backbone_prefixes: names of sub-modules that are image backbones with a state dict of their own.
        sees_single_frames: whether its features of a frame depend on that frame alone.
        traces_any_length: whether one traced graph serves clips of any length; else its graph has one length, up to
            which shorter clips are padded.
    """

    head_prefixes: tuple[str, ...] = ("head",)
    backbone_prefixes: tuple[str, ...] = ()
    sees_single_frames = False
    traces_any_length = True
    mean: Tensor
    std: Tensor

    def __init__(self, *, num_classes: int, spec: InputSpec) -> None:
        super().__init__()
        if num_classes < 1:
            raise UsageError(f"num_classes must be at least 1, got {num_classes}.")
        self.num_classes = num_classes
        self.name = type(self).__name__
        self.kwargs: dict[str, Any] = {}
        self.load_report: object | None = None
        self.frozen_batch_norm = False
        self.held_stages = 0
        # Not in the state dict: the spec says them, and other people's state dicts must load as they are.
        self.register_buffer("mean", torch.empty(0), persistent=False)
        self.register_buffer("std", torch.empty(0), persistent=False)
        self.spec = spec

    # --- the input -------------------------------------------------------------------------------------

    @property
    def spec(self) -> InputSpec:
        return self._spec

    @spec.setter
    def spec(self, spec: InputSpec) -> None:
        self._take_spec(spec)

    def _take_spec(self, spec: InputSpec) -> None:
        """What a new specification changes; a family may refuse one, or hand it on to its parts."""
        self._spec = spec
        self.mean = torch.tensor(spec.mean, device=self.mean.device, dtype=self.mean.dtype)
        self.std = torch.tensor(spec.std, device=self.std.device, dtype=self.std.dtype)

    def normalise(self, modality: str, x_BTCHW: Tensor) -> Tensor:
        """uint8 to the network's scale; floating point is taken as normalised already.

        `rgb` uses the spec's mean and std. In 8-bit `flow` 128 is no motion, 1 and 255 are ∓20 px; `diff` has
        ±255 levels stretched over 0…255; both go to −1…1.
        """
        if x_BTCHW.is_floating_point():
            return x_BTCHW
        if x_BTCHW.dtype != torch.uint8:
            raise UsageError(f"{modality} must be uint8 or floating point, got {x_BTCHW.dtype}.")
        x_BTCHW = x_BTCHW.to(self.mean.dtype)
        if modality == "flow":
            return (x_BTCHW - 128) / 127
        x_BTCHW = x_BTCHW / 255.0
        if modality == "rgb":
            return (x_BTCHW - self.mean.view(1, 1, -1, 1, 1)) / self.std.view(1, 1, -1, 1, 1)
        return (x_BTCHW - 0.5) / 0.5

    def _prepare(self, given: dict[str, Tensor | None], mask_BT: Mask) -> tuple[dict[str, Tensor], Mask]:
        wanted = self.spec.modalities
        inputs = {name: x for name, x in given.items() if x is not None}
        if set(inputs) != set(wanted):
            raise UsageError(
                f"{self.name} takes {' and '.join(wanted)}, got {' and '.join(inputs) or 'nothing'}.",
                f"call it as model({', '.join(f'{m}=…' for m in wanted)}, mask=…)",
            )
        for name, x in inputs.items():
            if x.ndim != 5 or x.shape[2] != CHANNELS[name]:
                raise UsageError(
                    f"{name} must have the shape (B, T, {CHANNELS[name]}, H, W), got {tuple(x.shape)}."
                )
        lead = inputs[wanted[0]]
        batch, frames = lead.shape[:2]
        if mask_BT is not None:
            # A field of flow is real where the later of its two frames is.
            if wanted[0] != "rgb" and mask_BT.ndim == 2 and mask_BT.shape[1] == frames + 1:
                mask_BT = mask_BT[:, 1:]
            mask_BT = check_mask(mask_BT, batch, frames)
        spec = self.spec
        if spec.min_frames > 1 or spec.frames_multiple > 1 or spec.fixed_frames:
            short = spec.padded_frames(frames) - frames
            if short < 0:
                raise UsageError(f"{self.name} takes {spec.frames} frames, got {frames}.")
            if short:
                if mask_BT is None:
                    mask_BT = torch.ones(batch, frames, dtype=torch.bool, device=lead.device)
                mask_BT = F.pad(mask_BT, (0, short))
                inputs = {name: F.pad(x, (0, 0, 0, 0, 0, 0, 0, short)) for name, x in inputs.items()}
        # What stands in the padding is gone from here on: nothing that it holds can be seen or overflow.
        return {
            name: zero_padding(self.normalise(name, x), _own_mask(x, mask_BT)) for name, x in inputs.items()
        }, mask_BT

    # --- the two things that a model gives ---------------------------------------------------------------

    def forward(
        self,
        *,
        rgb: Tensor | None = None,
        flow: Tensor | None = None,
        diff: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Logits `(B, K)`.

        Args:
            rgb, flow, diff: `(B, T, C, H, W)`, C = 3, 2, 3; the ones that `spec.modalities` names. uint8 is
                normalised here; floating point is taken as normalised.
            mask: bool `(B, T)`, True where the frame is real, real frames first. None: all real.

        Raises:
            UsageError: a modality that is missing or not wanted, a wrong shape or type, an impossible mask.
        """
        return self._logits(*self._prepare({"rgb": rgb, "flow": flow, "diff": diff}, mask))

    def features(
        self,
        *,
        rgb: Tensor | None = None,
        flow: Tensor | None = None,
        diff: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Features over time `(B, T', D)`, zero where a position is padding. Arguments as in `forward`."""
        return self.features_and_mask(rgb=rgb, flow=flow, diff=diff, mask=mask)[0]

    def features_and_mask(
        self,
        *,
        rgb: Tensor | None = None,
        flow: Tensor | None = None,
        diff: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`features` and the mask `(B, T')` of its positions."""
        x_BTD, mask_BT = self._features(*self._prepare({"rgb": rgb, "flow": flow, "diff": diff}, mask))
        if mask_BT is None:
            return x_BTD, torch.ones(x_BTD.shape[:2], dtype=torch.bool, device=x_BTD.device)
        return zero_padding(x_BTD, mask_BT), mask_BT

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        """Normalised inputs to features `(B, T', D)` and their mask."""
        raise NotImplementedError

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        """Features over time to logits `(B, K)`."""
        raise NotImplementedError

    def _logits(self, inputs: dict[str, Tensor], mask_BT: Mask) -> Tensor:
        return self.classify(*self._features(inputs, mask_BT))

    # --- other people's weights ----------------------------------------------------------------------------

    def convert_state_dict(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A public checkpoint's names and shapes to this model's; what is not known stays as it is."""
        return state

    # --- training -------------------------------------------------------------------------------------------

    def _is_head(self, name: str) -> bool:
        return any(name == prefix or name.startswith(f"{prefix}.") for prefix in self.head_prefixes)

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that pretrained weights leave at random."""
        return (p for name, p in self.named_parameters() if self._is_head(name))

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """All other parameters, without those of frozen batch norm: they are not to be trained."""
        held = {id(p) for m in self._frozen_norms() for p in m.parameters()}
        return (p for name, p in self.named_parameters() if not self._is_head(name) and id(p) not in held)

    def stage_prefixes(self) -> Stages:
        """Prefixes of parameter names by depth, the stem first (`depth.stages`). Here: every sub-module and
        parameter of the backbone in the order in which the family made them."""
        own = dict.fromkeys(name.partition(".")[0] for name, _ in self.named_parameters())
        return [(name,) for name in own]

    def _frozen_norms(self) -> Iterator[_BatchNorm]:
        if self.frozen_batch_norm:
            yield from (
                m for name, m in self.named_modules() if isinstance(m, _BatchNorm) and not self._is_head(name)
            )

    def train(self, mode: bool = True) -> VideoModel:
        """As in `nn.Module`; frozen batch norm, and that of stages that are held, stays in eval mode."""
        super().train(mode)
        for norm in self._frozen_norms():
            norm.eval()
        if self.held_stages:
            held = {name for names in stages(self)[: self.held_stages] for name in names}
            for name, module in self.named_modules():
                if isinstance(module, _BatchNorm) and f"{name}.weight" in held:
                    module.eval()
        return self

    def extra_repr(self) -> str:
        return f"{self.name}, num_classes={self.num_classes}, {'+'.join(self.spec.modalities)}"


def _own_mask(x_BTCHW: Tensor, mask_BT: Mask) -> Mask:
    """The clip's mask for one of its inputs: a field of flow lies between two frames, so it has one fewer."""
    short = mask_BT is not None and mask_BT.shape[1] == x_BTCHW.shape[1] + 1
    return mask_BT[:, 1:] if mask_BT is not None and short else mask_BT


def set_frozen_batch_norm(model: VideoModel, frozen: bool = True) -> None:
    """Hold the backbone's batch norm still: eval mode, whatever `model.train()` says, and no gradient.

    Needed where batches are too small for statistics, and where a checkpoint has batch norm folded into its
    scale and shift: one step in train mode destroys such a network.
    """
    model.frozen_batch_norm = True  # so that the norms are listed below in either direction
    for norm in model._frozen_norms():
        for parameter in norm.parameters():
            parameter.requires_grad_(not frozen)
    model.frozen_batch_norm = frozen
    model.train(model.training)


def input_spec(
    *,
    frames: int,
    size: int | tuple[int, int] | list[int],
    modalities: tuple[str, ...] = ("rgb",),
    sampler: dict[str, Any] | None = None,
    **rest: Any,
) -> InputSpec:
    """A family's spec: `frames` uniform frames of `size` pixels (one number: square), cut from frames whose
    short side is 8/7 of it (112 from 128, 224 from 256), the field's custom."""
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    return InputSpec(
        modalities=modalities,
        sampler=sampler or {"name": "uniform", "n": frames},
        frames=frames,
        size=(height, width),
        resize=round(min(height, width) * 8 / 7),
        **rest,
    )


def example_inputs(
    spec: InputSpec,
    *,
    batch: int = 1,
    frames: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Zeros of the shapes that a model with this spec takes: for counting, warming up and exporting.

    `frames` frames (the spec's by default); beside RGB, and between runs of neighbouring frames, flow has one
    field fewer, else as many.
    """
    frames = frames or spec.frames
    fields = frames - 1 if "rgb" in spec.modalities or spec.snippet else frames
    times = {"rgb": frames, "flow": fields, "diff": fields}
    return {
        m: torch.zeros(batch, times[m], CHANNELS[m], *spec.size, device=device, dtype=dtype)
        for m in spec.modalities
    }
