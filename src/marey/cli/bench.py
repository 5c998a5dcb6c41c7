"""`marey bench`: how fast an artifact is here, in every runtime, beside torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from marey.cli.parse import parse
from marey.jobs.speed import SpeedConfig


def run(args: Sequence[str]) -> int:
    """Print the table."""
    config = parse(SpeedConfig, args, "bench")

    from rich.console import Console

    from marey.jobs.speed import EAGER, speed
    from marey.report.artifact import speed_table

    found = speed(config)
    if config.json:
        print(json.dumps(asdict(found), indent=2))
        return 0
    console = Console()
    console.print(speed_table(asdict(found), EAGER))
    print(
        "\np50, p99, clips/s, frames/s: one clip at a time, the network alone; at best: clips/s (at that batch);\n"
        "path: from the file to the answer; MiB: most memory of a process that runs nothing else\n"
        f"of the path, decoding takes {found.decode_ms:.1f} ms and optical flow {found.flow_ms:.1f} ms a clip; "
        f"{found.threads} threads; videos: {found.videos}"
    )
    print(f"--runtime auto takes {found.auto}")
    for row in found.rows:
        if row.note:
            print(f"auto does not take {row.runtime}: {row.note}")
    for name, why in found.failed.items():
        print(f"{name} cannot run it: {why}")
    return 0
