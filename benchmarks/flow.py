"""Every flow method on the same frames in one run: error, and fields per CPU second.

    python benchmarks/flow.py                 # about two minutes, nearly all of it TV-L1
    python benchmarks/flow.py --fight DIR     # a folder of clips without true flow, besides

Generated motion with true flow: the ten motions of `marey.video.synthetic` before a still wall, at two sizes,
and scenes of textured objects that turn and grow before a panning camera, at four speeds with more and more
sensor noise. The end-point error is the mean length of (found − true) over all pixels, occluded ones too.

Real clips have no true flow. There the middle of three frames is predicted from the outer two by half the flow
between them (the interpolation error of Baker et al. 2011, root mean square in gray levels).

OpenCV runs on one thread, and time is the process's CPU time, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from marey.video.flow import METHODS, compute_flow
from marey.video.reader import open_video
from marey.video.synthetic import MOTIONS, SCRAMBLED, render_motion

Estimate = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # two frames (2, H, W, 3) -> (2, H, W)
TARGETS = {"dis-medium": (50.0, 1.3), "lk-sparse": (200.0, None)}  # at least as fast, at most the error
PRESET = "dis-medium (OpenCV's preset)"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two frames and the truth between them, or the frame that lies in the middle."""

    frames: NDArray[np.uint8]
    flow: NDArray[np.float32] | None = None
    middle: NDArray[np.uint8] | None = None


def motion_pairs(size: int) -> list[Pair]:
    """One pair of each motion of the synthetic set."""
    pairs = []
    for seed, label in enumerate(name for name in MOTIONS if name != SCRAMBLED):
        video = render_motion(label, np.random.default_rng(seed), size=size, frames=16, fps=12)
        start = 4 if seed % 2 else 10
        pairs.append(Pair(video.frames[start : start + 2], video.flow[start]))
    return pairs


def scene_pair(seed: int, *, speed: float, objects: int, noise: float, shape: tuple[int, int]) -> Pair:
    """Textured discs that move, turn and grow before a textured ground that the camera pans over."""
    rng = np.random.default_rng(seed)
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    images = np.zeros((2, height, width, 3))
    true = np.zeros((2, height, width))
    for number in range(objects + 1):
        ground = number == 0
        paint = _texture(rng, height + 200, width + 200)
        centre = rng.uniform(0.2, 0.8, 2) * (width, height)
        step = rng.uniform(-2, 2, 2) if ground else rng.uniform(-speed, speed, 2)
        turn, growth = (0.0, 1.0) if ground else (rng.uniform(-0.06, 0.06), rng.uniform(0.985, 1.015))
        radius = rng.uniform(18, 45)
        spin = growth * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        for t in (0, 1):
            away = np.stack([x - centre[0] - t * step[0], y - centre[1] - t * step[1]])
            if t:
                away = np.einsum("ij,jhw->ihw", np.linalg.inv(spin), away)
            place = (away + centre[:, None, None] + 100).astype(np.float32)
            seen = cv2.remap(paint, place[0], place[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            cover = np.ones(shape) if ground else np.clip(radius - np.hypot(*away) + 0.5, 0, 1)
            images[t] += cover[..., None] * (seen - images[t])
            if t == 0:
                moved = np.einsum("ij,jhw->ihw", spin, away) + step[:, None, None]
                true = np.where(cover > 0.5, moved - away, true)
    images += rng.normal(0, noise, images.shape)
    return Pair(np.clip(images, 0, 255).astype(np.uint8), true.astype(np.float32))


def _texture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    picture = np.zeros((height, width, 3), dtype=np.float32)
    for grain, weight in ((2, 0.6), (4, 0.8), (8, 1.0), (24, 1.2), (64, 1.2)):
        coarse = rng.standard_normal((height // grain + 3, width // grain + 3, 3)).astype(np.float32)
        picture += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    paint: NDArray[np.float32] = 45 * picture / picture.std() + rng.uniform(90, 160, 3).astype(np.float32)
    return paint


def scene_pairs() -> list[Pair]:
    """Two scenes at each of four speeds."""
    return [
        scene_pair(10 * k + n, speed=speed, objects=2 * k + 2, noise=2.0 * k, shape=(240, 320))
        for k, speed in enumerate((3, 6, 10, 16))
        for n in range(2)
    ]


def real_triples(folder: Path, count: int = 12, size: int = 256) -> list[Pair]:
    """Frames t and t+2 of clips spread over a folder, with t+1 as what is to be predicted."""
    clips = sorted(folder.glob("*.mp4"))
    pairs = []
    for clip in clips[:: max(1, len(clips) // count)][:count]:
        with open_video(clip) as video:
            middle = len(video.times) // 2
            frames = video.frames_at(video.times[middle - 1 : middle + 2], size=size).frames
        pairs.append(Pair(frames[[0, 2]], middle=frames[1]))
    return pairs


def endpoint_error(pair: Pair, field: NDArray[np.float32]) -> float:
    """Mean over all pixels, in pixels."""
    assert pair.flow is not None
    return float(np.hypot(*(field - pair.flow)).mean())


def interpolation_error(pair: Pair, field: NDArray[np.float32]) -> float:
    """Root mean square in gray levels of the middle frame predicted from the outer two."""
    assert pair.middle is not None
    first, last, middle = (
        cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32) for f in (*pair.frames, pair.middle)
    )
    y, x = np.mgrid[: first.shape[0], : first.shape[1]].astype(np.float32)

    def at(
        picture: NDArray[np.float32], dx: NDArray[np.float32], dy: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        return cv2.remap(picture, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    # the motion that passes through a pixel of the middle frame set out half its own length before it
    u, v = (at(component, -field[0] / 2, -field[1] / 2) / 2 for component in field)
    predicted = (at(first, -u, -v) + at(last, u, v)) / 2
    return float(np.sqrt(np.square(predicted - middle).mean()))


def measure(
    estimate: Estimate, pairs: list[Pair], error: Callable[[Pair, NDArray[np.float32]], float]
) -> tuple[float, float]:
    """Mean error over the pairs, and CPU seconds a pair."""
    estimate(pairs[0].frames[:, :64, :64])  # first call: tables, buffers
    fields, seconds, rounds = [], 0.0, 0
    while seconds < 0.4:
        began = time.process_time()
        fields = [estimate(pair.frames) for pair in pairs]
        seconds += time.process_time() - began
        rounds += 1
    errors = [error(pair, field) for pair, field in zip(pairs, fields, strict=True)]
    return float(np.mean(errors)), seconds / rounds / len(pairs)


def opencv_preset(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """DIS at OpenCV's medium preset as it stands, to set ours against."""
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    gray = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames]
    return solver.calc(*gray, None).transpose(2, 0, 1)


def main() -> int:
    """Run it all, print the table, and give 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = Path(os.environ.get("MAREY_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument(
        "--fight", type=Path, default=shared / "data" / "fight" / "clips", help="folder of real clips"
    )
    parser.add_argument("--raft-small", type=Path, help="weights file; adds raft-small on the CPU")
    parser.add_argument("--raft-large", type=Path, help="weights file; adds raft-large on the CPU")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    cv2.setNumThreads(1)

    def named(method: str, **more: object) -> Estimate:
        return lambda frames: compute_flow(frames, np.array([0.0, 1.0]), method, **more).fields[0]  # type: ignore[arg-type]

    estimates = {name: named(name) for name, row in METHODS.items() if not row.learned and name != "diff"}
    estimates[PRESET] = opencv_preset
    for name in ("raft-small", "raft-large"):
        weights = getattr(options, name.replace("-", "_"))
        if weights:
            import torch

            torch.set_num_threads(1)
            estimates[name] = named(name, weights=weights, device="cpu")
    estimates["no motion"] = lambda frames: np.zeros((2, *frames.shape[1:3]), np.float32)

    sets = {"motion 112": motion_pairs(112), "motion 240": motion_pairs(240), "scenes": scene_pairs()}
    errors = dict.fromkeys(sets, endpoint_error)
    if options.fight.is_dir():
        sets["real"], errors["real"] = real_triples(options.fight), interpolation_error
    else:
        print(f"no folder {options.fight}: real clips are left out", file=sys.stderr)

    shapes = {name: "{}×{}".format(*pairs[0].frames.shape[2:0:-1]) for name, pairs in sets.items()}
    print(f"OpenCV {cv2.__version__}, 1 thread, {platform.processor() or platform.machine()}")
    print(
        "sets: " + ", ".join(f"{name}: {len(pairs)} pairs of {shapes[name]}" for name, pairs in sets.items())
    )
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for name, estimate in estimates.items():
        found[name] = {key: measure(estimate, pairs, errors[key]) for key, pairs in sets.items()}
        print(f"  measured {name}", file=sys.stderr, flush=True)

    def speed(name: str) -> float:  # over all sets: CPU time for one field of each
        return sum(found["tvl1"][key][1] for key in sets) / sum(found[name][key][1] for key in sets)

    def error_ratio(name: str) -> float:  # the mean over the generated sets of error / TV-L1's error
        return float(np.mean([found[name][k][0] / found["tvl1"][k][0] for k in sets if k != "real"]))

    print(
        "\nend-point error in pixels (real: interpolation error in gray levels); in brackets fields per CPU second"
    )
    print(
        f"{'method':<30}"
        + "".join(f"{key:>22}" for key in sets)
        + f"{'speed ×TV-L1':>15}{'error ×TV-L1':>14}"
    )
    for name, row in found.items():
        cells = "".join(f"{f'{error:.3f} ({1 / seconds:,.1f})':>22}" for error, seconds in row.values())
        if name == "no motion":
            cells, tail = "".join(f"{f'{error:.3f}':>22}" for error, _ in row.values()), ""
        else:
            tail = f"{speed(name):>15.1f}{error_ratio(name):>14.2f}"
        print(f"{name:<30}{cells}{tail}")
    print("error ÷ TV-L1's, set by set:")
    for name in TARGETS:
        print(f"  {name:<12}" + ", ".join(f"{k} {found[name][k][0] / found['tvl1'][k][0]:.2f}" for k in sets))

    missed = 0
    for name, (fast, exact) in TARGETS.items():
        met = speed(name) >= fast and (exact is None or error_ratio(name) <= exact)
        missed += not met
        wanted = f"at least {fast:.0f}× the speed" + (
            "" if exact is None else f" at no more than {exact}× the error"
        )
        got = f"{speed(name):.0f}×, {error_ratio(name):.2f}×"
        print(f"{name}: {wanted} of TV-L1: {'met' if met else 'MISSED'} ({got})")
    if options.json:
        plain = {
            name: {
                key: {"error": error, "fields_per_cpu_s": 1 / seconds}
                for key, (error, seconds) in row.items()
            }
            for name, row in found.items()
        }
        options.json.write_text(json.dumps(plain, indent=1))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
