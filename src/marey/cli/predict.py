"""`marey predict`: classify videos with a trained model."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from marey.cli.parse import parse
from marey.errors import MareyError
from marey.jobs.predict import PredictConfig


def run(args: Sequence[str]) -> int:
    """Print one row a video; exit code 1 where a video could not be read."""
    config = parse(PredictConfig, args, "predict")

    from marey.jobs.predict import predict, predictor_for

    predictor = predictor_for(config)
    failures: list[tuple[str, MareyError]] = []
    stream = predict(config, predictor, on_error=lambda path, error: failures.append((path, error)))
    if config.json:
        for item in stream:
            print(json.dumps(item), flush=True)
    else:
        _table(stream, predictor.protocol)
    for path, error in failures:
        print(f"error: {error if path in str(error) else f'{path}: {error}'}", file=sys.stderr)
    return 1 if failures else 0


def _table(stream: object, protocol: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("video", overflow="fold")
    table.add_column("prediction")
    table.add_column("score", justify="right")
    table.add_column("then")
    rows = 0
    for item in stream:  # type: ignore[attr-defined]
        best, *rest = item["top"]
        table.add_row(
            item["path"],
            "|".join(item["labels"]) or "(none)",
            f"{best['score']:.1%}",
            "  ".join(f"{other['label']} {other['score']:.1%}" for other in rest[:2]),
        )
        rows += 1
    if rows:
        Console().print(table)
        print(f"\n{rows} video{'s' * (rows > 1)}; {protocol}")
