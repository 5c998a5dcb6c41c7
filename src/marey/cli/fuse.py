"""`marey fuse`: join two branches that were trained by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from marey.cli.parse import parse
from marey.jobs.fuse import FuseConfig


def run(args: Sequence[str]) -> int:
    """Fuse, judge, report."""
    config = parse(FuseConfig, args, "fuse")

    from rich.console import Console

    from marey.jobs.fuse import fuse_runs
    from marey.report.text import audit_table, metrics_table

    done = fuse_runs(config)
    console = Console()
    console.print(metrics_table(done.metrics))
    if done.metrics.get("audit"):
        console.print(audit_table(done.metrics["audit"], done.metrics["protocol"]))
    for path in done.weights:
        print(f"weights: {path}")
    print(f"report:  {done.report}")
    return 0
