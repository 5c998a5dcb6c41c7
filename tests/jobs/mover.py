"""A real classifier that knows motion from rest without a training: a random network with a head fitted in closed
form; and videos in which a square moves at known times."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from marey.models import create_model, save_model
from marey.types import FloatArray, UInt8Array
from marey.video.synthetic import write_video

SIZE, FRAMES = 32, 4
SPEED = 24.0  # pixels a second


def draw(times: FloatArray, spans: Sequence[tuple[float, float]], seed: int = 0) -> UInt8Array:
    """A square that moves inside the spans and rests outside them, on a still background: `(T, 32, 32, 3)`."""
    rng = np.random.default_rng(seed)
    back = rng.integers(60, 120, (SIZE, SIZE, 3)).astype(np.uint8)
    frames = np.repeat(back[None], len(times), axis=0)
    travelled = sum(np.clip(times, a, b) - a for a, b in spans) if spans else np.zeros(len(times))
    room = SIZE - 8
    place = np.abs((travelled * SPEED + rng.uniform(0, room)) % (2 * room) - room)
    for frame, x in zip(frames, np.round(place).astype(int), strict=True):
        frame[12:20, x : x + 8] = 240
    return frames


def video(
    path: Path,
    spans: Sequence[tuple[float, float]],
    *,
    times: FloatArray | None = None,
    seconds: float = 10.0,
    seed: int = 0,
) -> Path:
    """Encode such a video, by default at 10 frames a second."""
    instants = np.arange(round(seconds * 10)) / 10 if times is None else times
    return write_video(path, draw(instants, spans, seed), times=instants)


def save_mover(path: Path, *, multi_label: bool = False) -> Path:
    """The classifier, of "background" and "move"; multi-label of "move" alone."""
    from sklearn.linear_model import LogisticRegression

    torch.manual_seed(0)
    classes = ("move",) if multi_label else ("background", "move")
    model = create_model(
        "frame_difference", num_classes=len(classes), width=8, frames=FRAMES, size=SIZE
    ).eval()
    moments = np.arange(FRAMES) * 0.25
    clips = [draw(moments, [(-9.0, 9.0)] if i % 2 else [], seed=i) for i in range(80)]
    x_BTCHW = torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3).contiguous()
    with (
        torch.no_grad()
    ):  # without biases, the network scales as its first layers do: features of a usual size
        model.appearance[0].weight.zero_()
        model.motion[0].weight.div_(model.features(rgb=x_BTCHW).std())
        x_ND = model.features(rgb=x_BTCHW).mean(dim=1).numpy()
    mean_D, scale_D = x_ND.mean(axis=0), x_ND.std(axis=0) + 1e-9
    fitted = LogisticRegression(max_iter=1000).fit((x_ND - mean_D) / scale_D, np.arange(80) % 2)
    w_D = torch.from_numpy(fitted.coef_[0] / scale_D).float()
    b = float(fitted.intercept_[0] - fitted.coef_[0] @ (mean_D / scale_D))
    with torch.no_grad():
        sign = torch.tensor([1.0]) if multi_label else torch.tensor([-0.5, 0.5])
        model.fc.weight.copy_(sign[:, None] * w_D)
        model.fc.bias.copy_(sign * b)
    model.spec = model.spec.__class__.from_dict({**model.spec.to_dict(), "resize": SIZE})
    save_model(path, model, class_names=classes, multi_label=multi_label, extra={"clip_seconds": 1.0})
    return path


def found(run: Path) -> list[dict[str, str]]:
    """The rows of a run's timeline.csv."""
    with (run / "timeline.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def near(rows: list[dict[str, str]], spans: list[tuple[float, float]], within: float) -> bool:
    """Whether the rows are these segments, to so many seconds."""
    return len(rows) == len(spans) and all(
        abs(float(row["start"]) - a) < within and abs(float(row["end"]) - b) < within
        for row, (a, b) in zip(rows, spans, strict=True)
    )
