"""The run folder: one training or judgement and everything that belongs to it.

runs/<verb>/<name>/
    config.yaml  command.txt  environment.json      what was asked, how, and with what
    split.csv                                       which sample was on which side
    results.csv  metrics.json  predictions.csv      what came out
    weights/  plots/  report.html  log.txt
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from marey.errors import ConfigError
from marey.files import write_json, write_text

_PACKAGES = ("torch", "torchvision", "timm", "av", "numpy", "opencv-contrib-python-headless", "scikit-learn")


@dataclass(frozen=True)
class RunFolder:
    """A folder that exists and belongs to one run."""

    path: Path

    @classmethod
    def create(cls, out: str | Path, verb: str, name: str) -> RunFolder:
        """Make `out/verb/name`. A name that exists gets a number: no run ever writes over another."""
        if not name or Path(name).name != name or name in (".", ".."):
            raise ConfigError(f"{name!r} cannot be the name of a run.", "give a plain name, without slashes.")
        parent = Path(out) / verb
        try:
            parent.mkdir(parents=True, exist_ok=True)
            for number in range(1, 1_000_000):
                path = parent / (name if number == 1 else f"{name}-{number}")
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
                return cls(path)
        except OSError as error:
            raise ConfigError(
                f"the run folder cannot be made: {error.strerror}.",
                "choose another place with --out.",
                where=str(parent),
            ) from error
        raise ConfigError(f"{parent} holds a million runs named {name!r}.")

    @property
    def weights(self) -> Path:
        return self.path / "weights"

    def describe(self, config_yaml: str) -> None:
        """Write config.yaml, command.txt and environment.json."""
        write_text(self.path / "config.yaml", config_yaml)
        write_text(self.path / "command.txt", command_line() + "\n")
        write_json(self.path / "environment.json", environment())


def environment() -> dict[str, Any]:
    """Versions and hardware that a result depends on; names no host and no user."""
    versions: dict[str, str | None] = {}
    for package in ("marey", *_PACKAGES):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "packages": versions,
    }
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        found["torch_threads"] = torch.get_num_threads()
        found["cuda"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return found


def command_line() -> str:
    """The command as one would type it again."""
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    return shlex.join(["marey" if program in ("marey", "__main__.py") else program, *sys.argv[1:]])
