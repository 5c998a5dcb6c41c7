"""`marey models`: the registry with costs, or the public weights that start a model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from marey.cli.parse import parse
from marey.errors import ConfigError
from marey.jobs.models import markdown, model_rows
from marey.models.published import BACKBONE, Published, published_weights


@dataclass(frozen=True, kw_only=True)
class ModelsConfig:
    """List the models: parameters, cost of a clip, input, and what each is for."""

    classes: int = 400
    """Number of classes that parameters are counted for."""
    fast: bool = False
    """Only names and purposes: build nothing."""
    pretrained: bool = False
    """List the public weights instead: what there is, from where, with its maker's accuracy and protocol."""
    json: bool = False
    """For machines."""
    markdown: bool = False
    """The table as Markdown."""

    def __post_init__(self) -> None:
        if self.json and self.markdown:
            raise ConfigError("--json and --markdown are two ways to print one table; give one of them.")
        if self.pretrained and self.markdown:
            raise ConfigError("--markdown prints the table of models, in which the weights stand too.")


def run(args: Sequence[str]) -> int:
    """Print the table."""
    config = parse(ModelsConfig, args, "models")
    if config.pretrained:
        _print_weights(published_weights(), as_json=config.json)
        return 0
    rows = model_rows(classes=config.classes, count=not config.fast)
    if config.markdown:
        print(markdown(rows), end="")
        return 0
    if config.json:
        plain = []
        for row in rows:
            entry = {k: getattr(row.entry, k) for k in ("name", "input", "about", "paper")}
            cost = {} if config.fast else {"parameters": row.parameters, "gmacs": row.gmacs}
            plain.append(entry | cost)
        print(json.dumps(plain, indent=2))
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
        cost_cells = [] if row.parameters is None else [f"{row.parameters / 1e6:.1f} M", f"{row.gmacs:.2f}"]
        table.add_row(row.entry.name, *cost_cells, row.entry.input, row.entry.about)
    console = Console()
    console.print(table)
    if not config.fast:
        print(
            f"\nparameters with {config.classes} classes; "
            "GMACs of one clip of the input shown, multiply-adds counted once."
        )
    return 0


def _print_weights(weights: Sequence[Published], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([dataclasses.asdict(w) for w in weights], indent=2))
        return

    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    model = ""
    for w in weights:
        if w.model != model:
            model = w.model
            console.print(Text(f"{model}", style="bold"))
        console.print(Text(f"  {'--weights ' if w.direct else 'a file: '}{w.source}"))
        figures = f"top-1 {w.top1:.1f}%, top-5 {w.top5:.1f}%; {w.protocol}" if w.top1 is not None else ""
        known = figures or ("" if w.source == BACKBONE else "no accuracy is known for this very file")
        console.print(Text(f"      {w.data}{': ' if known else ''}{known}", style="dim"))
    print(
        "\n--weights NAME fetches the weights once, from their makers. A file is fetched by hand: --weights PATH.\n"
        "Accuracies are the makers' own under the protocol beside them; none was measured here. Weights of an\n"
        "image network start a video model: they inflate, or fill its backbone."
    )
