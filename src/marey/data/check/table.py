"""A check for a terminal: one table, a section a kind, faults first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marey.data.check.check import Check
from marey.data.check.findings import counted
from marey.data.check.kinds import BY_NAME, Finding

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = 20


def format_check(check: Check) -> RenderableType:
    """The table: of each kind what to do, then place, file and what was got of its findings, the first twenty."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Text(_head(check))
    if not check.findings:
        return Group(head, Text("nothing is wrong.", style="green"))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), expand=False)
    table.add_column("finding", overflow="fold", min_width=12)
    table.add_column("where", overflow="fold", ratio=2)
    table.add_column("what was got, and → what to do", overflow="fold", ratio=5)
    by_kind: dict[str, list[Finding]] = {}
    for finding in check.findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    for name, found in by_kind.items():
        kind = BY_NAME[name]
        style = "bold red" if kind.fault else "bold yellow"
        for number, finding in enumerate(found[:_SHOWN]):
            title = Text(f"{name}\n× {len(found):,}" if len(found) > 1 else name, style=style)
            table.add_row(title if number == 0 else "", Text(_place(finding)), Text(finding.got))
        if len(found) > _SHOWN:
            table.add_row("", "", Text(f"… {len(found) - _SHOWN:,} more, all in check.json", style="dim"))
        table.add_row("", "", Text(f"→ {kind.do}", style="italic"))
        table.add_section()
    return Group(head, table, Text(_sum(check), style="red" if check.faults else "green"))


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
