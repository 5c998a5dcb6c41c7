"""From raw video to segments, whole: a localizer, a sliding window and a single frame on the same generated videos.

    python benchmarks/steps.py OUT [--threads 2]

Makes `marey data make steps --compound` (120 videos of 30 s, 30 of them held out) and runs, one after the other, the
commands that it prints: a small R(2+1)D learns single motions from clips, then plain actions from windows of other
videos; its features teach a localizer (`--task localize`). Beside it the same network, taught windows of the same
videos as the localizer, slides over the held-out ones, with thresholds of its own choice and with fitted ones; a
single-frame classifier does so too; and MS-TCN++ (`--task dense`) labels videos with one object. The table says what
each scored and the processor's seconds of each command; everything is left in OUT, and what is there is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LEARN = (
    "--model r2plus1d_tiny --frames 8 --size 56 --resize 56 --batch 16 --lr 4e-3 --backbone-lr 3e-3 --scale 0.9 1.0"
    " --flip --flip-map auto --vertical-flip --vertical-flip-map auto --cache-mb 1024 --no-audit"
)
FEATURES = "--weights runs/train/plain --fps 10 --window 8 --stride 2"
SLIDE = "steps/segments.csv --split val"
FIT = "--fit steps/segments.csv --fit-split train"

# name: (what is there when it is done, the words after `marey`)
LOCALIZER = {
    "clips": ("motion/manifest.csv", "data make motion motion --clips 1200"),
    "motion": (
        "runs/train/motion/report.html",
        f"train --data motion/manifest.csv --epochs 28 --name motion {LEARN}",
    ),
    "plain videos": ("plain/segments.csv", "data make steps plain --seed 1"),
    "plain windows": (
        "plain/windows.csv",
        "data windows plain/segments.csv plain/windows.csv --window 0.8 --stride 0.4",
    ),
    "network": (
        "runs/train/plain/report.html",
        f"train --data plain/windows.csv --weights runs/train/motion --epochs 7 --name plain {LEARN}",
    ),
    "videos": ("steps/segments.csv", "data make steps steps --compound --clips 120"),
    "localizer": (
        "runs/train/localizer/report.html",
        f"train --task localize --data steps/segments.csv {FEATURES} --channels 128 --epochs 50 --repeat 2"
        " --batch 8 --drop-path 0.2 --dropout 0.1 --ends-loss giou --name localizer",
    ),
}
OTHERS = {
    "windows": (
        "steps/windows.csv",
        "data windows steps/segments.csv steps/windows.csv --window 0.8 --stride 0.4",
    ),
    "classifier": (
        "runs/train/windows/report.html",
        f"train --data steps/windows.csv --weights runs/train/plain --epochs 6 --name windows {LEARN}",
    ),
    "sliding": (
        "runs/localize/sliding/report.html",
        f"localize runs/train/windows {SLIDE} --forms --name sliding",
    ),
    "sliding, fitted": (
        "runs/localize/fitted/report.html",
        f"localize runs/train/windows {SLIDE} {FIT} --forms --name fitted",
    ),
    "single frame": (
        "runs/train/frame/report.html",
        "train --data steps/windows.csv --model frame_average --backbone test_resnet --frames 1 --size 56"
        " --resize 56 --batch 16 --lr 2e-3 --epochs 4 --cache-mb 1024 --no-audit --name frame",
    ),
    "single frame, sliding": (
        "runs/localize/frame/report.html",
        f"localize runs/train/frame {SLIDE} {FIT} --forms --name frame",
    ),
    "one object": ("steps1/segments.csv", "data make steps steps1 --objects 1"),
    "dense": (
        "runs/train/dense/report.html",
        f"train --task dense --data steps1/segments.csv {FEATURES} --name dense",
    ),
}


class Commands:
    """Runs the command line in the folder OUT and counts its time; what has a result already is not run again."""

    def __init__(self, out: Path, threads: int) -> None:
        self.out, self.threads = out, threads
        self.spent: dict[str, tuple[float, float]] = {}

    def __call__(self, name: str, result: str, command: str) -> None:
        print(f"$ marey {command}", flush=True)
        if (self.out / result).exists():
            return
        log = self.out / f"{name}.log"
        env = {**os.environ, "OMP_NUM_THREADS": str(self.threads), "COLUMNS": "160"}
        before, began = _cpu(), time.perf_counter()
        with log.open("w") as file:
            done = subprocess.run(
                [sys.executable, "-m", "marey", *shlex.split(command)],
                cwd=self.out, env=env, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        if done.returncode:
            sys.exit(f"exit code {done.returncode}\n{log.read_text()[-3000:]}")
        self.spent[name] = (time.perf_counter() - began, _cpu() - before)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def average_map(out: Path, run: str) -> float:
    """ActivityNet's mAP, averaged over tIoU 0.3:0.1:0.7, of a run in OUT."""
    metrics: dict[str, Any] = json.loads((out / run / "metrics.json").read_text())
    return float(metrics["evaluators"]["activitynet 0.3:0.1:0.7"]["average_map"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder of everything; one that is there is gone on with")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    run = Commands(out, args.threads)
    for name, (result, command) in {**LOCALIZER, **OTHERS}.items():
        run(name, result, command)

    scores = {
        "localizer (ActionFormer's pyramid)": average_map(out, "runs/train/localizer"),
        "the classifier, sliding": average_map(out, "runs/localize/sliding"),
        "the classifier, sliding, thresholds fitted": average_map(out, "runs/localize/fitted"),
        "a single-frame classifier, sliding, fitted": average_map(out, "runs/localize/frame"),
    }
    print("\nActivityNet mAP, averaged over tIoU 0.3:0.1:0.7, on the 30 held-out videos")
    for name, value in scores.items():
        print(f"  {name:45s} {100 * value:5.1f}%")
    dense = json.loads((out / "runs/train/dense/metrics.json").read_text())["segmentation"]["ms-tcn"]
    print(f"  MS-TCN++ on videos with one object            F1@50 {100 * dense['f1']['50']:.1f}%, edit "
          f"{100 * dense['edit']:.1f}%, frames {100 * dense['frame_accuracy']:.1f}%")  # fmt: skip
    if run.spent:
        print("\nseconds      wall       CPU")
        for name, (wall, cpu) in run.spent.items():
            print(f"  {wall:13.1f} {cpu:9.1f}  {name}")
        if all(name in run.spent for name in LOCALIZER):
            wall = sum(run.spent[name][0] for name in LOCALIZER)
            print(f"  {wall:13.1f}            from nothing to the judged localizer")


if __name__ == "__main__":
    main()
