"""Run folders as a training leaves them: real encoded videos, numbers judged from drawn logits."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from marey.metrics import KINDS, audit, judge
from marey.metrics.calibration import probabilities


def write_video(path: Path, *, frames: int = 20, width: int = 64, height: int = 48, fps: int = 10) -> None:
    """A bright square that walks over a gradient, H.264."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            picture = np.zeros((height, width, 3), np.uint8)
            picture[..., 1] = np.linspace(20, 120, width, dtype=np.uint8)
            at = int((width - 12) * i / max(1, frames - 1))
            picture[height // 3 : height // 3 + 12, at : at + 12] = (250, 200, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def draw_logits(targets: np.ndarray, classes: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Logits that are right for about `share` of the samples."""
    n = len(targets)
    answer = np.where(rng.random(n) < share, targets, rng.integers(0, classes, n))
    return np.eye(classes)[answer] * rng.uniform(1, 6, (n, 1)) + rng.normal(size=(n, classes)) * 0.6


def make_metrics(
    class_names: Sequence[str],
    *,
    n: int,
    shares: Sequence[float] = (0.9, 0.5, 0.2, 0.3),
    baseline: float | None = 0.3,
    seed: int = 0,
    name: str = "r2plus1d_tiny",
) -> tuple[dict, np.ndarray, np.ndarray, list[str]]:
    """metrics.json of drawn predictions, with the logits, targets and groups they come from."""
    rng = np.random.default_rng(seed)
    k = len(class_names)
    targets, groups = rng.integers(0, k, n), [f"source {i // 4}" for i in range(n)]
    conditions = {
        kind: draw_logits(targets, k, share, rng) for kind, share in zip(KINDS, shares, strict=True)
    }
    base = None if baseline is None else draw_logits(targets, k, baseline, rng)
    metrics = {
        "marey": "0.1.0",
        "model": {"name": name, "kwargs": {}, "parameters": 1_234_567, "gmacs": 0.83},
        **judge(
            conditions["ordered"], targets, class_names=class_names, groups=groups, temperature=1.4, seed=seed
        ),
        "protocol": {
            "split": "val",
            "rule": "grouped, 5 folds, pooled",
            "views": "1 clip × 1 crop",
            "frames": 8,
            "size": [56, 56],
            "sampler": {"name": "uniform", "n": 8},
            "groups": len(set(groups)),
        },
        "audit": audit(conditions, targets, class_names=class_names, groups=groups, baseline=base, seed=seed),
        "failures": [],
    }
    return metrics, conditions["ordered"], targets, groups


def make_run(
    folder: Path,
    *,
    class_names: Sequence[str] = ("left", "right", "up", "down"),
    n: int = 120,
    videos: int = 3,
    epochs: int = 12,
    **options: object,
) -> dict:
    """Write a whole run folder; the samples share `videos` encoded files. Returns the metrics."""
    folder.mkdir(parents=True, exist_ok=True)
    metrics, logits, targets, groups = make_metrics(class_names, n=n, **options)
    files = [folder / "videos" / f"clip {i}.mp4" for i in range(videos)]
    for i, file in enumerate(files):
        write_video(file, frames=12 + 4 * i)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "config.yaml").write_text(
        f"model: {metrics['model']['name']}\ndata: {folder}/videos\nepochs: {epochs}\n"
    )
    (folder / "command.txt").write_text("marey train --data videos --model r2plus1d_tiny\n")
    (folder / "environment.json").write_text(json.dumps({"python": "3.12", "packages": {"torch": "2.9"}}))
    with (folder / "results.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        head = "epoch,step,lr,train_loss,train_top1,val_loss,val_top1,clips_per_s,data_wait,seconds"
        rows.writerow(head.split(","))
        for e in range(epochs):
            val = ["", ""] if e % 3 else [1.6 * 0.88**e + 0.25, 0.9 - 0.7 * 0.8**e]
            rows.writerow([e, e * 30, 1e-3, 1.9 * 0.85**e, 0.95 - 0.8 * 0.8**e, *val, 210.5, 0.04, 3.2])
    probs = probabilities(logits, temperature=1.4)
    with (folder / "predictions.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        head = ["id", "path", "start", "end", "split", "group", "fold", "label", "predicted", "score"]
        rows.writerow([*head, *(f"p:{name}" for name in class_names)])
        for i in range(n):
            guess = int(probs[i].argmax())
            start_end = ["", ""] if i % 2 else [0.2, 1.0]
            row = [i, files[i % videos], *start_end, "val", groups[i], i % 5]
            row += [class_names[targets[i]], class_names[guess], probs[i, guess], *probs[i]]
            rows.writerow(row)
    return metrics
