"""Frames a second of the step form on this machine: marey's stream beside ONNX Runtime and OpenVINO by hand.

    python benchmarks/streaming.py [--feeds 1 8] [--seconds 10] [--threads 2] [--json OUT.json]

Models with random weights are exported as steps, with their parity certificates (step by step against the whole clip
in torch). "By hand" is what a user writes who has the same file and no marey: the runtime with the settings that it
has by default and the number of threads, given a frame and the state, whose outputs are the next call's state. The
model alone: frames are in memory, of the model's size. All contenders take turns of `--turn` steps in one process,
so that the machine's moods meet all alike, and the first fifth of a turn does not count: threads of the one before
still spin for work then. The figures are medians. With several feeds, a frame of each goes through
together, and frames a second are those of all feeds.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from marey.jobs.export import ExportConfig, export
from marey.models.registry import create_model
from marey.models.saved import save_model
from marey.predict.artifact import Artifact, read_artifact
from marey.predict.probes import probe_inputs
from marey.predict.runtimes.choose import choose
from marey.predict.stream import open_stream
from marey.work import cores

# The model, its keywords, and the frames a second that it has to reach with one feed.
MODELS: dict[str, tuple[dict[str, Any], float]] = {
    "cnn_gru": ({"backbone": "mobilenetv3_small_100", "size": 224}, 400.0),
    "frame_difference": ({}, 1000.0),
}
Step = Callable[[np.ndarray], np.ndarray]


def first(artifact: Artifact, feeds: int) -> dict[str, np.ndarray]:
    """The state of feeds that have seen nothing, under the names of the graph's inputs."""
    return {f"state.{k}": np.zeros((feeds, *s), np.float32) for k, s in artifact.about.state.items()}


def onnx_by_hand(artifact: Artifact, feeds: int, threads: int) -> Step:
    """Plain ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(artifact.path, options, providers=["CPUExecutionProvider"])
    feed = first(artifact, feeds)
    names = list(feed)

    def step(frames: np.ndarray) -> np.ndarray:
        probabilities, _, *after = session.run(None, {"frame": frames, **feed})
        feed.update(zip(names, after, strict=True))
        return probabilities

    return step


def openvino_by_hand(artifact: Artifact, feeds: int, threads: int) -> Step:
    """Plain OpenVINO, in the precision that it takes by default."""
    import openvino as ov

    core = ov.Core()
    compiled = core.compile_model(core.read_model(artifact.path), "CPU", {"INFERENCE_NUM_THREADS": threads})
    request = compiled.create_infer_request()
    feed = first(artifact, feeds)

    def step(frames: np.ndarray) -> np.ndarray:
        found = request.infer({"frame": frames, **feed})
        for name in feed:
            feed[name] = np.array(found[name.replace("state.", "after.")])
        return np.array(found["probabilities"])

    return step


def contend(
    contenders: dict[str, Step], frames: np.ndarray, seconds: float, turn: int
) -> dict[str, tuple[float, float]]:
    """Median milliseconds of a step, and the largest difference of a probability from the first contender's."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    apart = dict.fromkeys(contenders, 0.0)
    names = list(contenders)
    end = time.perf_counter() + seconds
    number = 0
    while number < 3 or time.perf_counter() < end:
        place = number % len(names)
        said: dict[str, list[np.ndarray]] = {}
        for name in names[place:] + names[:place]:
            said[name] = []
            for step in range(turn):
                now = np.ascontiguousarray(frames[:, (number * turn + step) % frames.shape[1]])
                start = time.perf_counter()
                said[name].append(contenders[name](now))
                if step >= turn // 5:
                    taken[name].append(1e3 * (time.perf_counter() - start))
        for name in names:
            apart[name] = max(
                apart[name], float(np.abs(np.stack(said[name]) - np.stack(said[names[0]])).max())
            )
        number += 1
    return {name: (float(np.median(taken[name])), apart[name]) for name in names}


def judge(name: str, folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Export one model, let all contend, print the table."""
    keywords, wanted = MODELS[name]
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    model = create_model(name, num_classes=10, **keywords).eval()
    weights = folder / f"{name}.safetensors"
    save_model(weights, model, class_names=[f"class {k}" for k in range(10)])
    done = export(ExportConfig(run=str(weights), clips=2, step=True), say=lambda _: None)
    artifact = read_artifact(done.path)
    _, choice = choose(artifact, threads=args.threads, seconds=3.0)
    delta = done.about.certificate["runtimes"][choice.runtime]["delta"]
    height, width = artifact.about.spec.size
    print(f"\n{name} {width}×{height}: auto is {choice.runtime}; step against clip in torch: Δ {delta:.1e}")
    found = []
    for feeds in args.feeds:
        frames = probe_inputs(artifact.about.spec, batch=feeds)[0]["rgb"]
        contenders: dict[str, Step] = {
            "torch": open_stream(weights, feeds=feeds, device="cpu").step,
            "ONNX Runtime by hand": onnx_by_hand(artifact, feeds, args.threads),
            "OpenVINO by hand": openvino_by_hand(artifact, feeds, args.threads),
            "stream, onnxruntime": open_stream(
                done.path, feeds=feeds, runtime="onnxruntime", threads=args.threads
            ).step,
            "stream, auto": open_stream(done.path, feeds=feeds, threads=args.threads).step,
        }
        lines = contend(contenders, frames, args.seconds, args.turn)
        print(f"  {feeds} feed{'s' * (feeds > 1)}{'':16}{'ms a step':>12}{'frames/s':>10}{'Δ':>10}")
        for contender, (ms, apart) in lines.items():
            print(f"  {contender:24}{ms:12.3f}{1e3 * feeds / ms:10.0f}{apart:10.1e}")
        auto, hand = lines["stream, auto"][0], lines["ONNX Runtime by hand"][0]
        print(f"  wanted ≥ {wanted:.0f} frames/s; auto is {hand / auto:.2f}× ONNX Runtime by hand")
        found.append(
            {"model": name, "feeds": feeds, "auto": choice.runtime, "wanted": wanted, "delta": delta,
             "frames_s": 1e3 * feeds / auto, "against_by_hand": hand / auto,
             "lines": {contender: {"ms": ms, "delta": apart} for contender, (ms, apart) in lines.items()}}
        )  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--feeds", nargs="*", type=int, default=[1, 8])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument(
        "--turn", type=int, default=50, help="steps of a contender before the next one's turn"
    )
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--json", help="write the figures there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MAREY_CACHE"] = str(
            Path(folder) / "cache"
        )  # a choice of another day would not be measured
        print(f"{args.threads} threads, torch {torch.__version__}")
        found = [line for name in args.models for line in judge(name, Path(folder), args)]
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
