"""What lets small networks learn motion from scratch: held-out top-1 after the same few clips, one choice changed.

    python benchmarks/from_scratch.py [--clips 1200] [--seen 3200] [--models timesformer_tiny,…] [--seed 0]

Every variant sees the same generated videos in the same order, batches of 16, without augmentation, at the rate of
its recipe, and is judged before it has converged: what is compared is how soon it leaves chance (1 in 11), and
that is a matter of luck, too: look at several seeds. The processor's seconds are those of training alone, on one
thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from marey.data.clips import load_clip
from marey.data.manifest import Manifest
from marey.models import create_model
from marey.predict.device import use_channels_last
from marey.spec import InputSpec
from marey.training.config import OptimConfig
from marey.training.optim import build_optimizer, schedule, set_learning_rate
from marey.video.synthetic import make_motion

BATCH = 16
RATES = {"r2plus1d_tiny": 4e-3}  # the others': 2e-3
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "r2plus1d_tiny": ({}, {"widths": (16, 32, 64)}),
    "timesformer_tiny": (
        {},
        {"norm": "layer"},
        {"stem": "patch"},
        {"pool": "token", "norm": "layer"},
        {"stem": "patch", "pool": "token", "norm": "layer"},
    ),
    "video_swin_tiny": (
        {},
        {"norm": "layer"},
        {"stem": "patch"},
        {"window": (8, 7, 7)},
        {"depths": (4,), "heads": (2,)},
    ),
}


def clips_of(manifest: Manifest, split: str) -> tuple[Tensor, Tensor]:
    """All clips of a split, uint8 `(N, 8, 3, 56, 56)`, and their classes `(N,)`."""
    spec = InputSpec(sampler={"name": "uniform", "n": 8}, frames=8, size=(56, 56), resize=56)
    rows = manifest.indices(split)
    frames = np.stack([load_clip(manifest.sample(int(i)), spec).frames for i in rows])
    targets = manifest.targets(manifest.class_names)[rows]
    return torch.from_numpy(frames.transpose(0, 1, 4, 2, 3).copy()), torch.from_numpy(targets)


def learn(
    name: str, keywords: dict[str, Any], train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], args: Any
) -> tuple[float, float]:
    """Held-out top-1 after `args.seen` clips, and the processor's seconds."""
    torch.manual_seed(args.seed)
    model = create_model(name, num_classes=int(train[1].max()) + 1, **keywords)
    use_channels_last(model)
    rate = RATES.get(name, 2e-3)
    optimizer = build_optimizer(model, OptimConfig(lr=rate), backbone_lr=rate)
    generator = torch.Generator().manual_seed(args.seed)
    steps, begun = args.seen // BATCH, time.process_time()
    order = torch.cat(
        [torch.randperm(len(train[0]), generator=generator) for _ in range(-(-args.seen // len(train[0])))]
    )
    model.train()
    for step, rows in enumerate(order[: steps * BATCH].split(BATCH)):
        set_learning_rate(optimizer, schedule(step, 2 * steps, 0.1))  # as at the beginning of a longer one
        F.cross_entropy(model(rgb=train[0][rows]), train[1][rows]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.process_time() - begun
    model.eval()
    with torch.no_grad():
        hits = [(model(rgb=x).argmax(1) == y).sum() for x, y in zip(*(t.split(32) for t in val), strict=True)]
    return float(sum(hits)) / len(val[1]), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1200, help="videos to make, a fifth of them held out")
    parser.add_argument("--seen", type=int, default=3200, help="clips that each variant learns from")
    parser.add_argument("--models", default=",".join(VARIANTS))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        manifest = Manifest.read(make_motion(folder, clips=args.clips, seed=0))
        train, val = clips_of(manifest, "train"), clips_of(manifest, "val")
    print(f"| model | changed | top-1 of {len(val[1])} held out | CPU seconds |\n|---|---|---:|---:|")
    for name in args.models.split(","):
        for keywords in VARIANTS[name]:
            top1, seconds = learn(name, keywords, train, val, args)
            changed = ", ".join(f"`{key}={value}`" for key, value in keywords.items()) or "–"
            print(f"| `{name}` | {changed} | {top1:.1%} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
