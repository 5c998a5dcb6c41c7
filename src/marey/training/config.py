"""What a training can be told. One tree of frozen dataclasses; flags and YAML spell the same names.

This file imports no torch, so that `marey train --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from marey.data.augment import AugmentConfig
from marey.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """How a video becomes the network's input. What is not given, the model's own specification says."""

    sampler: str | None = None
    """Rule that chooses a clip's times, e.g. uniform:16, rate:fps=8,max=64, segments:8, adaptive:0.25,8,64."""
    frames: int | None = None
    """Short for a uniform sampler of that many frames."""
    size: int | None = None
    """Height and width in pixels of what the network sees."""
    resize: int | None = None
    """Short side in pixels that videos are scaled to before the crop (default: size × 8/7)."""
    flow_method: str | None = None
    """How optical flow is computed, for models that take it: dis-medium (their own choice), dis-fast, …"""

    def __post_init__(self) -> None:
        if self.sampler is not None and self.frames is not None:
            raise ConfigError("--frames is short for --sampler uniform:N; give one of the two.")
        for name in ("frames", "size", "resize"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name} must be at least 1; got {value}.")


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How the weights are moved."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """adamw, or sgd with Nesterov momentum 0.9."""
    lr: float = 1e-3
    """Peak learning rate of the head (and of everything, where nothing is pretrained)."""
    backbone_lr: float | None = None
    """Peak learning rate of the backbone (default: lr, or a tenth of it where the backbone is pretrained; with
    --layer-decay, of its last stage: lr times that)."""
    layer_decay: float = 1.0
    """Each stage of the backbone learns at this times the rate of the stage after it (1: all alike; 0.75 is usual
    for transformers, 0.9 for deep convolutional networks)."""
    weight_decay: float = 0.05
    """Decoupled decay; not applied to biases and norms."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises linearly; a cosine takes it to 0 after."""
    clip_grad: float | None = 1.0
    """Largest norm of the gradient; larger ones are scaled down to it."""
    accumulate: int = 1
    """Batches whose gradients are added before each step."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: each class weighs as if all had equally many samples."""
    ema: float = 0.0
    """Decay a step of a moving average of the weights, which is then what is judged and saved (0: off)."""
    freeze_backbone: int = 0
    """Epochs at the start in which only the head learns."""
    unfreeze: int = 0
    """Stages of the backbone, the last ones first, that begin to learn with each epoch once --freeze-backbone is
    over (0: all at once)."""
    freeze_bn: bool = False
    """Keep the backbone's batch norm in eval mode and unlearnt (small batches; folded checkpoints)."""

    def __post_init__(self) -> None:
        for name in ("lr", "accumulate"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be above 0; got {getattr(self, name)}.")
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"layer_decay is above 0 and at most 1; got {self.layer_decay}.")
        for name in ("weight_decay", "freeze_backbone", "unfreeze"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be below 0; got {getattr(self, name)}.")
        for name in ("warmup", "label_smoothing", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is a share from 0 to below 1; got {getattr(self, name)}.")
        if self.clip_grad is not None and self.clip_grad <= 0:
            raise ConfigError(f"clip_grad must be above 0 (or none); got {self.clip_grad}.")


@dataclass(frozen=True, kw_only=True)
class SystemConfig:
    """Where and how fast."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes a GPU where there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 autocast on GPUs that have it, float32 elsewhere."""
    channels_last: bool = True
    """Keep convolutions in channels-last memory, which most CPUs and GPUs compute faster in."""
    threads: int | None = None
    """CPU threads of torch (default: torch's own choice)."""
    workers: int = 0
    """Processes that decode for training (0: decode in the training process)."""
    augment_on: Literal["auto", "device", "workers"] = "auto"
    """Where clips are scaled, flipped and coloured: batch by batch on the device, or one by one where they are
    decoded. auto: on the device if it is a CUDA GPU. The draws are the same. Models that see flow: workers."""
    on_error: Literal["error", "skip"] = "error"
    """A video that cannot be read stops the training, or is left out, counted and reported."""
    cache_mb: int | None = None
    """Keep decoded frames of short videos in memory, up to this many MiB (default: 512 with --workers 0, which
    it needs, else 0)."""
    save_every: int = 0
    """Save a resumable state every so many steps, besides every epoch and every five minutes."""
    log: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Where else to log, beside results.csv."""

    def __post_init__(self) -> None:
        for name in ("workers", "cache_mb", "save_every"):
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"{name} must not be below 0; got {getattr(self, name)}.")
        if self.cache_mb and self.workers:
            raise ConfigError(
                "--cache-mb keeps frames in the training process and needs --workers 0.",
                "drop one of the two.",
            )

    def augments_on_device(self, device: str, modalities: Sequence[str]) -> bool:
        """Whether clips of these modalities are augmented batch by batch on `device`.

        Raises:
            ConfigError: that was asked for, and flow needs the moved frames where they are decoded.
        """
        if self.augment_on == "device" and "flow" in modalities:
            raise ConfigError(
                "--augment-on device: this model sees flow, which is computed from moved frames as they are decoded.",
                "leave it at auto",
            )
        automatic = self.augment_on == "auto" and device.startswith("cuda") and "flow" not in modalities
        return automatic or self.augment_on == "device"


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Whom a student learns from (marey distill)."""

    teacher: str | None = None
    """Run, weights or artifact (.onnx) whose scores the model learns, beside the labels."""
    unlabelled: str | None = None
    """Folder of videos without labels, which the teacher alone speaks of."""
    temperature: float = 2.0
    """Of the teacher's and the student's probabilities; higher ones tell more of the less probable classes."""
    hard: float = 0.1
    """Share of the ordinary loss where there is a label; the teacher has the rest."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ConfigError(f"temperature must be above 0; got {self.temperature}.")
        if not 0 <= self.hard <= 1:
            raise ConfigError(f"hard is a share from 0 to 1; got {self.hard}.")
        if self.unlabelled is not None and self.teacher is None:
            raise ConfigError("videos without labels need somebody to speak of them: give --teacher.")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Train a video classifier, judge it, and write a report.

    --config FILE reads the same settings from YAML (flags win); --resume RUN goes on with a run that was cut
    off, exactly where it stood; --debug shows tracebacks.
    """

    data: str = ""
    """Manifest (.csv, .parquet) or folder of class folders (default with --features: the manifest kept there)."""
    root: str | None = None
    """Folder that relative video paths start from (default: that of the manifest)."""
    model: str = "cnn_gru"
    """Name from `marey models`."""
    backbone: str | None = None
    """timm backbone, for models that have one."""
    weights: str | None = None
    """Where the weights start: `default`, a hub or torchvision name, a file, or a run's folder. None: at random."""
    branch: Literal["rgb", "flow", "both"] | None = None
    """Train one branch of a two-stream model by itself; marey fuse joins two such runs."""
    flow: str | None = None
    """Folder of optical flow made by marey flow, for models that take it. None: computed on the fly."""
    model_args: tuple[str, ...] = ()
    """Further keywords of the model, each as key=value. Of a head: inputs=features|changes|both, hidden, dropout."""
    features: str | None = None
    """Folder of stored features (`marey extract`): a head is trained on them, in place of --model on clips."""
    head: Literal["linear", "gru", "attention", "temporal-conv"] = "gru"
    """With --features: what is trained on them."""
    epochs: int | None = None
    """Passes over the training samples (default: 8, enough for fine-tuning on few, and 40 with --features). Training
    from scratch wants more."""
    batch: int = 8
    """Clips in a batch."""
    val_fraction: float = 0.2
    """Share held out for validation where the manifest has no split (grouped, stratified)."""
    folds: int = 0
    """K: grouped, stratified K-fold cross-validation with pooled predictions."""
    early_stop: int = 0
    """Stop after so many epochs without a better validation score (0: never). Needs a val split."""
    select: Literal["auto", "best", "last"] = "auto"
    """Which epoch's weights are kept. auto: the best on val where a test split judges them, else the last,
    because the best epoch on the samples that also judge it would flatter the number."""
    audit: bool = True
    """Run the temporal audit at the end."""
    baseline: str | None = None
    """Folder of a frame-averaging run on the same samples, to stand beside the audit."""
    input: InputConfig = field(default_factory=InputConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    system: SystemConfig = field(default_factory=SystemConfig)
    out: str = "runs"
    """Folder of all runs."""
    name: str | None = None
    """Name of the run (default: the model's). A name that exists gets a number."""
    seed: int = 0
    """Of everything random."""

    def __post_init__(self) -> None:
        if self.epochs is None:
            object.__setattr__(self, "epochs", 40 if self.features else 8)
        if not self.data and not self.features:
            raise ConfigError("there is nothing to learn from: give --data, or --features.")
        if not self.data:  # the folder of features keeps the manifest that it was made from
            object.__setattr__(self, "data", self.features)
        if self.features and (self.augment.mixup or self.augment.cutmix):
            raise ConfigError("mixup and cutmix mix frames; features are not mixed.", "drop them")
        if self.features and self.distill.teacher:
            raise ConfigError("a teacher looks at clips; it cannot teach a head on --features.")
        if self.distill.unlabelled and (self.augment.mixup or self.augment.cutmix):
            raise ConfigError("mixup and cutmix mix labels, and --unlabelled videos have none.", "drop them")
        assert self.epochs is not None
        if self.epochs < 1 or self.batch < 1:
            raise ConfigError(f"epochs and batch must be at least 1; got {self.epochs} and {self.batch}.")
        if self.folds == 1 or self.folds < 0:
            raise ConfigError(f"--folds is 2 or more (or 0 for one split); got {self.folds}.")
        if not 0 < self.val_fraction < 1:
            raise ConfigError(f"--val-fraction is a share between 0 and 1; got {self.val_fraction}.")
        if self.folds and self.early_stop:
            raise ConfigError(
                "--early-stop with --folds would choose the epoch by the samples that judge it.",
                "give --epochs, or train on one split with train, val and test.",
            )
        if self.folds and self.select == "best":
            raise ConfigError(
                "--select best with --folds would choose the epoch by the samples that judge it."
            )
        for item in self.model_args:
            if "=" not in item:
                raise ConfigError(f"--model-args takes key=value; got {item!r}.")
        if self.seed < 0:
            raise ConfigError(f"--seed must not be below 0; got {self.seed}.")
