"""`marey doctor`: what this machine has, and what is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from marey.cli.parse import parse

EXTRAS = {
    "torchcodec": "torchcodec",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "tensorrt": "tensorrt",
}


@dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """Say what this machine has, and try the path from an encoded video to a prediction."""

    json: bool = False
    """For machines."""


def run(args: Sequence[str]) -> int:
    """Print what was found; exit code 1 if the path from video to prediction does not work."""
    config = parse(DoctorConfig, args, "doctor")

    import torch

    from marey.runs import environment

    found = environment()
    found["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else (
        "Apple MPS" if torch.backends.mps.is_available() else "CPU only"
    )  # fmt: skip
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    found["memory_gib"] = round(memory / 2**30, 1)
    found["free_disk_gib"] = round(shutil.disk_usage(Path.cwd()).free / 2**30, 1)
    shm = Path("/dev/shm")
    found["shared_memory_gib"] = round(shutil.disk_usage(shm).total / 2**30, 2) if shm.is_dir() else None
    found["extras"] = {name: importlib.util.find_spec(module) is not None for name, module in EXTRAS.items()}
    found["decoders"] = _decoders()
    found["video_to_prediction"] = _try_the_path()
    healthy = found["video_to_prediction"] == "works"
    if config.json:
        print(json.dumps(found, indent=2))
        return 0 if healthy else 1
    packages = found.pop("packages")
    print("packages   " + "  ".join(f"{name} {version or 'missing'}" for name, version in packages.items()))
    print(
        f"machine    {found['platform']}, Python {found['python']}, {found['cpus']} CPUs, {found['memory_gib']} GiB"
    )
    print(f"device     {found['device']}")
    print(
        f"disk       {found['free_disk_gib']} GiB free here; shared memory {found['shared_memory_gib']} GiB"
    )
    if found["shared_memory_gib"] is not None and found["shared_memory_gib"] < 1:
        print("           little shared memory: keep --workers 0, or give the container more (--shm-size)")
    print(
        "decoders   "
        + "  ".join(f"{name} {'yes' if there else 'NO'}" for name, there in found["decoders"].items())
    )
    print(
        "extras     "
        + "  ".join(f"{name} {'yes' if there else 'no'}" for name, there in found["extras"].items())
    )
    print(f"a video from file to prediction: {found['video_to_prediction']}")
    return 0 if healthy else 1


def _decoders() -> dict[str, bool]:
    import av

    wanted = ("h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4", "gif")
    return {name: name in av.codecs_available for name in wanted}


def _try_the_path() -> str:
    """Encode a small video, build a small model, predict: every library that a user needs, once."""
    import numpy as np

    from marey.errors import MareyError
    from marey.models.registry import create_model
    from marey.predict.predictor import Predictor
    from marey.predict.runtime import TorchRuntime
    from marey.video.synthetic import MOTIONS, render_motion, write_video

    with tempfile.TemporaryDirectory() as folder:
        try:
            video = render_motion("left", np.random.default_rng(0), frames=12, fps=12.0)
            path = write_video(Path(folder) / "left.mp4", video.frames, fps=12.0)
            model = create_model("r2plus1d_tiny", num_classes=len(MOTIONS))
            predictor = Predictor(TorchRuntime(model), model.spec, MOTIONS, workers=1)
            total = float(predictor.predict(str(path)).probabilities.sum())
        except (MareyError, OSError, RuntimeError, ValueError) as error:
            return f"FAILS: {type(error).__name__}: {error}"
    return "works" if abs(total - 1) < 1e-5 else f"FAILS: probabilities sum to {total}"
