"""`marey eval`: judge a trained model on labelled videos."""

from __future__ import annotations

from collections.abc import Sequence

from marey.cli.parse import parse
from marey.jobs.evaluate import EvalConfig
from marey.jobs.judge_predictions import JudgeConfig


def run(args: Sequence[str], *, audit: bool = False) -> int:
    """Judge; exit code 1 where samples could not be read. `--task localize` judges segments that any tool predicted."""
    verb = "audit" if audit else "eval"
    if not audit and any(word.split("=")[0] in ("--task", "--predictions") for word in args):
        return _predictions(args)
    config = parse(EvalConfig, args, verb)

    from rich.console import Console

    from marey.jobs.evaluate import evaluate
    from marey.report.text import audit_table, metrics_table

    done = evaluate(config, audit=audit, verb=verb)
    console = Console()
    console.print(metrics_table(done.metrics))
    if done.metrics.get("audit"):
        console.print(audit_table(done.metrics["audit"], done.metrics["protocol"]))
    print(f"report:  {done.report}")
    failures = done.metrics["failures"]
    if failures:
        print(f"warning: {len(failures)} samples could not be read, and are not in these numbers:")
        for failure in failures[:10]:
            print(f"  {failure['error'].splitlines()[0]}")
    return 1 if failures else 0


def _predictions(args: Sequence[str]) -> int:
    """Judge segments that are written down already."""
    config = parse(JudgeConfig, args, "eval --task localize")

    from rich.console import Console

    from marey.jobs.judge_predictions import judge_predictions
    from marey.report.text import timelines_table

    done = judge_predictions(config)
    Console().print(timelines_table(done.metrics))
    print(f"report:  {done.report}")
    return 0
