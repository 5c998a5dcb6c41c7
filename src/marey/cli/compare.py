"""`marey compare`: several models on the same splits, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from marey.cli.parse import _take, parse
from marey.errors import UsageError
from marey.jobs.compare import CompareConfig


def run(args: Sequence[str]) -> int:
    """Compare from flags, or go on with `--resume RUN`; exit code 1 where samples could not be read."""
    words, resume = _take(list(args), "--resume")
    if resume and words:
        raise UsageError(
            f"--resume goes on exactly as the comparison began; {words[0]!r} would change it.",
            f"run: marey compare --resume {resume[0]}",
        )
    config = None if resume else parse(CompareConfig, words, "compare")

    from rich.console import Console

    from marey.jobs.compare import compare, resumed
    from marey.report.contest import contest_table

    done = compare(config or resumed(resume[0]), resume=resume[0] if resume else None)
    Console().print(contest_table(done.metrics["models"]))
    print(f"\n{done.metrics['conclusion']}")
    print(f"report:  {done.report}")
    failed = {name: len(m["failures"]) for name, m in done.metrics["models"].items() if m["failures"]}
    if failed:
        counts = ", ".join(f"{name} {count}" for name, count in failed.items())
        print(f"warning: samples that could not be read: {counts}; they are listed in the report.")
    return 1 if failed else 0
