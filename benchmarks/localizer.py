"""A pass of the localizer with attention and with max pooling, side by side: parameters, operations, seconds.

    python benchmarks/localizer.py [--length 2304] [--repeats 7] [--threads 2]

The configuration is the published one for THUMOS'14 on I3D features (2048 numbers a position, 512 channels, 2 + 5
blocks, 20 classes). Both take turns in one process; the seconds are medians, and their ratio is what counts.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from marey.localize.pyramid import Localizer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--length", type=int, default=2304, help="positions of the video")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    x_BTD = torch.randn(1, args.length, 2048)
    models = {m: Localizer(num_classes=20, features=2048, mixer=m).eval() for m in ("attention", "maxpool")}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    counted = {}
    with torch.inference_mode():
        for name, model in models.items():  # which is the pass that warms up, too
            with FlopCounterMode(display=False) as counter:
                model(x_BTD)
            counted[name] = counter.get_total_flops() / 2e9
        for _ in range(args.repeats):
            for name, model in models.items():
                began = time.perf_counter()
                model(x_BTD)
                seconds[name].append(time.perf_counter() - began)
    print(
        f"torch {torch.__version__}, {args.threads} threads, {args.length} positions, median of {args.repeats}"
    )
    print("mixer      parameters   GMACs   seconds a pass")
    for name, model in models.items():
        million = sum(p.numel() for p in model.parameters()) / 1e6
        print(f"{name:10s} {million:8.2f} M {counted[name]:7.2f} {statistics.median(seconds[name]):12.3f}")
    ratios = [a / b for a, b in zip(seconds["attention"], seconds["maxpool"], strict=True)]
    print(
        f"max pooling is {statistics.median(ratios):.2f}× as fast (turn by turn {min(ratios):.2f}–{max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
