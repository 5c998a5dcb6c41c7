"""`flow.csv`: which video's flow lies in which folder, or why it does not."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from marey.files import write_text
from marey.video.flow.job import FlowJob, FlowPlan, FlowSettings

COLUMNS = (
    "path",
    "start",
    "end",
    "method",
    "size",
    "status",
    "folder",
    "fields",
    "share_beyond_bound",
    "error",
)
INDEX = "flow.csv"


def read_index(out: str | Path) -> list[dict[str, str]]:
    """The rows of `flow.csv`: `COLUMNS` as text, one row for each video and setting."""
    path = Path(out) / INDEX
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_index(
    out: Path,
    jobs: list[FlowJob],
    settings: FlowSettings,
    plans: dict[FlowJob, FlowPlan],
    made: dict[FlowJob, dict[str, Any]],
    failures: dict[FlowJob, str],
) -> None:
    """Renew `flow.csv`: this call's rows replace those of the same video and settings; others stay."""
    rows = {_identity(row): row for row in read_index(out)}
    for job in jobs:
        row: dict[str, str] = dict.fromkeys(COLUMNS, "")
        row |= {"path": job.path, "method": settings.method, "size": str(settings.size or "")}
        row |= {k: "" if v is None else repr(v) for k, v in (("start", job.start), ("end", job.end))}
        if job in failures:
            row |= {"status": "failed", "error": failures[job]}
        else:
            row |= {"status": "whole", "folder": plans[job].folder, "fields": str(plans[job].fields)}
        before = rows.get(_identity(row), {})
        if job in made:
            row["share_beyond_bound"] = f"{made[job]['share_beyond_bound']:.6f}"
        elif before.get("folder") == row["folder"]:
            row["share_beyond_bound"] = before.get("share_beyond_bound", "")
        rows[_identity(row)] = row
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, extrasaction="ignore", restval="")
    table.writeheader()
    table.writerows(rows.values())
    write_text(out / INDEX, text.getvalue())


def _identity(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row.get(column, "") for column in ("path", "start", "end", "method", "size"))
