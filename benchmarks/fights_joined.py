"""Surveillance clips joined into long videos with pauses: when does a fight begin and end?

    python benchmarks/fights_joined.py OUT [--seed 0] [--threads 2]

Needs the shared data set (`MAREY_SHARED`, or `../shared` beside the checkout). The clips of five recordings become one
held-out video and those of the others five to learn from, scaled to 320 × 240: clips of both kinds in random order
with pauses between, in which the last picture stands still for 1 to 4 seconds. Only fights are segments. Then it runs
the commands that it prints: a light classifier of windows, which slides over the held-out video, and a localizer on its
features, both judged. Everything is left in OUT.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from marey.types import UInt8Array
from marey.video.reader import open_video
from marey.video.synthetic import write_video

SIZE, FPS = (320, 240), 25
HELD_OUT = 5  # recordings to judge by
LEARN = 5  # videos of the others, the last of which is the validation split

# What is there when it is done: the words after `marey`
COMMANDS = {
    "windows.csv": "data windows fights.csv windows.csv --window 1.28 --stride 0.32",
    "runs/train/windows/report.html": "train --data windows.csv --model frame_difference --frames 16 --size 112"
    " --batch 16 --lr 4e-3 --epochs 10 --flip --cache-mb 1024 --no-audit --name windows",
    "runs/localize/sliding/report.html": "localize runs/train/windows fights.csv --fit fights.csv --name sliding",
    "runs/train/localizer/report.html": "train --task localize --data fights.csv --weights runs/train/windows"
    " --fps 12.5 --window 16 --stride 2 --mixer maxpool --channels 64 --dropout 0.3 --epochs 20 --repeat 4"
    " --name localizer",
    "runs/localize/localizer/report.html": "localize runs/train/localizer fights.csv --name localizer",
}


def clip_frames(path: Path) -> UInt8Array:
    """A whole clip at 25 frames a second, uint8 `(T, 240, 320, 3)`."""
    with open_video(path) as reader:
        times = np.arange(reader.times[0], reader.info.end, 1 / FPS)
        frames = reader.frames_at(times).frames
    return np.stack([cv2.resize(f, SIZE, interpolation=cv2.INTER_AREA) for f in frames])


def join(
    clips: Sequence[tuple[Path, str]], to: Path, rng: np.random.Generator
) -> list[tuple[float, float, str]]:
    """One long video of the clips; gives `(start, end, label)` of each in it."""
    pieces, said, at = [], [], 0
    for index in rng.permutation(len(clips)):
        path, label = clips[index]
        frames = clip_frames(path)
        pause = np.repeat(frames[-1:], int(rng.uniform(1, 4) * FPS), axis=0)
        said.append((at / FPS, (at + len(frames)) / FPS, label))
        pieces += [frames, pause]
        at += len(frames) + len(pause)
    write_video(to, np.concatenate(pieces), fps=FPS, options={"crf": "20", "preset": "veryfast"})
    return said


def make(shared: Path, out: Path, seed: int) -> None:
    """The joined videos and fights.csv, unless they are there."""
    if (out / "fights.csv").is_file():
        return
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with (shared / "data/fight/fight.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    groups = rng.permutation(sorted({row["group"] for row in rows}))
    parts = {"held-out": set(groups[:HELD_OUT])}
    parts |= {f"others-{i}": set(groups[HELD_OUT + i :: LEARN]) for i in range(LEARN)}
    table = []
    for name, held in parts.items():
        clips = [(shared / "data/fight" / r["path"], r["label"]) for r in rows if r["group"] in held]
        split = {"held-out": "test", f"others-{LEARN - 1}": "val"}.get(name, "train")
        for start, end, label in join(clips, out / f"{name}.mp4", rng):
            if label == "fight":
                table.append((f"{name}.mp4", "fight", f"{start:.3f}", f"{end:.3f}", split, name))
    temporary = out / "fights.part"
    with temporary.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "start", "end", "split", "group"), *table])
    temporary.replace(out / "fights.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    out: Path = args.out.resolve()
    shared = Path(os.environ.get("MAREY_SHARED", Path(__file__).resolve().parents[2] / "shared")).resolve()
    if not (shared / "data/fight/fight.csv").is_file():
        sys.exit("the fight clips are not there; name the shared data set in MAREY_SHARED")
    make(shared, out, args.seed)
    for result, command in COMMANDS.items():
        print(f"$ marey {command}", flush=True)
        if (out / result).exists():
            continue
        env = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        words = [sys.executable, "-m", "marey", *shlex.split(command)]
        done = subprocess.run(
            words, cwd=out, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        print(done.stdout[-1500:], flush=True)
        if done.returncode:
            sys.exit(done.returncode)
    for name in ("localizer", "sliding"):
        metrics = json.loads((out / "runs/localize" / name / "metrics.json").read_text())
        found = metrics["evaluators"]["activitynet 0.3:0.1:0.7"]
        print(
            name,
            "mAP at tIoU",
            dict(zip(found["thresholds"], np.round(found["map"], 3).tolist(), strict=True)),
        )


if __name__ == "__main__":
    main()
