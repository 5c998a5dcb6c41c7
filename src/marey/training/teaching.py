"""Learning from a teacher: what it says of the very clip that the student is given, and the loss of that.

Teacher and student look at the same frames after the same augmentation, drawn anew in every epoch: what Beyer et al.
("Knowledge distillation: a good teacher is patient and consistent", https://arxiv.org/abs/2106.05237) found to matter
most. So the teacher is run on the fly, and its own sampler is not asked: a second reading at other instants would
have it judge another stretch of motion than the student sees. Where the teacher takes larger pictures, clips are
made at its size and scaled down for the student.

The loss is that of Hinton et al. (https://arxiv.org/abs/1503.02531): divergence from the teacher's probabilities at a
temperature T, times T², blended with the ordinary loss where there is a label.

Shape suffixes: B clips, T frames, C channels, H × W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from marey.errors import ConfigError
from marey.predict.load import load
from marey.predict.predictor import Predictor, stacked
from marey.spec import InputSpec
from marey.training.config import DistillConfig
from marey.training.loss import clip_loss
from marey.types import Clip


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained model that a student learns from.

    Attributes:
        predictor: runs it.
        order: the teacher's place of each of the student's classes.
        student: the input of the student.
        config: temperature, and how much labels count.
        labelled: rows of the manifest from this on have no label.
    """

    predictor: Predictor
    order: tuple[int, ...]
    student: InputSpec
    config: DistillConfig
    labelled: int

    @classmethod
    def open(
        cls,
        config: DistillConfig,
        student: InputSpec,
        class_names: tuple[str, ...],
        *,
        multi_label: bool,
        labelled: int,
        device: str,
    ) -> Teacher:
        """Load it, from a run's folder, a weights file or an artifact.

        Raises:
            ConfigError: other classes, or inputs that cannot be made of the student's clips.
            CheckpointError: no such file, or none that marey wrote.
        """
        assert config.teacher is not None
        predictor = load(config.teacher, device=device)
        theirs = predictor.class_names
        if set(theirs) != set(class_names) or predictor.multi_label != multi_label:
            missing = sorted(set(class_names) - set(theirs)) + sorted(set(theirs) - set(class_names))
            kind = "independent" if predictor.multi_label else "exclusive"
            raise ConfigError(
                "the teacher does not know the same classes."
                if missing
                else f"the teacher's classes are {kind}, and those of the data are not.",
                f"on one side alone: {', '.join(missing)}" if missing else "",
                where=config.teacher,
            )
        if "rgb" not in student.modalities:
            raise ConfigError(
                f"a student of {' and '.join(student.modalities)} brings no pictures that the teacher could see.",
                "take a model that sees rgb",
            )
        spec = predictor.spec
        if spec.fixed_frames and student.frames > spec.frames:
            raise ConfigError(
                f"the teacher takes {spec.frames} frames, and the student's clips have {student.frames}.",
                f"give the student as many: --frames {spec.frames}",
                where=config.teacher,
            )
        (h, w), (height, width) = student.size, spec.size
        if h * width != w * height:
            raise ConfigError(
                f"the teacher sees {width}×{height} pixels and the student {w}×{h}: one would see the other's "
                "pictures stretched.",
                "give the student a size of the same shape",
                where=config.teacher,
            )
        return cls(predictor, tuple(theirs.index(n) for n in class_names), student, config, labelled)

    @property
    def clips(self) -> InputSpec:
        """What clips are made by: the student's input, at the larger of the two sizes."""
        height, wanted = self.predictor.spec.size[0], self.student.size[0]
        if height <= wanted:
            return self.student
        resize = round(self.student.resize * height / wanted)
        return replace(self.student, size=self.predictor.spec.size, resize=resize)

    def logits(self, inputs: Mapping[str, Tensor], mask_BT: Tensor) -> Tensor:
        """What it says of a batch as the student is given it: `(B, K)`, in the student's order of classes."""
        spec = self.predictor.spec
        frames_BTCHW = scaled(inputs["rgb"], spec.size).cpu().numpy()
        real_BT = mask_BT.cpu().numpy()
        times = np.arange(real_BT.shape[1], dtype=np.float64)
        clips = [
            Clip(np.ascontiguousarray(frames.transpose(0, 2, 3, 1)), times, real)
            for frames, real in zip(frames_BTCHW, real_BT, strict=True)
        ]
        said = self.predictor.runtime(*stacked(clips, spec))[:, self.order]
        return torch.from_numpy(np.ascontiguousarray(said)).to(mask_BT.device)

    def student_inputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same batch at the student's size."""
        return {name: scaled(x, self.student.size) for name, x in inputs.items()}


def scaled(x_BTCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures of another size, uint8 as they came; smaller ones without aliasing."""
    if tuple(x_BTCHW.shape[-2:]) == tuple(size):
        return x_BTCHW
    x_NCHW = x_BTCHW.flatten(0, 1).to(torch.float32)
    y_NCHW = F.interpolate(x_NCHW, size=size, mode="bilinear", antialias=True)
    if x_BTCHW.dtype == torch.uint8:
        y_NCHW = y_NCHW.round().clamp(0, 255)
    return y_NCHW.to(x_BTCHW.dtype).unflatten(0, x_BTCHW.shape[:2])


def taught_loss(
    logits_BK: Tensor,
    teacher_BK: Tensor,
    target: Tensor,
    labelled_B: Tensor,
    config: DistillConfig,
    *,
    multi_label: bool,
    smoothing: float = 0.0,
    weight: Tensor | None = None,
) -> Tensor:
    """The mean over a batch: `(1 − hard) · soft + hard · ordinary` where there is a label, else `soft` alone.

    Args:
        logits_BK, teacher_BK: of student and teacher.
        target: as `clip_loss` takes it; what it holds where there is no label does not matter.
        labelled_B: bool, which clips have a label.
        config: temperature and `hard`.
        multi_label, smoothing, weight: as in `clip_loss`.
    """
    t = config.temperature
    if multi_label:
        # less the teacher's own entropy, so that a student who says the same is at 0
        wanted_BK = (teacher_BK / t).sigmoid()
        soft_BK = F.binary_cross_entropy_with_logits(logits_BK / t, wanted_BK, reduction="none")
        own_BK = F.binary_cross_entropy_with_logits(teacher_BK / t, wanted_BK, reduction="none")
        soft_B = (soft_BK - own_BK).mean(dim=1) * t**2
    else:
        wanted_BK = (teacher_BK / t).log_softmax(dim=1)
        apart_BK = F.kl_div((logits_BK / t).log_softmax(dim=1), wanted_BK, reduction="none", log_target=True)
        soft_B = apart_BK.sum(dim=1) * t**2
    share_B = labelled_B.to(logits_BK.dtype) * config.hard
    loss = ((1 - share_B) * soft_B).mean()
    if config.hard and bool(labelled_B.any()):
        ordinary = clip_loss(
            logits_BK[labelled_B], target[labelled_B], multi_label=multi_label, smoothing=smoothing, weight=weight
        )  # fmt: skip
        loss = loss + ordinary * share_B.mean()
    return loss
