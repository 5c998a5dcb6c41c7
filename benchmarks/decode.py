"""CPU seconds to read one clip of 16 uniform frames at short side 128 from real video files.

    python benchmarks/decode.py [--repeats 5] [--folder VIDEOS] [--size 128] [--frames 16]

Without `--folder` the clips are those of the shared data set (`MAREY_SHARED`, or `../shared` beside the
checkout), `data/fight/clips`.

Every reader opens the file, finds out its frames, gives the same frames (those of `Uniform(16)`), and delivers
them as one uint8 RGB array at the small size. What is counted is the process's CPU time, user and system, over
all its threads. Readers take turns on every file, so that whatever else the machine does meets all of them
alike; the figure is the median over the repeats. Every reader is run in the ways that it offers, and the best
of them stands for it.

Before the clock starts, marey's frames are checked to be those of decoding each file in order, bit for bit.

decord and torchcodec are in the dependency group `bench`. torchcodec brings no FFmpeg: it needs the machine's
shared libraries (`apt-get install ffmpeg`). A library that does not load is named and left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # idle threads that spin would be counted

import av
import numpy as np

from marey.video import open_video
from marey.video.picture import Orientation, Painter, target_size
from marey.video.reader import frames_shown
from marey.video.sampling import Uniform

Reader = Callable[[Path], np.ndarray]


def chosen(times: np.ndarray, end: float, frames: int) -> np.ndarray:
    """The times of the clip's frames."""
    return Uniform(frames).times(times, float(times[0]), end)[0]


class Plan:
    """Which frames of a file, and at what size: the same for everybody, worked out before the clock starts."""

    def __init__(self, path: Path, frames: int, size: int) -> None:
        with open_video(path) as video:
            times = chosen(video.times, video.info.end, frames)
            self.numbers = frames_shown(video.times, video.info.end, times, path).tolist()
            self.height, self.width = target_size(size, video.info.height, video.info.width)


def marey(path: Path, *, frames: int, size: int) -> np.ndarray:
    """The whole way from a path to the clip."""
    with open_video(path) as video:
        return video.frames_at(chosen(video.times, video.index.end, frames), size=size).frames


def in_order(path: Path, plan: Plan) -> np.ndarray:
    """The same frames by decoding everything in order, by nothing but PyAV."""
    painter, wanted = Painter(), set(plan.numbers)
    pictures = {}
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                pictures[number] = np.empty((plan.height, plan.width, 3), np.uint8)
                painter.paint(frame, pictures[number], "rgb", Orientation.of(frame))
    return np.stack([pictures[number] for number in plan.numbers])


def others(plans: dict[Path, Plan]) -> tuple[dict[str, Reader], list[str]]:
    """The other readers that load here, and what is to be said of those that do not."""
    readers: dict[str, Reader] = {}
    missing: list[str] = []
    for name, make in (("torchcodec", _torchcodec), ("decord", _decord), ("opencv", _opencv)):
        try:
            readers |= make(plans)
        except Exception as error:  # a library may fail to load in any way; the others still count
            missing.append(f"{name} does not load here: {str(error).strip().splitlines()[0]}")
    return readers, missing


def _torchcodec(plans: dict[Path, Plan]) -> dict[str, Reader]:
    import torch
    from torch.nn.functional import interpolate
    from torchcodec.decoders import VideoDecoder

    torch.set_num_threads(1)

    def full(path: Path, **how: object) -> torch.Tensor:
        decoder = VideoDecoder(str(path), seek_mode="exact", **how)
        return decoder.get_frames_at(plans[path].numbers).data

    def interpolated(path: Path, **how: object) -> np.ndarray:
        size = (plans[path].height, plans[path].width)
        return (
            interpolate(full(path, **how), size=size, mode="bilinear", antialias=True)
            .permute(0, 2, 3, 1)
            .numpy()
        )

    readers: dict[str, Reader] = {
        "torchcodec, torch's interpolate": interpolated,
        "torchcodec, interpolate, threads=auto": lambda path: interpolated(path, num_ffmpeg_threads=0),
    }
    try:
        from torchcodec.transforms import Resize
    except ImportError:
        return readers

    def resized(path: Path) -> np.ndarray:
        plan = plans[path]
        return full(path, transforms=[Resize((plan.height, plan.width))]).permute(0, 2, 3, 1).numpy()

    return readers | {"torchcodec, its own Resize": resized}


def _decord(plans: dict[Path, Plan]) -> dict[str, Reader]:
    import decord

    def read(path: Path, threads: int) -> np.ndarray:
        plan = plans[path]
        video = decord.VideoReader(str(path), width=plan.width, height=plan.height, num_threads=threads)
        return video.get_batch(plan.numbers).asnumpy()

    return {
        "decord, 1 thread": lambda path: read(path, 1),
        "decord, threads=auto": lambda path: read(path, 0),
    }


def _opencv(plans: dict[Path, Plan]) -> dict[str, Reader]:
    import cv2

    cv2.setNumThreads(1)

    def read(path: Path) -> np.ndarray:
        plan, pictures = plans[path], {}
        video = cv2.VideoCapture(str(path))
        for number in range(max(plan.numbers) + 1):
            assert video.grab()
            if number in plan.numbers:
                picture = cv2.resize(
                    video.retrieve()[1], (plan.width, plan.height), interpolation=cv2.INTER_AREA
                )
                pictures[number] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        video.release()
        return np.stack([pictures[number] for number in plan.numbers])

    return {"opencv, in order": read}


def measure(readers: dict[str, Reader], paths: list[Path], repeats: int) -> dict[str, list[float]]:
    """CPU milliseconds a clip of every reader, one figure a repeat; the readers take turns on every file."""
    figures: dict[str, list[float]] = {name: [] for name in readers}
    for repeat in range(-1, repeats):  # the first round warms up caches and pools
        spent = dict.fromkeys(readers, 0.0)
        for path in paths:
            for name, read in readers.items():
                before = time.process_time()  # of all threads; they have ended or wait when the call returns
                read(path)
                spent[name] += time.process_time() - before
        if repeat >= 0:
            for name, seconds in spent.items():
                figures[name].append(1000 * seconds / len(paths))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    shared = Path(os.environ.get("MAREY_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    folder = args.folder or shared / "data" / "fight" / "clips"
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix in {".mp4", ".mkv", ".avi", ".mov", ".webm"}
    )
    if not paths:
        print(f"no videos in {folder}; name a folder with --folder", file=sys.stderr)
        return 2

    plans = {path: Plan(path, args.frames, args.size) for path in paths}
    for path in paths:
        fast = marey(path, frames=args.frames, size=args.size)
        assert (fast == in_order(path, plans[path])).all(), f"{path}: not the frames of decoding in order"
    print(f"{len(paths)} files: marey's frames are those of decoding in order, bit for bit")

    foreign, missing = others(plans)
    ours = {"marey": lambda path: marey(path, frames=args.frames, size=args.size)}
    figures = measure(ours | foreign, paths, args.repeats)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    print(
        f"\nCPU ms a clip of {args.frames} frames at short side {args.size}, median of {args.repeats} (least–most)"
    )
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, PyAV {av.__version__}"
    )
    for name, value in sorted(medians.items(), key=lambda item: item[1]):
        ratio = f"{value / medians['marey']:5.2f}×" if name != "marey" else ""
        print(f"  {name:40s} {value:7.2f}  ({min(figures[name]):.2f}–{max(figures[name]):.2f})  {ratio}")
    for line in missing:
        print(f"  {line}")
    rest = {name: value for name, value in medians.items() if name != "marey"}
    if rest:
        best = min(rest, key=rest.__getitem__)
        print(
            f"\nmarey takes {rest[best] / medians['marey']:.2f}× less CPU than the best of the others ({best})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
