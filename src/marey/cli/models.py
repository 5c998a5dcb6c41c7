"""`marey models`: the registry, with costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from marey.cli.parse import parse


@dataclass(frozen=True, kw_only=True)
class ModelsConfig:
    """List the models: parameters, cost of a clip, input, and what each is for."""

    classes: int = 400
    """Number of classes that parameters are counted for."""
    fast: bool = False
    """Only names and purposes: build nothing."""
    json: bool = False
    """For machines."""


def run(args: Sequence[str]) -> int:
    """Print the table."""
    config = parse(ModelsConfig, args, "models")

    from marey.models.registry import create_model, list_models

    rows = []
    for entry in list_models():
        row: dict[str, object] = {
            "name": entry.name,
            "input": entry.input,
            "about": entry.about,
            "paper": entry.paper,
        }
        if not config.fast:
            import torch

            from marey.models.cost import profile

            with torch.device("meta"):  # shapes alone are counted: nothing is filled with numbers
                cost = profile(create_model(entry.name, num_classes=config.classes))
            row |= {"parameters": cost.parameters, "gmacs": cost.gmacs}
        rows.append(row)
    if config.json:
        print(json.dumps(rows, indent=2))
        return 0

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    if not config.fast:
        table.add_column("parameters", justify="right")
        table.add_column("GMACs", justify="right")
    table.add_column("input", no_wrap=True)
    table.add_column("for")
    for row in rows:
        cost_cells = [] if config.fast else [f"{row['parameters'] / 1e6:.1f} M", f"{row['gmacs']:.2f}"]  # type: ignore[operator]
        table.add_row(str(row["name"]), *cost_cells, str(row["input"]), str(row["about"]))
    console = Console()
    console.print(table)
    if not config.fast:
        print(
            f"\nparameters with {config.classes} classes; "
            "GMACs of one clip of the input shown, multiply-adds counted once."
        )
    return 0
