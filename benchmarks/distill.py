"""What a teacher is worth where few videos have labels: student alone, distilled student, and teacher, side by side.

    python benchmarks/distill.py [--clips 1200] [--share 0.1] [--epochs 30] [--student frame_difference] [--json OUT]

Videos with known motion are made. The teacher learns from all training videos with their labels, the student alone
from `--share` of them, and the distilled student from the same few labels and from all the others without labels, as
the teacher sees them. All three are judged on the same held-out videos, which none of them learns from. Both students
take the same number of steps: the one alone gets so many more epochs of its few videos.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np

import marey
from marey.data.augment import AugmentConfig
from marey.training.config import DistillConfig, InputConfig, OptimConfig, SystemConfig, TrainConfig
from marey.video.synthetic import make_motion


def few_labels(data: Path, folder: Path, share: float, seed: int) -> tuple[Path, Path]:
    """A manifest in which a share of each class's training videos is left, and a folder with the others."""
    manifest = marey.Manifest.read(data)
    rng = np.random.default_rng(seed)
    rows = manifest.indices("train")
    targets = manifest.targets()
    kept: list[int] = []
    for k in range(len(manifest.class_names)):
        own = rng.permutation(rows[targets[rows] == k])
        kept += sorted(int(row) for row in own[: max(1, math.ceil(share * len(own)))])
    rest = folder / "rest"
    rest.mkdir()
    for row in sorted(set(map(int, rows)) - set(kept)):
        path = Path(manifest.sample(row).path)
        shutil.copy(path, rest / f"{row}{path.suffix}")
    few = manifest.select(np.concatenate([np.sort(kept), manifest.indices("val")]))
    return few.write(folder / "few.csv"), rest


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=1200)
    parser.add_argument("--share", type=float, default=0.1, help="of the training videos that have a label")
    parser.add_argument("--epochs", type=int, default=30, help="of the distilled student")
    parser.add_argument("--teacher", default="r2plus1d_tiny")
    parser.add_argument("--teacher-epochs", type=int, default=15)
    parser.add_argument("--student", default="frame_difference")
    parser.add_argument("--hard", type=float, default=DistillConfig.hard)
    parser.add_argument("--temperature", type=float, default=DistillConfig.temperature)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="write the figures there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_motion(folder / "videos", clips=args.clips, seed=args.seed)
        few, rest = few_labels(data, folder, args.share, args.seed)
        labelled = len(marey.Manifest.read(few).indices("train"))
        unlabelled = len(list(rest.iterdir()))
        batch = 16

        def trained(
            name: str, data: Path, model: str, epochs: int, lesson: DistillConfig | None = None
        ) -> float:
            config = TrainConfig(
                data=str(data), model=model, epochs=epochs, batch=batch, audit=False, name=name, out=str(folder),
                seed=args.seed, input=InputConfig(frames=8, size=56, resize=56), optim=OptimConfig(lr=4e-3),
                augment=AugmentConfig(scale=(0.9, 1.0)), system=SystemConfig(cache_mb=1024),
                distill=lesson or DistillConfig(),
            )  # fmt: skip
            done = marey.train(config, quiet=True) if lesson is None else marey.distill(config, quiet=True)
            return float(done.metrics["top1"])

        steps = args.epochs * math.ceil((labelled + unlabelled) / batch)
        lesson = DistillConfig(
            teacher=str(folder / "train" / "teacher"), unlabelled=str(rest), hard=args.hard,
            temperature=args.temperature,
        )  # fmt: skip
        found = {
            "teacher": trained("teacher", data, args.teacher, args.teacher_epochs),
            "student alone": trained("alone", few, args.student, round(steps / math.ceil(labelled / batch))),
            "distilled student": trained("distilled", few, args.student, args.epochs, lesson),
        }
        judged = len(marey.Manifest.read(few).indices("val"))
    print(
        f"{args.student}, {labelled} labels and {unlabelled} videos without; top-1 on the same {judged} videos"
    )
    print(f"  teacher ({args.teacher}, all {labelled + unlabelled} labels){found['teacher']:10.1%}")
    print(f"  student alone{found['student alone']:10.1%}")
    print(f"  distilled student{found['distilled student']:10.1%}")
    if args.json:
        Path(args.json).write_text(
            json.dumps(
                {**vars(args), "labelled": labelled, "unlabelled": unlabelled, "top1": found}, indent=2
            ),
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
