"""Two-stream networks: one branch sees what things look like, the other how they move.

    frames ─────────────────── image network on each ──── mean over time ─┐
                                                                          ├─ fusion ─ logits
    flow ─ stacks of L fields ─ image network on each ─── mean over time ─┘

Simonyan and Zisserman, "Two-Stream Convolutional Networks for Action Recognition in Videos"
(https://arxiv.org/abs/1406.2199), with any timm backbone for either branch. The temporal network's first
filters, 2·L channels wide, start as the mean over colour of the spatial ones (Wang et al.,
https://arxiv.org/abs/1507.02159), scaled so that their sum over channels stays what it was. With
`network="i3d"` both branches are I3D (https://arxiv.org/abs/1705.07750).

`branch="rgb"` or "flow" makes a model of that branch alone, to be trained by itself; `fuse` joins two such.
A clip of T frames has T − 1 fields of flow between them; its mask is that of the frames. Where the sampler gives
runs of L + 1 neighbouring frames (`snippets`), each run is one stack, and the spatial branch sees its first frame.

Shape suffixes: B clips, T frames or fields, S stacks, C channels, H × W pixels, D features, K classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from marey.errors import ConfigError, UsageError
from marey.models.backbone import backbone_width, each_frame, make_backbone, rename_classifier
from marey.models.base import VideoModel, input_spec
from marey.models.depth import Stages, from_the_end, image_stages, stages
from marey.models.frame_average import FrameAverage
from marey.models.i3d import I3D, MIXED, TINY
from marey.models.masked import Mask, larger, lengths, masked_mean, prefix_mask, smaller, zero_padding
from marey.models.registry import create_model, register_model
from marey.spec import InputSpec

PAPER = "https://arxiv.org/abs/1406.2199"
I3D_PAPER = "https://arxiv.org/abs/1705.07750"
BRANCHES = {"rgb": ("rgb",), "flow": ("flow",), "both": ("rgb", "flow")}
FUSIONS = ("average", "weighted", "concat")
NETWORKS = ("frames", "i3d")


class FlowStacks(VideoModel):
    """The temporal branch: an image network on stacks of L consecutive fields of flow.

    Args:
        num_classes: K.
        backbone: timm's name of the image network.
        stack: L, fields in a stack.
        stride: fields from the start of one stack to the start of the next; with a sampler of snippets, each
            snippet is a stack.
        frames, size, dropout, backbone_kwargs: as in `FrameAverage`.
    """

    head_prefixes = ("head",)
    backbone_prefixes = ("backbone",)

    def __init__(
        self,
        *,
        num_classes: int,
        backbone: str = "mobilenetv3_small_100",
        stack: int = 10,
        stride: int = 5,
        frames: int = 16,
        size: int | tuple[int, int] | list[int] = 224,
        dropout: float = 0.2,
        backbone_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            num_classes=num_classes, spec=input_spec(frames=frames, size=size, modalities=("flow",))
        )
        if stack < 1 or stride < 1:
            raise ConfigError(f"stack {stack} and stride {stride} must be at least 1 field.")
        self.stack, self.stride = stack, stride
        self.backbone = make_backbone(
            backbone, size=size, keywords={**(backbone_kwargs or {}), "in_chans": 2 * stack}
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone_width(self.backbone), num_classes)

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        flow_BTCHW = zero_padding(inputs["flow"], mask_BT)  # no flow is no motion: the neutral filling
        fields = flow_BTCHW.shape[1]
        stacks, stride = self.stacks(fields), self.apart
        needed = (stacks - 1) * stride + self.stack
        flow_BTCHW = F.pad(flow_BTCHW, (0, 0, 0, 0, 0, 0, 0, larger(needed - fields, 0)))
        x = flow_BTCHW.unfold(1, self.stack, stride)[:, :stacks]
        x = rearrange(x, "b s c h w l -> b s (l c) h w")
        mask_BS = None
        if mask_BT is not None:
            real_B = lengths(mask_BT)
            over_B = (real_B - self.stack).clamp(min=0)
            count_B = torch.div(over_B + stride - 1, stride, rounding_mode="floor") + 1
            begun_B = torch.div(real_B + stride - 1, stride, rounding_mode="floor").clamp(min=1)
            mask_BS = prefix_mask(torch.minimum(count_B, begun_B), stacks)
        return each_frame(self.backbone, x, mask_BS), mask_BS

    @property
    def apart(self) -> int:
        """Fields from one stack to the next: `stride`, or from one snippet to the next."""
        return self.spec.snippet or self.stride

    def stacks(self, fields: int) -> int:
        """How many stacks a clip of so many fields gives: as many as it takes to see all fields, none of which
        would hold none (between snippets lies one that no stack sees). The last is filled up with no motion."""
        apart = self.apart
        seen = (larger(fields - self.stack, 0) + apart - 1) // apart + 1
        begun = larger((fields + apart - 1) // apart, 1)
        return smaller(seen, begun)

    def classify(self, x_BTD: Tensor, mask_BT: Mask) -> Tensor:
        return masked_mean(self.head(self.dropout(x_BTD)), mask_BT)

    def stage_prefixes(self) -> Stages:
        return image_stages(self.backbone, "backbone")

    def convert_state_dict(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        named = rename_classifier(state, self.backbone, to="head")
        own = self.state_dict()
        return {
            key: from_rgb(value, own[key].shape[1])
            if key in own and value.ndim == 4 and value.shape[1] == 3 and own[key].shape[1] == 2 * self.stack
            else value
            for key, value in named.items()
        }


def from_rgb(filters: Tensor, channels: int) -> Tensor:
    """First filters for RGB as filters for `channels` of flow: their mean over colour, sum kept."""
    return filters.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1) * filters.shape[1] / channels


class TwoStream(VideoModel):
    """A spatial and a temporal branch, or one of them.

    Args:
        num_classes: K.
        network: "frames", image networks by timm, or "i3d".
        branch: "both", or "rgb" or "flow" alone.
        fusion: "average" of the branches' logits, "weighted" with learned weights, or "concat" of their
            features under one linear layer, which takes the place of the branches' own.
        backbone, flow_backbone: timm's names; the temporal one is the spatial one's unless said.
        snippets: of `network="frames"`: in how many places of a video a stack lies.
        stack, stack_stride: as in `FlowStacks`.
        width, blocks, time_strides: as in `I3D`; for `network="i3d"` only.
        frames: of the default input: that many frames spread over the video, and the flow between them. None:
            `snippets` runs of `stack` + 1 neighbouring frames, of which the spatial branch sees the first.
        size: of the default input.
        dropout: share of features dropped before a branch's logits, in training.
        backbone_kwargs: further keywords of timm's constructor, for both branches.
    """

    head_prefixes = ("spatial.head", "temporal.head", "spatial.logits", "temporal.logits", "fusion")
    backbone_prefixes = ("spatial.backbone", "temporal.backbone")

    def __init__(
        self,
        *,
        num_classes: int,
        network: str = "frames",
        branch: str = "both",
        fusion: str = "average",
        backbone: str = "mobilenetv3_small_100",
        flow_backbone: str | None = None,
        snippets: int = 3,
        stack: int = 10,
        stack_stride: int = 5,
        width: float = 1.0,
        blocks: tuple[str, ...] | list[str] = tuple(MIXED),
        time_strides: tuple[int, ...] | list[int] = (2, 2, 2),
        frames: int | None = None,
        size: int | tuple[int, int] | list[int] = 224,
        dropout: float = 0.2,
        backbone_kwargs: dict[str, Any] | None = None,
    ) -> None:
        for what, value, known in (
            ("network", network, NETWORKS), ("branch", branch, BRANCHES), ("fusion", fusion, FUSIONS)
        ):  # fmt: skip
            if value not in known:
                raise ConfigError(f"{what} {value!r} is not from {', '.join(known)}.")
        sampler = None
        if frames is None and network == "frames":
            frames = snippets * (stack + 1)
            sampler = {"name": "snippets", "n": snippets, "fields": stack, "stride": 1}
        frames = frames or 16
        common: dict[str, Any] = {
            "num_classes": num_classes,
            "frames": frames,
            "size": size,
            "dropout": dropout,
        }
        images = {**common, "backbone_kwargs": backbone_kwargs}
        inflated = {**common, "width": width, "blocks": blocks, "time_strides": time_strides}
        spatial: VideoModel | None = None
        temporal: VideoModel | None = None
        if branch != "flow":
            spatial = FrameAverage(backbone=backbone, **images) if network == "frames" else I3D(**inflated)
        if branch != "rgb":
            temporal = (
                FlowStacks(backbone=flow_backbone or backbone, stack=stack, stride=stack_stride, **images)
                if network == "frames"
                else I3D(modality="flow", **inflated)
            )
        colours: dict[str, Any] = {"mean": spatial.spec.mean, "std": spatial.spec.std} if spatial else {}
        spec = input_spec(frames=frames, size=size, modalities=BRANCHES[branch], sampler=sampler, **colours)
        super().__init__(num_classes=num_classes, spec=spec)
        self.fusion_kind = fusion if branch == "both" else ""
        self.spatial, self.temporal = spatial, temporal
        self.spec = spec  # once more, now that there are branches to tell
        self.fusion: nn.Module | None = None
        if self.fusion_kind == "weighted":
            self.fusion = BranchWeights()
        elif self.fusion_kind == "concat":
            assert spatial is not None
            assert temporal is not None
            widths = [_head(b).shape[1] for b in (spatial, temporal)]
            self.fusion = nn.Linear(sum(widths), num_classes)
            self.split = widths
            for branch_model in (spatial, temporal):
                setattr(branch_model, branch_model.head_prefixes[0], nn.Identity())

    # --- the branches' inputs -------------------------------------------------------------------------------

    def _take_spec(self, spec: InputSpec) -> None:
        """The branches are told how clips are sampled: a stack is a snippet, where there are any.

        Raises:
            ConfigError: snippets that are no stacks of this network.
        """
        branches = [self._modules.get(name) for name in ("spatial", "temporal")]  # absent while we are built
        for branch in branches:
            if isinstance(branch, FlowStacks) and spec.snippet not in (None, branch.stack + 1):
                raise ConfigError(
                    f"the sampler gives snippets of {(spec.snippet or 0) - 1} fields, and this network takes "
                    f"stacks of {branch.stack}.",
                    f"give both the same: --sampler snippets:3,{branch.stack}, or --model-args stack=…",
                )
        super()._take_spec(spec)
        for branch in branches:
            if isinstance(branch, VideoModel):
                branch.spec = replace(branch.spec, sampler=spec.sampler)

    def _branch_features(
        self, inputs: dict[str, Tensor], mask_BT: Mask
    ) -> dict[str, tuple[VideoModel, Tensor, Mask]]:
        found: dict[str, tuple[VideoModel, Tensor, Mask]] = {}
        if self.spatial is not None:
            # with snippets and image networks: the frame that each stack of flow begins with
            every = (self.spec.snippet or 1) if isinstance(self.spatial, FrameAverage) else 1
            rgb, seen = inputs["rgb"][:, ::every], None if mask_BT is None else mask_BT[:, ::every]
            found["rgb"] = (self.spatial, *self.spatial._features({"rgb": rgb}, seen))
        if self.temporal is not None:
            flow, mask = inputs["flow"], mask_BT
            if self.spatial is not None:
                flow, mask = fields_between(inputs["rgb"], flow, mask_BT)
            found["flow"] = (self.temporal, *self.temporal._features({"flow": flow}, mask))
        return found

    def branch_logits(
        self, *, rgb: Tensor | None = None, flow: Tensor | None = None, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Each branch's own logits `(B, K)`, by its modality, whose mean is the "average" and the "concat"
        fusion (the one bias of "concat" stands in both). Arguments as in `forward`."""
        branches = self._branch_features(*self._prepare({"rgb": rgb, "flow": flow}, mask))
        if self.fusion_kind != "concat":
            return {m: b.classify(x, k) for m, (b, x, k) in branches.items()}
        assert isinstance(self.fusion, nn.Linear)
        parts = self.fusion.weight.split(self.split, dim=1)
        return {
            m: F.linear(masked_mean(x, k), 2 * part, self.fusion.bias)
            for part, (m, (_, x, k)) in zip(parts, branches.items(), strict=True)
        }

    def all_logits(
        self, *, rgb: Tensor | None = None, flow: Tensor | None = None, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The logits of the whole ("fusion", as `forward` gives them) and of each branch, in one pass."""
        own = self.branch_logits(rgb=rgb, flow=flow, mask=mask)
        both = torch.stack(list(own.values()))
        fused = self.fusion(both) if isinstance(self.fusion, BranchWeights) else both.mean(dim=0)
        return {"fusion": fused, **own}

    def pooled_features(
        self, *, rgb: Tensor | None = None, flow: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The branches' features, each its mean over time, side by side `(B, D)`: what "concat" classifies."""
        branches = self._branch_features(*self._prepare({"rgb": rgb, "flow": flow}, mask)).values()
        return torch.cat([masked_mean(x, k) for _, x, k in branches], dim=1)

    @property
    def pooled_width(self) -> int:
        """D of `pooled_features` of a model with the fusion "concat"."""
        return sum(self.split)

    # --- what the model gives -------------------------------------------------------------------------------

    def _logits(self, inputs: dict[str, Tensor], mask_BT: Mask) -> Tensor:
        branches = self._branch_features(inputs, mask_BT).values()
        if self.fusion_kind == "concat":
            assert self.fusion is not None
            return self.fusion(torch.cat([masked_mean(x, mask) for _, x, mask in branches], dim=1))
        logits_MBK = torch.stack([branch.classify(x, mask) for branch, x, mask in branches])
        return logits_MBK.mean(dim=0) if self.fusion is None else self.fusion(logits_MBK)

    def _features(self, inputs: dict[str, Tensor], mask_BT: Mask) -> tuple[Tensor, Mask]:
        """The branches side by side on the spatial branch's positions; each takes the nearest in share of
        the clip of the temporal one's."""
        branches = list(self._branch_features(inputs, mask_BT).values())
        _, x_BTD, mask = branches[0]
        if len(branches) == 1:
            return x_BTD, mask
        _, flow_BSD, flow_mask = branches[1]
        places = torch.arange(x_BTD.shape[1], device=x_BTD.device)[None]
        ours_B = torch.full_like(places[:, :1], x_BTD.shape[1]) if mask is None else lengths(mask)[:, None]
        theirs_B = (
            torch.full_like(places[:, :1], flow_BSD.shape[1])
            if flow_mask is None
            else lengths(flow_mask)[:, None]
        )
        index_BT = torch.div(places * theirs_B, ours_B, rounding_mode="floor").clamp(
            max=flow_BSD.shape[1] - 1
        )
        index = index_BT[:, :, None].expand(x_BTD.shape[0], -1, flow_BSD.shape[2])
        return torch.cat([x_BTD, flow_BSD.gather(1, index)], dim=2), mask

    def stage_prefixes(self) -> Stages:
        branches = {"spatial": self.spatial, "temporal": self.temporal}
        return from_the_end(
            [[f"{prefix}.{name}" for name in names] for names in stages(branch)]
            for prefix, branch in branches.items()
            if branch is not None
        )

    def convert_state_dict(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """An image network's weights start both branches."""
        converted: dict[str, Tensor] = {}
        for prefix, branch in (("spatial", self.spatial), ("temporal", self.temporal)):
            if branch is not None:
                converted.update({f"{prefix}.{k}": v for k, v in branch.convert_state_dict(state).items()})
        return converted


class BranchWeights(nn.Module):
    """Learned weights of the branches, positive and summing to one; equal at first."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, logits_MBK: Tensor) -> Tensor:
        return torch.einsum("m,mbk->bk", self.weight.softmax(dim=0), logits_MBK)


def fields_between(rgb_BTCHW: Tensor, flow_BTCHW: Tensor, mask_BT: Mask) -> tuple[Tensor, Mask]:
    """The flow between a clip's frames with its own mask; a clip of one frame has one field of no motion."""
    frames, fields = rgb_BTCHW.shape[1], flow_BTCHW.shape[1]
    if fields != frames - 1:
        raise UsageError(
            f"{frames} frames have {frames - 1} fields of flow between them, got {fields}.",
            "give flow of the shape (B, T − 1, 2, H, W) with rgb of the shape (B, T, 3, H, W)",
        )
    if fields == 0:
        return F.pad(flow_BTCHW, (0, 0, 0, 0, 0, 0, 0, 1)), None
    if mask_BT is None:
        return flow_BTCHW, None
    flow_BTCHW = zero_padding(flow_BTCHW, mask_BT[:, 1:])
    return flow_BTCHW, torch.cat([mask_BT[:, :1], mask_BT[:, 2:]], dim=1)


def _head(branch: VideoModel) -> Tensor:
    """The weights `(K, D)` of a branch's own linear layer."""
    name = "logits.conv3d.weight" if isinstance(branch, I3D) else "head.weight"
    return branch.get_parameter(name).flatten(1)


def _bias(branch: VideoModel) -> Tensor:
    return branch.get_parameter("logits.conv3d.bias" if isinstance(branch, I3D) else "head.bias")


def fuse(rgb: VideoModel, flow: VideoModel, *, fusion: str = "average") -> VideoModel:
    """Two models of one branch each, trained by themselves, as one two-stream model.

    Args:
        rgb, flow: made with `branch="rgb"` and `branch="flow"`, otherwise with the same keywords.
        fusion: as in `TwoStream`; "weighted" and "concat" start as the average and can be trained further.

    Raises:
        ConfigError: not two such models, or of different classes.
    """
    for model, branch in ((rgb, "rgb"), (flow, "flow")):
        if not isinstance(model, TwoStream) or model.spec.modalities != (branch,):
            raise ConfigError(f"{model.name} with {'+'.join(model.spec.modalities)} is no {branch} branch.")
    if rgb.num_classes != flow.num_classes or rgb.name != flow.name or rgb.spec.size != flow.spec.size:
        raise ConfigError(
            f"the branches differ: {rgb.name}, {rgb.num_classes} classes, {rgb.spec.size} against "
            f"{flow.name}, {flow.num_classes} classes, {flow.spec.size}."
        )
    keywords = {**flow.kwargs, **rgb.kwargs, "branch": "both", "fusion": fusion}
    if flow.kwargs.get("backbone"):
        keywords.setdefault("flow_backbone", flow.kwargs.get("flow_backbone") or flow.kwargs["backbone"])
    fused = create_model(rgb.name, **keywords)
    fused.load_state_dict({**rgb.state_dict(), **flow.state_dict()}, strict=False)
    if fusion == "concat":
        assert isinstance(fused, TwoStream)
        assert isinstance(fused.fusion, nn.Linear)
        branches = [b for b in (rgb.spatial, flow.temporal) if isinstance(b, VideoModel)]
        with torch.no_grad():
            fused.fusion.weight.copy_(torch.cat([_head(b) for b in branches], dim=1) / 2)
            fused.fusion.bias.copy_(torch.stack([_bias(b) for b in branches]).mean(dim=0))
    # motion says which frames must be neighbours; appearance can be seen on any
    fused.spec = replace(flow.spec, modalities=("rgb", "flow"), mean=rgb.spec.mean, std=rgb.spec.std)
    return fused.train(rgb.training)


@register_model(
    about="appearance and optical flow side by side, any image network for either",
    paper=PAPER,
    input="rgb+flow 3 × 11 × 224²",
    weights="the timm backbone's own",
)
def two_stream(**keywords: Any) -> TwoStream:
    return TwoStream(**keywords)


@register_model(
    about="I3D over RGB and over flow, logits averaged", paper=I3D_PAPER, input="rgb+flow 64 × 224²"
)
def two_stream_i3d(**keywords: Any) -> TwoStream:
    return TwoStream(**{"network": "i3d", "frames": 64, "dropout": 0.5, **keywords})


@register_model(
    about="two narrow I3Ds over RGB and flow: from scratch on a laptop",
    paper=I3D_PAPER,
    input="rgb+flow 8 × 56²",
)
def two_stream_tiny(**keywords: Any) -> TwoStream:
    return TwoStream(**{"network": "i3d", **TINY, **keywords})
