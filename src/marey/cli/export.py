"""`marey export`: one file of a trained model, and the proof that it gives the same answers."""

from __future__ import annotations

from collections.abc import Sequence

from marey.cli.parse import parse
from marey.jobs.export import ExportConfig


def run(args: Sequence[str]) -> int:
    """Export; print the certificate."""
    config = parse(ExportConfig, args, "export")

    from rich.console import Console

    from marey.files import size_words
    from marey.jobs.export import export
    from marey.report.artifact import certificate_table

    done = export(config)
    console = Console()
    console.print(certificate_table(done.about))
    print(f"\n{done.path}: {size_words(done.path.stat().st_size)}")
    print(f"use it:  marey predict {done.path} VIDEO…")
    return 0
