"""`marey data windows`: segments to windows of one length, for a classifier that slides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from marey.cli.parse import parse


@dataclass(frozen=True, kw_only=True)
class WindowsConfig:
    """Cut the videos of a manifest of segments into windows, each with the labels of what happens in it."""

    data: Annotated[str, tyro.conf.Positional]
    """Manifest of segments: path, label, start, end."""
    to: Annotated[str, tyro.conf.Positional]
    """Where the new manifest goes; a file that is there is not written over."""
    root: str | None = None
    """Folder that relative video paths start from."""
    window: float = 1.0
    """Seconds of a window."""
    stride: float = 0.5
    """Seconds from one window to the next."""
    share: float = 0.5
    """Share of a window that an action must fill."""
    background: str = "background"
    """Label of a window in which nothing happens."""


def run(args: Sequence[str]) -> int:
    """Write the manifest and say how many windows each label has."""
    config = parse(WindowsConfig, args, "data windows")

    from marey.data.manifest import Manifest
    from marey.data.windows import write_windows

    counts = write_windows(
        Manifest.read(config.data, root=config.root), config.to, window=config.window, stride=config.stride,
        share=config.share, background=config.background,
    )  # fmt: skip
    print(f"{config.to}: windows by label: {', '.join(f'{name} {n}' for name, n in counts.items())}")
    return 0
