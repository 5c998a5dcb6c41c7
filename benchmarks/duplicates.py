"""Near-duplicates: recall and precision on copies across splits, and the time that 10,000 fingerprints take.

    MAREY_SHARED=../shared uv run python benchmarks/duplicates.py            # all of it
    MAREY_SHARED=../shared uv run python benchmarks/duplicates.py --sources 20 --prints 2000

Originals are the surveillance clips, real videos of other kinds, and generated motion. Of each, eight copies are
encoded: re-encoded at low quality, cropped (each side to 75–95%), scaled (to 40–80%, the shape changed by up to
15%), trimmed (to 65–85%), at half the frame rate, at 0.6–1.6 times the speed, recoloured (gain, offset, gamma),
and one with all of these but the frame rate. Two videos are a true pair where they come from one original,
copies of copies included. All others are false, clips of the same camera among them. The limits of
`marey.data.duplicates` were chosen on seed 1; the default here is another one.

Videos go to train or test at random; recall and precision are given over all pairs, and over those across.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from marey.data.duplicates import find_copies
from marey.data.fingerprint import PICTURES, SIDE, fingerprint
from marey.types import UInt8Array
from marey.video import open_video
from marey.video.synthetic import MOTIONS, render_motion, write_video

SHARED = Path(os.environ.get("MAREY_SHARED", "../shared"))
OTHERS = (
    "torchcodec/nasa_13013.mp4",
    "torchcodec/av1_video.mkv",
    "torchcodec/bt709_full_range.mp4",
    "torchcodec/nasa_13013_rotated.mp4",
    "decord/flipping_a_pancake.mkv",
)
Random = np.random.Generator


def crop(frames: UInt8Array, rng: Random) -> UInt8Array:
    height, width = frames.shape[1:3]
    tall, wide = rng.uniform(0.75, 0.95, 2)
    top, left = rng.uniform(0, 1 - tall) * height, rng.uniform(0, 1 - wide) * width
    return frames[:, int(top) : int(top + tall * height), int(left) : int(left + wide * width)]


def scale(frames: UInt8Array, rng: Random) -> UInt8Array:
    by, aspect = rng.uniform(0.4, 0.8), rng.uniform(0.85, 1.15)
    size = max(48, int(frames.shape[2] * by * aspect)), max(48, int(frames.shape[1] * by))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


def trim(frames: UInt8Array, rng: Random) -> UInt8Array:
    length = int(len(frames) * rng.uniform(0.65, 0.85))
    start = int(rng.integers(0, len(frames) - length + 1))
    return frames[start : start + length]


def recolour(frames: UInt8Array, rng: Random) -> UInt8Array:
    level = (np.arange(256) / 255) ** rng.uniform(0.85, 1.2) * 255 * rng.uniform(0.85, 1.15) + rng.uniform(
        -20, 20
    )
    return np.clip(level, 0, 255).astype(np.uint8)[frames]


STEPS: dict[str, tuple[Callable[[UInt8Array, Random], UInt8Array], ...]] = {
    "re-encoded": (),
    "cropped": (crop,),
    "scaled": (scale,),
    "trimmed": (trim,),
    "half the rate": (lambda frames, rng: frames[::2],),
    "speed": (),
    "recoloured": (recolour,),
    "all": (crop, scale, trim, recolour),
}


def copy(frames: UInt8Array, fps: float, kind: str, rng: Random) -> tuple[UInt8Array, float, int]:
    """Pictures, frame rate and quality (crf) of a copy."""
    small = frames.shape[1] <= 100
    for step in STEPS[kind]:
        frames = step(frames, rng)
    if kind in ("speed", "all"):
        fps *= rng.uniform(0.6, 1.6)
    if kind == "half the rate":
        fps /= 2
    return frames, fps, (32 if small else 38) if kind == "re-encoded" else 30


def originals(count: int | None) -> list[tuple[str, UInt8Array, float]]:
    """Name, pictures and frame rate of every original; `count` of each kind."""
    made = []
    real = [*sorted((SHARED / "data" / "fight" / "clips").glob("*.mp4"))[:count]]
    for path in [*real, *(SHARED / "videos" / name for name in OTHERS[:count])]:
        with open_video(path) as video:
            made.append((path.stem, video.frames_at(video.times[:130], size=240).frames, video.info.fps))
    for number in range(44 if count is None else count):
        motion = render_motion(MOTIONS[number % len(MOTIONS)], np.random.default_rng([7, number]), size=64)
        made.append((f"motion{number:02d}", motion.frames, 1 / float(np.diff(motion.times).mean())))
    return made


def print_of(path: Path) -> UInt8Array:
    with open_video(path) as video:
        return fingerprint(video, video.info.end)


def encoded(path: Path, frames: UInt8Array, fps: float, crf: int) -> Path:
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    return write_video(path, even, fps=fps, options={"crf": str(crf), "preset": "veryfast"})


def strangers(count: int) -> UInt8Array:
    """Fingerprints of videos that have nothing in common: smooth textures, and something that moves before them."""
    made = np.empty((count, PICTURES, SIDE, SIDE), np.uint8)
    ys, xs = np.mgrid[:SIDE, :SIDE]
    for number in range(count):
        rng = np.random.default_rng([9, number])
        scene = np.zeros((SIDE, SIDE))
        for cells, weight in ((3, 30), (6, 20), (12, 14)):
            scene += weight * cv2.resize(
                rng.normal(size=(cells, cells)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
            )
        level, size = rng.uniform(-70, 70), rng.uniform(2, 6)
        y, x = np.cumsum(rng.normal(0, 1.5, (2, PICTURES)), axis=1) + rng.uniform(6, 26, (2, 1))
        blobs = np.exp(-((ys - y[:, None, None]) ** 2 + (xs - x[:, None, None]) ** 2) / (2 * size**2))
        made[number] = np.clip(120 + scene + level * blobs + rng.normal(0, 1, blobs.shape), 0, 255)
    return made


def judged(of: list[int], found: set[tuple[int, int]], pairs: list[tuple[int, int]]) -> str:
    true = {pair for pair in pairs if of[pair[0]] == of[pair[1]]}
    here = found & set(pairs)
    right = len(here & true)
    return (
        f"recall {right / max(1, len(true)):.4f} ({right} of {len(true)}), "
        f"precision {right / max(1, len(here)):.4f} ({len(here) - right} wrong of {len(here)}; "
        f"{len(pairs) - len(true)} false pairs)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sources", type=int, help="originals of each kind (all)")
    parser.add_argument("--prints", type=int, default=10_000, help="fingerprints that are compared for time")
    parser.add_argument("--seed", type=int, default=2)
    chosen = parser.parse_args()
    prints, of, kinds, names = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, frames, fps) in enumerate(originals(chosen.sources)):
            versions = {"original": (frames, fps, 18)}
            for order, kind in enumerate(STEPS):
                versions[kind] = copy(frames, fps, kind, np.random.default_rng([chosen.seed, number, order]))
            names.append(name)
            for kind, version in versions.items():
                prints.append(print_of(encoded(Path(folder) / "video.mp4", *version)))
                of.append(number)
                kinds.append(kind)
    stack = np.stack(prints)
    found = {(pair.a, pair.b) for pair in find_copies(stack)}
    pairs = list(itertools.combinations(range(len(of)), 2))
    test = np.random.default_rng(chosen.seed).random(len(of)) < 0.3
    print(f"{len(names)} originals, {len(of)} videos")
    print("all pairs:         ", judged(of, found, pairs))
    print(
        "across train, test:", judged(of, found, [pair for pair in pairs if test[pair[0]] != test[pair[1]]])
    )
    first = {number: of.index(number) for number in set(of)}
    hits = Counter(kinds[n] for n in range(len(of)) if (first[of[n]], n) in found)
    print(
        "copies found from the original: ", ", ".join(f"{kind} {hits[kind]}/{len(names)}" for kind in STEPS)
    )

    rows = list(csv.DictReader((SHARED / "data" / "fight" / "fight.csv").open()))
    real = np.stack([print_of(SHARED / "data" / "fight" / row["path"]) for row in rows])
    joined = find_copies(real)
    print(f"fight clips as they are: {len(joined)} pairs of the same footage", end="")
    print("".join(f"; {rows[p.a]['path']} = {rows[p.b]['path']}" for p in joined))

    many = strangers(chosen.prints)
    many[: len(stack)] = stack[: chosen.prints]
    wall, cpu = time.perf_counter(), time.process_time()
    joined = find_copies(many)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    extra = sum(pair.b >= len(stack) for pair in joined)
    print(
        f"{len(many):,} fingerprints compared in {wall:.1f} s ({cpu:.1f} s of CPU); {extra} pairs with strangers"
    )


if __name__ == "__main__":
    main()
