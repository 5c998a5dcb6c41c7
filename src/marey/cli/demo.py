"""`marey demo`: see in a few minutes why time matters."""

from __future__ import annotations

from collections.abc import Sequence

from marey.cli.parse import parse
from marey.jobs.demo import DemoConfig, demo


def run(args: Sequence[str]) -> int:
    """Run the demo and print its table and conclusion."""
    config = parse(DemoConfig, args, "demo")

    from rich.console import Console

    from marey.report.text import audit_table, comparison_table

    done = demo(config)
    console = Console()
    console.print(comparison_table(done.metrics["models"]))
    for name, audit in done.metrics["audit"].items():
        print(f"\n{name}")
        console.print(audit_table(audit, done.metrics["protocol"]))
    print(
        f"\n{done.example} shows {done.example_label!r}; "
        f"predicted {done.example_prediction!r} ({done.example_score:.0%})"
    )
    print(f"\n{done.metrics['conclusion']}\n")
    print(f"report:  {done.report}")
    print(f"try it:  marey predict {done.weights} {done.example}")
    return 0
