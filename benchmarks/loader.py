"""Clips a second for training: 16 frames at 112², random crop and flip, from real video files, batch by batch.

    python benchmarks/loader.py [--repeats 5] [--workers 2] [--batch 8] [--folder VIDEOS]

Without `--folder` the clips are those of the shared data set (`MAREY_SHARED`, or `../shared` beside the checkout),
`data/fight/clips`.

Everyone is a PyTorch `DataLoader` with the same number of workers and the same batch size that gives uint8 clips
`(B, 16, 3, 112, 112)`; one round is every video once, in a new order, and workers live on between rounds. The others
are a plain `Dataset` as the documentation of its library shows it: whole frames are decoded, then torchvision's
transforms v2 make a random crop of 60 to 100% of the area, resize it and flip half of the clips. marey's draws are of
the same kind. It runs from the source files, from a pack of short-GOP MP4s and from a pack of shards, made at short
side 128, the size that it scales to.

The readers take turns, round by round, so that whatever else the machine does meets all of them alike; the figure is
the median over rounds. Beside clips a second stands the CPU time a clip of all processes, which other work on the
machine changes less. One reader's workers only wait while another's turn is on.

decord and torchcodec are in the dependency group `bench`. torchcodec brings no FFmpeg: it needs the machine's shared
libraries (`apt-get install ffmpeg`). A library that does not load is named and left out.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from marey.data.augment import AugmentConfig
from marey.data.loader import make_loader
from marey.data.manifest import Manifest
from marey.jobs.pack import PackConfig, pack
from marey.spec import InputSpec

FRAMES, SIZE, RESIZE = 16, 112, 128
SCALE, RATIO = (0.6, 1.0), (0.8, 1.25)


class Plain(Dataset[Any]):
    """The usual way: decode, then transform. `decode(path, frames)` gives uint8 `(T, C, H, W)`."""

    def __init__(self, paths: list[str], decode: Callable[[str, int], torch.Tensor]) -> None:
        self.paths, self.decode = paths, decode
        self.transform = v2.Compose([
            v2.RandomResizedCrop((SIZE, SIZE), scale=SCALE, ratio=RATIO, antialias=True),
            v2.RandomHorizontalFlip(0.5),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        clip = tv_tensors.Video(self.decode(self.paths[row], FRAMES))
        return self.transform(clip).contiguous(), row


def decord_clip(path: str, frames: int) -> torch.Tensor:
    """As its README: a VideoReader, `get_batch` of evenly spaced numbers."""
    import decord

    reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    numbers = np.linspace(0, len(reader) - 1, frames).round().astype(int)
    return torch.from_numpy(reader.get_batch(numbers).asnumpy()).permute(0, 3, 1, 2)


def torchcodec_clip(path: str, frames: int) -> torch.Tensor:
    """As its tutorial: a VideoDecoder, `get_frames_at` of evenly spaced numbers."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path)
    count = decoder.metadata.num_frames
    return decoder.get_frames_at(np.linspace(0, count - 1, frames).round().astype(int).tolist()).data


def pyav_clip(path: str, frames: int) -> torch.Tensor:
    """As its documentation and many a model's example: decode in order, keep evenly spaced frames."""
    import av

    with av.open(path) as container:
        stream = container.streams.video[0]
        count = stream.frames or sum(1 for _ in container.decode(video=0))
        container.seek(0)
        wanted = set(np.linspace(0, count - 1, frames).round().astype(int).tolist())
        pictures = [
            frame.to_ndarray(format="rgb24")
            for number, frame in enumerate(container.decode(video=0))
            if number in wanted
        ]
    pictures += [pictures[-1]] * (frames - len(pictures))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


class Other:
    """A plain DataLoader over one of the decoders above."""

    def __init__(self, paths: list[str], decode: Any, batch: int, workers: int) -> None:
        self.loader = DataLoader(
            Plain(paths, decode), batch_size=batch, shuffle=True, num_workers=workers,
            persistent_workers=workers > 0, multiprocessing_context="forkserver" if workers else None,
        )  # fmt: skip

    def round(self, number: int) -> int:
        return sum(len(clips) for clips, _ in self.loader)

    def pids(self) -> list[int]:
        iterator = self.loader._iterator
        return (
            [worker.pid for worker in iterator._workers]
            if iterator is not None and self.loader.num_workers
            else []
        )

    def close(self) -> None:
        if self.pids():
            self.loader._iterator._shutdown_workers()


class Ours:
    """marey's loader over a manifest."""

    def __init__(self, data: Path, batch: int, workers: int) -> None:
        manifest = Manifest.read(data)
        spec = InputSpec(
            sampler={"name": "uniform", "n": FRAMES}, frames=FRAMES, size=(SIZE, SIZE), resize=RESIZE
        )
        augment = AugmentConfig(scale=SCALE, ratio=RATIO, flip=True, flip_map=("auto",))
        self.loader = make_loader(
            manifest, manifest.indices(), spec, class_names=manifest.class_names, train=True, batch=batch,
            workers=workers, augment=augment,
        )  # fmt: skip

    def round(self, number: int) -> int:
        self.loader.set_epoch(number)
        return sum(len(batch) for batch in self.loader)

    def pids(self) -> list[int]:
        iterator = self.loader._loader._iterator
        return [worker.pid for worker in getattr(iterator, "_workers", [])]

    def close(self) -> None:
        self.loader.close()


def loads(decode: Callable[[str, int], torch.Tensor], path: str) -> str:
    """What is wrong with a decoder here; nothing where it works."""
    try:
        assert decode(path, FRAMES).shape[:2] == (FRAMES, 3)
    except Exception as error:  # a library may fail to load in any way; the others still count
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ""


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of this process and of these."""
    total = time.process_time()
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(readers: dict[str, Any], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """(clips a second, CPU milliseconds a clip) of every round of every reader."""
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for repeat in range(-1, repeats):  # the first round starts the workers and warms up caches
        for name, reader in readers.items():
            before, began = cpu_seconds(reader.pids()), time.perf_counter()
            clips = reader.round(repeat + 1)
            seconds = time.perf_counter() - began
            if repeat >= 0:
                spent = cpu_seconds(reader.pids()) - before
                figures[name].append((clips / seconds, 1000 * spent / clips))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--clips", type=int, help="only the first so many videos")
    parser.add_argument("--times", type=int, default=4, help="how often a round goes over the videos")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    shared = Path(os.environ.get("MAREY_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    folder = args.folder or shared / "data" / "fight" / "clips"
    paths = sorted(p for p in folder.rglob("*") if p.suffix in {".mp4", ".mkv", ".avi", ".mov", ".webm"})
    paths = paths[: args.clips]
    if not paths:
        print(f"no videos in {folder}; name a folder with --folder", file=sys.stderr)
        return 2

    missing = []
    readers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        source = _manifest(Path(scratch) / "source.csv", paths, 1)
        for form in ("mp4", "shards"):
            pack(
                PackConfig(
                    data=str(source), out=f"{scratch}/{form}", form=form, size=RESIZE, workers=args.workers
                )
            )
        # a round goes over the videos more than once, so that starting and ending it weighs little
        readers["marey, source"] = Ours(_manifest(source, paths, args.times), args.batch, args.workers)
        for form in ("mp4", "shards"):
            held = Manifest.read(f"{scratch}/{form}")
            packed = [held.sample(row).path for row in range(len(held))]
            data = _manifest(Path(scratch) / f"{form}.csv", packed, args.times)
            readers[f"marey, {form}"] = Ours(data, args.batch, args.workers)
        for name, decode in (("decord", decord_clip), ("torchcodec", torchcodec_clip), ("PyAV", pyav_clip)):
            if wrong := loads(decode, str(paths[0])):
                missing.append(f"{name} does not load here: {wrong}")
            else:
                readers[name] = Other([str(p) for p in paths] * args.times, decode, args.batch, args.workers)
        try:
            figures = measure(readers, args.repeats)
        finally:
            for reader in readers.values():
                reader.close()
    _print(figures, len(paths), args)
    for line in missing:
        print(f"  {line}")
    return 0


def _manifest(path: Path, videos: list[Any], times: int) -> Path:
    """A manifest in which every video stands `times` times, as segments that differ by less than can be seen."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "start", "end"])
        for number in range(times):
            start = f"{number * 1e-6:.6f}" if number else ""
            writer.writerows([video, f"class{i % 2}", start, ""] for i, video in enumerate(videos))
    return path


def _print(figures: dict[str, list[tuple[float, float]]], videos: int, args: argparse.Namespace) -> None:
    rate = {name: statistics.median(f for f, _ in rows) for name, rows in figures.items()}
    cost = {name: statistics.median(c for _, c in rows) for name, rows in figures.items()}
    print(
        f"\n{videos} videos, {FRAMES} frames at {SIZE}², {args.workers} workers, batches of {args.batch}; "
        f"median of {args.repeats} rounds\n{platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}\n"
    )
    others = [name for name in rate if not name.startswith("marey")]
    best = max(others, key=rate.__getitem__, default=None)
    cheapest = min(others, key=cost.__getitem__, default=None)
    print(f"  {'':18s}{'clips/s':>9s}{'CPU ms a clip':>15s}")
    for name in rate:
        line = f"  {name:18s}{rate[name]:9.1f}{cost[name]:15.2f}"
        if best and cheapest and name.startswith("marey"):
            line += f"   {rate[name] / rate[best]:.2f}× {best}'s rate, {cost[cheapest] / cost[name]:.2f}× less CPU"
        print(line)


if __name__ == "__main__":
    sys.exit(main())
