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
        table.add_row(
            name, *_line(found, certificate["limit"], versions[name.partition("-")[0]], about.precision)
        )
    return table


def _line(found: dict[str, Any], limit: float, version: str, precision: str) -> tuple[str, ...]:
    good = found["delta"] <= limit or precision == "int8"
    return (
        version,
        f"{found['delta']:.1e}",
        f"{found['top1']:.1%}",
        f"{found['clip_ms']:.1f}",
        "" if good else f"over {limit:g} ({found['worst']})",
    )


def speed_table(found: dict[str, Any], eager: str) -> Table:
    """What `marey bench` measured, a line a runtime, and how much faster than torch each is."""
    from rich.table import Table

    rows = found["rows"]
    torch_ms = next((row["p50_ms"] for row in rows if row["runtime"] == eager), None)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("runtime", no_wrap=True)
    for head in ("p50 ms", "p99 ms", "clips/s", "frames/s", "at best", "path ms", "MiB", "× torch"):
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(
            row["runtime"],
            f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}", f"{row['clips_s']:.1f}", f"{row['frames_s']:.0f}",
            f"{row['best_clips_s']:.1f} ({row['best_batch']})", f"{row['path_ms']:.1f}",
            "–" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}",
            "–" if torch_ms is None else f"{torch_ms / row['p50_ms']:.2f}",
        )  # fmt: skip
    return table
