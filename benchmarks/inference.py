"""How fast artifacts are on this machine: `--runtime auto` beside plain torch, plain ONNX Runtime and plain OpenVINO.

    python benchmarks/inference.py [--models r2plus1d_18 …] [--seconds 12] [--threads 2] [--json OUT.json]
    python benchmarks/inference.py --folder exports --prepare    # only export, which takes longer than measuring
    python benchmarks/inference.py --folder exports

Every model is made with random weights and exported, with its parity certificate. "By hand" is what a user gets who
exports the same network to ONNX without marey's help (`torch.onnx.export`, a clip without mask, any batch and
length) and gives it to ONNX Runtime or to OpenVINO with the settings that these have by default. Whether what
OpenVINO gives so is torch's answer, the column Δ says; it counts among those that auto must not be slower than where
it is within 1e-3 of torch's probabilities.

All contenders take turns on the same clip in one process, so that the machine's moods meet all alike; the figures
are medians. How far apart two figures of the same thing lie says the column ±: every second round and the
others are two measurements. `path` is the whole way from an encoded file (the shared fight clips, `MAREY_SHARED` or
`../shared`;
else generated ones) to the answer.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from marey.data.clips import load_views
from marey.jobs.export import ExportConfig, export
from marey.models.base import VideoModel
from marey.models.registry import create_model
from marey.models.saved import load_model, save_model
from marey.predict.artifact import read_artifact
from marey.predict.predictor import stacked
from marey.predict.probes import probe_inputs
from marey.predict.runtime import TorchRuntime
from marey.predict.runtimes.choose import choose
from marey.spec import InputSpec
from marey.work import cores

# The model, its keywords, and how many times as fast as torch eager auto has to be.
MODELS: dict[str, tuple[str, dict[str, Any], float]] = {
    "r2plus1d_18": ("r2plus1d_18", {}, 2.5),
    "cnn_gru (MobileNetV3-L)": ("cnn_gru", {"backbone": "mobilenetv3_large_100", "size": 224}, 2.5),
    "video_swin_t": ("video_swin_t", {"frames": 16}, 4.0),
    "i3d": ("i3d", {"frames": 16}, 1.5),
    "timesformer_base": ("timesformer_base", {}, 1.5),
}
LIMIT = 1e-3
Run = Callable[[dict[str, np.ndarray], np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Line:
    """One contender: medians in milliseconds, how far the halves of the measurement of `clip_ms` lie apart as a share
    of it, and how far its probabilities lie from torch's."""

    name: str
    clip_ms: float
    noise: float
    path_ms: float
    delta: float


def plain_graph(model: VideoModel, example: dict[str, np.ndarray]) -> bytes:
    """What `torch.onnx.export` gives: no mask, any batch, any length where the network allows it."""

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, rgb: torch.Tensor) -> torch.Tensor:
            return self.model(rgb=rgb).softmax(dim=1)

    free = torch.export.Dim.DYNAMIC
    clip = torch.from_numpy(np.repeat(example["rgb"], 2, axis=0))
    axes = {0: free, 1: free} if model.traces_any_length else {0: free}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Plain().eval(), (), kwargs={"rgb": clip}, dynamic_shapes={"rgb": axes}, dynamo=True,
            external_data=False, verbose=False, output_names=["probabilities"],
        )  # fmt: skip
    return program.model_proto.SerializeToString()  # type: ignore[union-attr,no-any-return]


def by_hand(content: bytes) -> dict[str, Run]:
    """ONNX Runtime and OpenVINO with the settings that they have by default."""
    import onnxruntime as ort

    session = ort.InferenceSession(content)
    found: dict[str, Run] = {"ONNX Runtime by hand": lambda inputs, _: session.run(None, inputs)[0]}
    try:
        import openvino as ov
    except ModuleNotFoundError:
        return found
    try:
        compiled = ov.Core().compile_model(ov.Core().read_model(content), "CPU")
    except RuntimeError as error:
        print(f"OpenVINO by hand: does not convert: {str(error).splitlines()[-1]}")
        return found
    request = compiled.create_infer_request()
    found["OpenVINO by hand"] = lambda inputs, _: np.array(request.infer(inputs)["probabilities"])
    return found


def eager(model: VideoModel, threads: int) -> Run:
    """Plain torch: weights as they are made."""
    torch.set_num_threads(threads)
    runtime = TorchRuntime(model, channels_last=False)
    return lambda inputs, mask: softmax(runtime(inputs, mask))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of each row."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def contend(contenders: dict[str, Run], videos: list[str], spec: InputSpec, seconds: float) -> list[Line]:
    """All in turns, on one clip after another; first the network alone, then the whole path."""
    batches = [stacked(load_views(video, spec), spec) for video in videos]
    delta = dict.fromkeys(contenders, 0.0)
    for inputs, mask in batches:
        answers = {name: run(inputs, mask) for name, run in contenders.items()}
        for name in contenders:
            delta[name] = max(delta[name], float(np.abs(answers[name] - answers["torch eager"]).max()))

    def timed(work: Callable[[Run, int], object]) -> dict[str, list[float]]:
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        end = time.perf_counter() + seconds
        number = 0
        while number < 3 or time.perf_counter() < end:
            names = list(contenders)
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                start = time.perf_counter()
                work(contenders[name], number % len(videos))
                taken[name].append(1e3 * (time.perf_counter() - start))
            number += 1
        return taken

    alone = timed(lambda run, i: run(*batches[i]))
    path = timed(lambda run, i: run(*stacked(load_views(videos[i], spec), spec)))
    return [
        Line(name, middle(alone[name]), apart(alone[name]), middle(path[name]), delta[name])
        for name in contenders
    ]


def middle(times: list[float]) -> float:
    """The median."""
    return float(np.median(times))


def apart(times: list[float]) -> float:
    """How far two halves of one measurement lie from each other, every second round each: a share of the median."""
    return abs(middle(times[::2]) - middle(times[1::2])) / middle(times)


def real_videos(folder: Path) -> list[str]:
    """Eight of the shared fight clips, or generated ones."""
    shared = Path(os.environ.get("MAREY_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    clips = sorted((shared / "data" / "fight" / "clips").glob("*.mp4"))
    if clips:
        return [str(clip) for clip in clips[:: max(1, len(clips) // 8)][:8]]
    from marey.video.synthetic import MOTIONS, render_motion, write_video

    print("the shared videos are not here; generated ones")
    made = []
    for number in range(4):
        video = render_motion(MOTIONS[number], np.random.default_rng(number), size=256, frames=50, fps=25.0)
        made.append(str(write_video(folder / f"{number}.mp4", video.frames, fps=25.0)))
    return made


def prepare(name: str, folder: Path) -> Path:
    """The model, its artifact and its plain graph in a folder of their own; what is there is taken as it is."""
    registered, keywords, _ = MODELS[name]
    place = folder / name.split()[0]
    place.mkdir(parents=True, exist_ok=True)
    weights, plain = place / "best.safetensors", place / "plain.onnx"
    if plain.is_file():
        return place
    torch.manual_seed(0)
    model = create_model(registered, num_classes=10, **keywords).eval()
    save_model(weights, model, class_names=[f"class {k}" for k in range(10)])
    export(ExportConfig(run=str(weights), clips=2), say=lambda _: None)
    plain.write_bytes(plain_graph(model, probe_inputs(model.spec, batch=1)[0]))
    return place


def judge(name: str, *, seconds: float, threads: int, place: Path, videos: list[str]) -> dict[str, Any]:
    """Let all contend, print the table."""
    wanted = MODELS[name][2]
    artifact = read_artifact(place / "best.onnx")
    runtime, choice = choose(artifact, threads=threads, seconds=max(3.0, seconds / 4))
    spec = artifact.about.spec
    plain = by_hand((place / "plain.onnx").read_bytes())
    contenders: dict[str, Run] = {
        "torch eager": eager(load_model(place / "best.safetensors").model, threads),
        **plain,
        "auto": lambda x, mask: softmax(runtime(x, mask)),
    }
    lines = {line.name: line for line in contend(contenders, videos, spec, seconds)}
    base, auto = lines["torch eager"], lines["auto"]
    print(f"\n{name}: {spec.frames} × {spec.size[0]}×{spec.size[1]}, auto is {choice.runtime}")
    print(f"  {'':24}{'clip ms':>10}{'× torch':>9}{'±':>7}{'path ms':>10}{'× torch':>9}{'Δ':>10}")
    for line in lines.values():
        print(
            f"  {line.name:24}{line.clip_ms:10.1f}{base.clip_ms / line.clip_ms:9.2f}"
            f"{line.noise:7.1%}"
            f"{line.path_ms:10.1f}{base.path_ms / line.path_ms:9.2f}{line.delta:10.1e}"
        )
    rivals = [line for line in lines.values() if line.name.endswith("by hand") and line.delta <= LIMIT]
    best = min(rivals, key=lambda line: line.clip_ms, default=base)
    print(
        f"  wanted ≥ {wanted}× torch; the best by hand within {LIMIT:g} is {best.name}, {best.clip_ms:.1f} ms"
    )
    return {
        "model": name, "auto": choice.runtime, "wanted": wanted, "ratio": base.clip_ms / auto.clip_ms,
        "path_ratio": base.path_ms / auto.path_ms, "best_by_hand": best.name,
        "against_by_hand": best.clip_ms / auto.clip_ms, "lines": [vars(line) for line in lines.values()],
    }  # fmt: skip


def versions() -> str:
    """Of what runs."""
    packages = ("torch", "onnxruntime", "openvino")
    return ", ".join(f"{p} {metadata.version(p)}" for p in packages if importlib.util.find_spec(p))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=list(MODELS), help="first words of their names")
    parser.add_argument("--folder", help="keep the exports there, and take those that are there")
    parser.add_argument("--prepare", action="store_true", help="export, and measure nothing")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each of the two measurements")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--json", help="write the figures there")
    args = parser.parse_args()
    names = [name for name in MODELS if any(name.startswith(word) for word in args.models)]
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["MAREY_CACHE"] = str(Path(temporary) / "cache")  # a choice of another day is not measured
        folder = Path(args.folder or temporary)
        places = {name: prepare(name, folder) for name in names}
        if args.prepare:
            return
        videos = real_videos(Path(temporary))
        print(f"{args.threads} threads, {versions()}, {len(videos)} videos")
        found = [
            judge(name, seconds=args.seconds, threads=args.threads, place=place, videos=videos)
            for name, place in places.items()
        ]
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
