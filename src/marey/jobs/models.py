"""The registry as a table: what each model costs, and which public weights there are for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from marey.models.published import BACKBONE, KINETICS, Published, published_weights
from marey.models.registry import ModelEntry, list_models


@dataclass(frozen=True)
class ModelRow:
    """A model, and what one clip of its default input costs.

    Attributes:
        entry: what the registry says.
        parameters: how many numbers are learned; None where nothing was built.
        gmacs: 10⁹ multiply-accumulates of one clip; None where nothing was built.
    """

    entry: ModelEntry
    parameters: int | None = None
    gmacs: float | None = None


def model_rows(*, classes: int = 400, count: bool = True) -> list[ModelRow]:
    """Every model of the registry.

    Args:
        classes: what parameters are counted for.
        count: False builds nothing and is quick.
    """
    if not count:
        return [ModelRow(entry) for entry in list_models()]
    import torch

    from marey.models.cost import profile
    from marey.models.registry import create_model

    rows = []
    for entry in list_models():
        with torch.device("meta"):  # shapes alone are counted: nothing is filled with numbers
            cost = profile(create_model(entry.name, num_classes=classes))
        rows.append(ModelRow(entry, cost.parameters, cost.gmacs))
    return rows


def markdown(rows: Iterable[ModelRow]) -> str:
    """The table of docs/models.md."""
    weights: dict[str, list[Published]] = {}
    for published in published_weights():
        weights.setdefault(published.model, []).append(published)
    lines = [
        "| model | parameters | GMACs | input | paper | public weights (top-1 on Kinetics-400) |",
        "|---|---:|---:|---|---|---|",
    ]
    for row in rows:
        entry = row.entry
        paper = f"[{entry.paper.rpartition('/')[2]}]({entry.paper})" if entry.paper else ""
        millions = "" if row.parameters is None else f"{row.parameters / 1e6:.1f} M"
        gmacs = "" if row.gmacs is None else f"{row.gmacs:.2f}"
        known = "<br>".join(_in_words(w) for w in weights.get(entry.name, [])) or "–"
        cells = (f"`{entry.name}`", millions, gmacs, entry.input, paper, known)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _in_words(weights: Published) -> str:
    name = f"`{weights.source}`" if weights.direct else "a file"
    if weights.source.startswith("https://"):
        name = f"[`{weights.source.rpartition('/')[2]}`]({weights.source})"
    if weights.source == BACKBONE:
        return f"{name}: its timm backbone's"
    if weights.data != KINETICS:
        return f"{name} ({weights.data})"
    return f"{name} {weights.top1:.1f}%" if weights.top1 is not None else name
