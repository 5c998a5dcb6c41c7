"""Scripted scenes: still and moving stretches, whose motion is known to the frame; and a small model in a file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from marey.types import UInt8Array
from tests.export.small import saved_model
from tests.video.encoded import pictures

RATE = 20
FIGHT = "a"  # a class of the small model; its weights are random, so that any motion scores a little


def scene(*stretches: tuple[str, float], height: int = 64, width: int = 96) -> UInt8Array:
    """Frames at 20 a second: `("still", 2.0), ("moving", 1.5), …` in seconds."""
    moving = pictures(400, height, width)
    frames, at = [], 0
    for kind, seconds in stretches:
        count = round(seconds * RATE)
        if kind == "moving":
            frames.append(moving[at : at + count])
            at += count
        else:
            frames.append(np.repeat(moving[at : at + 1], count, axis=0))
    return np.concatenate(frames)


def model(folder: Path) -> Path:
    """Weights of a small model."""
    return saved_model(folder / "run", "cnn_gru")


def rules(folder: Path, *, clips: bool = True, **rest: object) -> Path:
    """Rules by which any motion is an alarm, told to a file."""
    rule = {"name": "fight", "label": FIGHT, "on": 0.01, "off": 0.005, "gap": 5, **rest}
    tree = {
        "rules": [rule],
        "sinks": {"log": {"kind": "jsonl", "path": str(folder / "alarms.jsonl")}},
        "clips": {"folder": str(folder / "clips"), "before": 1, "after": 0.5, "spare": 0} if clips else {},
    }
    path = folder / "rules.yaml"
    path.write_text(json.dumps(tree))  # JSON is YAML
    return path


def told(folder: Path) -> list[dict]:
    """What was told so far."""
    path = folder / "alarms.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Running:
    """`marey watch` as a process of its own."""

    def __init__(self, folder: Path, *words: str, environment: dict[str, str] | None = None) -> None:
        import os

        self.log = (folder / "log.txt").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "marey", "watch", *words],
            stderr=self.log,
            stdout=self.log,
            env={**os.environ, **(environment or {})},
        )

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self) -> int:
        """As systemd does; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)
