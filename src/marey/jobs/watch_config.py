"""What `marey watch` is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from marey.errors import ConfigError, UsageError


@dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """Watch cameras and other live sources, and tell alarms by the rules of a file."""

    feeds: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """rtsp://, http(s)://, a camera's number, a file, or - for a pipe; NAME=ADDRESS gives it a name. ${NAME} inside
    is taken from the environment."""
    model: str
    """An exported artifact (.onnx), a weights file, or the folder of a run."""
    rules: str
    """YAML: what is an alarm, where, when, and who is told."""
    state: str = "watch"
    """Folder for what must survive a restart: undelivered events, and what triggers remember."""
    window: float | None = None
    """Seconds that the model looks at (default: what its sampler looks at, or 2)."""
    every: float | None = None
    """Seconds from one look to the next (default: a quarter of the window)."""
    gate: float = 0.002
    """Share of the pixels that must change before the model is asked; 0 asks it always."""
    follow: bool = False
    """Files are still being written: wait for more at their end. For MPEG-TS, Matroska and fragmented MP4."""
    playlists: bool = False
    """Open HLS playlists, which name further addresses."""
    host: str = "127.0.0.1"
    """Where /healthz and /metrics answer."""
    port: int | None = None
    """Their port; without it they do not answer."""
    runtime: str = "auto"
    """What runs an artifact."""
    plain: bool = False
    """Log lines, also on a terminal."""

    def __post_init__(self) -> None:
        if not self.feeds:
            raise UsageError("no feeds were named.", "give addresses or files, as NAME=ADDRESS or alone")
        if not 0 <= self.gate < 1:
            raise ConfigError(f"--gate is a share of the pixels from 0 on, below 1; got {self.gate}.")
        for name in ("window", "every"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 3600:
                raise ConfigError(f"--{name} is a number of seconds above 0; got {value}.")
