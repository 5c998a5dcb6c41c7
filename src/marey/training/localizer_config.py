"""What the training of a localizer can be told. This file imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Literal

from marey.data.timelines import BACKGROUND
from marey.errors import ConfigError, UsageError
from marey.localize.decode import DecodeConfig


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """The features to learn from: a folder of them, or what computes them."""

    features: str | None = None
    """Folder that `marey extract` made (or .npy files of other tools with a features.json)."""
    feature_model: str | None = None
    """Without --features: name of the network that computes them, from `marey models`."""
    weights: str | None = None
    """Its weights: a run folder, a file, `default`, or a hub or torchvision name."""
    fps: float = 8.0
    """Frames a second that it looks at."""
    window: int | None = None
    """Frames that a position sees (default: what the network takes)."""
    stride: int | None = None
    """Frames from one position to the next (default: proposed from the lengths of the segments)."""

    def __post_init__(self) -> None:
        if self.features is not None and (self.feature_model or self.weights):
            raise ConfigError(
                "--features are computed already; --feature-model and --weights compute them.",
                "give one of the two.",
            )
        if self.features is None and self.weights is None:
            raise ConfigError(
                "there is nothing to learn from.",
                "give --features FOLDER (made by marey extract), or --weights (with --feature-model) to compute them.",
            )


@dataclass(frozen=True, kw_only=True)
class Pyramid:
    """What the head without anchors is told, with its defaults; `PyramidConfig` says what each is."""

    mixer: Literal["attention", "maxpool"] = "attention"
    attention_window: int = 19
    heads: int = 4
    stem: int = 2
    drop_path: float = 0.1
    ends_loss: Literal["diou", "giou", "tiou"] = "diou"
    radius: float = 1.5


@dataclass(frozen=True, kw_only=True)
class PyramidConfig:
    """The localizer's network."""

    head: Literal["points", "anchors"] = "points"
    """points: a pyramid without anchors (ActionFormer). anchors: segments of several lengths at every position, each
    seen by convolutions as wide as it is (TAL-Net)."""
    anchor_scales: tuple[float, ...] | None = None
    """Of anchors: their lengths in grid steps (default: proposed from the lengths of the segments)."""
    context: bool = True
    """Of anchors: a score sees twice its anchor's length, what comes before and after, too."""
    channels: int = 256
    """Width of the network (512 in the paper)."""
    mixer: Literal["attention", "maxpool"] | None = None
    """Of points: attention in local windows (ActionFormer; the default), or max pooling (TemporalMaxer) for small
    machines."""
    attention_window: int | None = None
    """Of points: positions that attention sees, odd (default: 19)."""
    heads: int | None = None
    """Of points: attention heads (default: 4)."""
    stem: int | None = None
    """Of points: blocks before the first halving (default: 2)."""
    levels: int | None = None
    """Of points: levels of the pyramid (default: proposed from the lengths of the segments)."""
    crop: int | None = None
    """Positions of a training window (default: proposed from the lengths of the segments)."""
    dropout: float = 0.0
    """In the blocks or towers."""
    drop_path: float | None = None
    """Of points: share of samples whose residual branch is dropped (default: 0.1)."""
    ends_loss: Literal["diou", "giou", "tiou"] | None = None
    """Of points: the temporal-IoU loss of the ends (default: diou). Anchors learn by smooth L1."""
    ends_weight: float = 1.0
    """λ: what the loss of the ends weighs against the focal loss of the classes."""
    radius: float | None = None
    """Of points: stretch around a segment's centre whose points are asked for it, in strides (default: 1.5). Anchors
    are asked for what they overlap."""

    def __post_init__(self) -> None:
        if self.head == "anchors":
            other = [f"--{name.replace('_', '-')}" for name in _OF_POINTS if getattr(self, name) is not None]
            if other:
                words = " and ".join([", ".join(other[:-1]), other[-1]] if len(other) > 1 else other)
                raise UsageError(
                    f"{words} {'have' if len(other) > 1 else 'has'} no meaning with --head anchors.",
                    "leave it out, or take --head points",
                )
        elif self.anchor_scales is not None or not self.context:
            name = "--no-context" if self.anchor_scales is None else "--anchor-scales"
            raise UsageError(f"{name} has no meaning without --head anchors.", "give both, or neither")
        scales = self.anchor_scales
        if scales is not None and not (scales and all(0 < s < math.inf for s in scales)):
            raise UsageError(f"--anchor-scales are lengths above 0 in grid steps; got {scales}.")

    @property
    def of_points(self) -> Pyramid:
        """What the head without anchors is told, with the default where nothing was."""
        told = {f.name: getattr(self, f.name) for f in fields(Pyramid)}
        return Pyramid(**{name: value for name, value in told.items() if value is not None})


_OF_POINTS = ("levels", *(f.name for f in fields(Pyramid)))


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    """The dense labeller's network (MS-TCN++)."""

    dense_channels: int = 64
    """Width."""
    layers: int = 11
    """Layers of the first stage; the longest dilation is 2^(layers − 1)."""
    refine_layers: int = 10
    """Layers of each refinement."""
    refinements: int = 3
    """Stages after the first."""
    dense_dropout: float = 0.5
    """In the layers."""
    smoothing: float = 0.15
    """λ: what a change of log-probability weighs."""


@dataclass(frozen=True, kw_only=True)
class LocalizerConfig:
    """Train a localizer: segments with start, end and label in, a timeline of any video out.

    Videos become features first (`marey extract`; done on the way with --weights), and the localizer learns from
    these. --config FILE reads the same settings from YAML; --resume RUN goes on with a run that was cut off.
    """

    data: str
    """Manifest of segments: path, label, start, end. Rows of the background class say that nothing happens."""
    root: str | None = None
    """Folder that relative video paths start from."""
    task: Literal["localize", "dense"] = "localize"
    """localize: segments that may overlap (ActionFormer). dense: one label at every moment (MS-TCN++)."""
    background: str = BACKGROUND
    """The label that says that nothing happens."""
    source: FeatureConfig
    pyramid: PyramidConfig = field(default_factory=PyramidConfig)
    dense: DenseConfig = field(default_factory=DenseConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    epochs: int = 40
    """Passes over the training videos."""
    repeat: int = 1
    """Windows of each video a pass."""
    batch: int = 4
    """Windows in a batch."""
    lr: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 0.05
    """Decoupled decay; not applied to biases, norms and scales."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises; a cosine takes it to 0 after."""
    ema: float = 0.99
    """Decay a step of a moving average of the weights, which is what is judged and saved (0: off)."""
    val_fraction: float = 0.25
    """Share of videos held out where the manifest has no split (grouped)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes a GPU where there is one."""
    out: str = "runs"
    """Folder of all runs."""
    name: str | None = None
    """Name of the run (default: the task's). A name that exists gets a number."""
    seed: int = 0
    """Of everything random."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "repeat"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("lr",):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be above 0; got {getattr(self, name)}.")
        for name in ("warmup", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is a share from 0 to below 1; got {getattr(self, name)}.")
        if not 0 < self.val_fraction < 1:
            raise ConfigError(f"--val-fraction is a share between 0 and 1; got {self.val_fraction}.")
