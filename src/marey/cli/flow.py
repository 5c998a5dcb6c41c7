"""`marey flow`: compute the motion of videos ahead of training, or look at it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from marey.cli.parse import parse
from marey.errors import ConfigError

if TYPE_CHECKING:
    from marey.video.stretch import Place


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Compute the optical flow between all neighbouring frames of videos and keep it; what is there is kept."""

    data: Annotated[str, tyro.conf.Positional]
    """Manifest, folder (searched for videos, folders below included), or a video."""
    root: str | None = None
    """Folder that relative video paths of a manifest start from."""
    out: str | None = None
    """Folder for the flow: two gray videos and a JSON for each video, and flow.csv."""
    method: str = "dis-medium"
    """tvl1, dis-ultrafast, dis-fast, dis-medium, farneback, lk-sparse, raft-small, raft-large, or diff."""
    size: int | None = 256
    """Short side in pixels to which frames are scaled first (None: as they are)."""
    stride: int = 1
    """Flow from each frame to the stride-th after it: 2 for footage that holds every frame twice."""
    weights: str | None = None
    """Weights file for raft-small or raft-large (default: torchvision's, downloaded once)."""
    workers: int | None = None
    """Processes (default: one a CPU core; one for raft)."""
    show: str | None = None
    """Write a PNG of the first video's motion here: arrows, and the colour wheel."""


def run(args: Sequence[str]) -> int:
    """Compute or show; exit code 1 where a video could not be done."""
    config = parse(FlowConfig, args, "flow")
    if config.out is None and config.show is None:
        raise ConfigError(
            "flow needs a place to go.", "give --out FOLDER, or --show PICTURE.png to look at it"
        )

    from marey.video.flow import extract_flow, flow_method, show_flow

    flow_method(config.method)
    videos = _videos(config)
    if config.show is not None:
        first = videos[0] if isinstance(videos[0], str) else videos[0].path
        picture = show_flow(
            first, config.show, method=config.method, size=config.size, weights=config.weights
        )
        print(f"{picture}: {config.method} flow of {first}")
    if config.out is None:
        return 0
    report = extract_flow(
        videos,
        config.out,
        method=config.method,
        size=config.size,
        weights=config.weights,
        stride=config.stride,
        workers=config.workers,
    )
    print(str(report), file=sys.stderr if report.exit_code else sys.stdout)
    return report.exit_code


def _videos(config: FlowConfig) -> Sequence[str | Place]:
    """Samples of a manifest with their segments, or the paths of videos."""
    path = Path(config.data)
    held = any((path / f"manifest{suffix}").is_file() for suffix in (".csv", ".parquet"))
    if held or path.suffix.lower() in (".csv", ".parquet"):
        from marey.data.manifest import Manifest

        # a file that is not there is one failure among the others, not the end of the work
        manifest = Manifest.read(path, root=config.root, files=False)
        return [manifest.sample(row) for row in range(len(manifest))]

    from marey.jobs.predict import find_videos

    return find_videos((config.data,))
