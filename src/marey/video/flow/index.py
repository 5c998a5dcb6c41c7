"""`flow.csv`: which video's flow lies in which folder, or why it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marey.files import read_table, renew_table
from marey.video.flow.job import FlowPlan, FlowSettings
from marey.video.stretch import Stretch

COLUMNS = (
    "path",
    "start",
    "end",
    "method",
    "size",
    "stride",
    "status",
    "folder",
    "fields",
    "share_beyond_bound",
    "error",
)
IDENTITY = ("path", "start", "end", "method", "size", "stride")
INDEX = "flow.csv"


def read_index(out: str | Path) -> list[dict[str, str]]:
    """The rows of `flow.csv`: `COLUMNS` as text, one row for each video and setting."""
    return read_table(Path(out) / INDEX)


def write_index(
    out: Path,
    jobs: list[Stretch],
    settings: FlowSettings,
    plans: dict[Stretch, FlowPlan],
    made: dict[Stretch, dict[str, Any]],
    failures: dict[Stretch, str],
) -> None:
    """Renew `flow.csv`: this call's rows replace those of the same video and settings; others stay."""
    before = {_identity(row): row for row in read_index(out)}
    rows = []
    for job in jobs:
        row: dict[str, str] = dict.fromkeys(COLUMNS, "")
        row |= {**job.cells(), "method": settings.method, "size": str(settings.size or "")}
        row["stride"] = str(settings.stride)
        if job in failures:
            row |= {"status": "failed", "error": failures[job]}
        else:
            row |= {"status": "whole", "folder": plans[job].folder, "fields": str(plans[job].fields)}
        old = before.get(_identity(row), {})
        if job in made:
            row["share_beyond_bound"] = f"{made[job]['share_beyond_bound']:.6f}"
        elif old.get("folder") == row["folder"]:
            row["share_beyond_bound"] = old.get("share_beyond_bound", "")
        rows.append(row)
    renew_table(out / INDEX, COLUMNS, rows, IDENTITY)


def _identity(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row.get(column, "") for column in IDENTITY)
