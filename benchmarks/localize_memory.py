"""Memory that `marey localize` takes at most, over the length of the video.

    python benchmarks/localize_memory.py [--minutes 1 10 60] [--forms picture page vtt srt eaf video] [--json]

A generated minute of 64×64 pixels at 10 frames a second is repeated without encoding it anew, so that an hour is made
in a second. Each length is localized by a command of its own, once by a classifier that slides (windows of 1 s every
0.5 s) and once by a localizer on features computed on the way; what is counted is the process's peak of resident
memory (VmHWM of Linux), of which most is the libraries themselves. Weights are random: memory does not ask what they
are. Without `--forms` no files for people are made.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import numpy as np

FPS, SIZE = 10, 64

RUN = """
import re, sys
from pathlib import Path
from marey.cli.main import main
code = main(sys.argv[1:])
print("code", code, re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1), file=sys.stderr)
"""


def minute(path: Path) -> Path:
    """A minute of steps."""
    from marey.video.steps import render_steps
    from marey.video.synthetic import write_video

    made = render_steps(np.random.default_rng(0), seconds=60, fps=FPS, size=SIZE)
    return write_video(path, made.frames, fps=FPS)


def repeated(source: Path, path: Path, times: int) -> Path:
    """The same packets again and again, each time later by the video's length."""
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        stream = given.streams.video[0]
        out = made.add_stream_from_template(stream)
        packets = [p for p in given.demux(stream) if p.pts is not None and p.dts is not None]
        length = round(60 / stream.time_base)
        content = [(bytes(p), p.pts, p.dts, p.duration, p.is_keyframe) for p in packets]
        for turn in range(times):
            for data, pts, dts, duration, key in content:
                packet = av.Packet(data)
                packet.stream, packet.time_base = out, stream.time_base
                packet.pts, packet.dts, packet.duration = pts + turn * length, dts + turn * length, duration
                packet.is_keyframe = key
                made.mux(packet)
    return path


def save_both(folder: Path) -> dict[str, Path]:
    """A classifier that slides, and a localizer with the network of its features beside it; random weights."""
    import torch

    from marey.localize.pyramid import Localizer
    from marey.localize.saved import save_localizer
    from marey.models import create_model, save_model
    from marey.models.saved import fingerprint

    torch.manual_seed(0)
    network = create_model("frame_difference", num_classes=3, width=8, frames=8, size=48).eval()
    classifier = folder / "classifier.safetensors"
    save_model(classifier, network, class_names=("background", "a", "b"), extra={"clip_seconds": 1.0})
    save_model(folder / "network.safetensors", network, class_names=("background", "a", "b"))
    kwargs = {
        "num_classes": 2,
        "features": 64,
        "channels": 32,
        "mixer": "maxpool",
        "ranges": [[0, 4], [4, 1e4]],
    }
    localizer = folder / "localizer.safetensors"
    spec = network.spec.to_dict()
    features = {
        "fps": FPS, "num_frames": 8, "feat_stride": 4, "model": "frame_difference", "network": fingerprint(network),
        "input": {k: spec[k] for k in ("modalities", "size", "resize", "mean", "std")},
    }  # fmt: skip
    save_localizer(
        localizer, "localizer", kwargs, Localizer(**kwargs).state_dict(), class_names=("a", "b"), features=features,
        extra={},
    )  # fmt: skip
    return {"classifier that slides": classifier, "localizer": localizer}


def peak(weights: Path, video: Path, out: Path, forms: list[str]) -> float:
    """Megabytes at most while the video is localized."""
    flags = ["--stride", "0.5"] if weights.stem == "classifier" else []
    words = [
        "localize",
        str(weights),
        str(video),
        "--out",
        str(out),
        "--device",
        "cpu",
        *flags,
        "--forms",
        *forms,
    ]
    done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True, check=False)
    found = re.search(r"code 0 (\d+)", done.stderr)
    if found is None:
        sys.exit(f"it failed:\n{done.stderr}")
    return int(found[1]) / 1024


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--minutes", type=int, nargs="+", default=[1, 10, 60])
    ask.add_argument("--forms", nargs="*", default=[])
    ask.add_argument("--json", action="store_true", help="one JSON object for machines")
    asked = ask.parse_args()
    found: dict[str, dict[int, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, weights = minute(folder / "one.mp4"), save_both(folder)
        for minutes in asked.minutes:
            video = repeated(one, folder / f"{minutes}-minutes.mp4", minutes)
            for way, file in weights.items():
                found.setdefault(way, {})[minutes] = peak(file, video, folder / "runs", asked.forms)
                if not asked.json:
                    print(f"{way:<24}{minutes:>4} min  {found[way][minutes]:>7.0f} MB", flush=True)
    if asked.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
