"""What an artifact is, for the terminal: the certificate that an export ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marey.predict.about import Description

if TYPE_CHECKING:
    from rich.table import Table


def certificate_table(about: Description) -> Table:
    """The comparison with torch, a line a runtime."""
    from rich.table import Table

    certificate = about.certificate
    versions: dict[str, str] = certificate["versions"]
    title = (
        f"{about.model} against torch {versions['torch']}: {certificate['cases']} batches of "
        f"{certificate['clips']} clips ({certificate['source']})"
    )
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("runtime")
    table.add_column("version")
    for head in ("max |Δ| of a probability", "same top-1", "ms a clip"):
        table.add_column(head, justify="right")
    table.add_column("")
    table.add_row("torch", versions["torch"], "", "", f"{certificate['torch_ms']:.1f}", "")
    for name, found in certificate["runtimes"].items():
        table.add_row(name, *_line(found, certificate["limit"], versions[name.partition("-")[0]]))
    return table


def _line(found: dict[str, Any], limit: float, version: str) -> tuple[str, ...]:
    good = found["delta"] <= limit
    return (
        version,
        f"{found['delta']:.1e}",
        f"{found['top1']:.1%}",
        f"{found['clip_ms']:.1f}",
        "" if good else f"over {limit:g} ({found['worst']})",
    )
