"""A check for a terminal: one table, a section a kind, faults first. A section says once what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marey.data.check.check import Check
from marey.data.check.findings import counted
from marey.data.check.kinds import BY_NAME, Finding

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = 20


def format_check(check: Check) -> RenderableType:
    """Of each kind what to do, then place, file and what was got of its findings, the first twenty."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [Text(_head(check)), Text()]
    by_kind: dict[str, list[Finding]] = {}
    for finding in check.findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    for name, found in by_kind.items():
        kind = BY_NAME[name]
        title = Text(f"{name} × {len(found):,}  " if len(found) > 1 else f"{name}  ")
        title.stylize("bold red" if kind.fault else "bold yellow")
        parts.append(title + Text(kind.do, style="italic"))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=True)
        table.add_column(overflow="fold", ratio=2)
        table.add_column(overflow="fold", ratio=3)
        for finding in found[:_SHOWN]:
            table.add_row(Text(_place(finding)), Text(finding.got))
        if len(found) > _SHOWN:
            table.add_row(Text(f"… {len(found) - _SHOWN:,} more, all in check.json", style="dim"), "")
        parts.append(Padding(table, (0, 0, 1, 2)))
    return Group(*parts, Text(_sum(check), style="red" if check.faults else "green"))


def _head(check: Check) -> str:
    manifest = check.manifest
    kinds = f", {len(manifest.class_names)} classes" if check.labelled else ", without labels"
    how = "every frame decoded" if check.full else "opened, 16 pictures of each decoded (--full decodes all)"
    return f"{manifest.origin.name}: {len(manifest):,} samples in {check.videos:,} videos{kinds}; {how}"


def _place(finding: Finding) -> str:
    """The place, and the file where the place does not name it."""
    if not finding.path or finding.where.endswith(finding.path):  # a folder's place is the file
        return finding.path or finding.where
    return f"{finding.where}\n{finding.path}"


def _sum(check: Check) -> str:
    def told(fault: bool) -> str:
        kinds = counted([finding for finding in check.findings if finding.fault == fault])
        return ", ".join(f"{count:,} {name}" for name, count in kinds.items())

    faults = len(check.faults)
    notes = len(check.findings) - faults
    lines = [f"{faults:,} fault{'s' if faults != 1 else ''}: {told(True)}" if faults else "nothing is wrong"]
    if notes:
        lines.append(f"{notes:,} note{'s' if notes != 1 else ''}: {told(False)}")
    return "; ".join(lines) + "."
