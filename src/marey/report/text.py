"""Tables for the terminal. The protocol stands under every number; without one nothing is printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from marey.report import words


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def _titled(title: str, table: Table, *lines: str | None) -> Group:
    # Names come from users: Text keeps rich from reading "[red]" in them as markup.
    below = Text("\n".join(line for line in lines if line), style="dim")
    return Group(Text(f"\n{title}", style="bold"), table, below)


def _refused(title: str) -> Group:
    return Group(Text(f"\n{title}", style="bold"), Text(words.NO_PROTOCOL))


def metrics_table(metrics: Mapping[str, Any]) -> Group:
    """One run: every number with its interval; the protocol and how the intervals were made below.

    Args:
        metrics: what metrics.json holds.
    """
    title, protocol = words.model_line(metrics), words.protocol_line(metrics)
    if not protocol:
        return _refused(title)
    table = _table()
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("95% interval", justify="right")
    for key, name in words.METRIC_NAMES.items():
        if metrics.get(key) is not None:
            pair = (metrics.get("intervals") or {}).get(key)
            table.add_row(name, words.percent(metrics[key]), words.interval(pair))
    for branch, entry in (metrics.get("branches") or {}).items():
        key = words.headline_metric(metrics)
        if branch != "fusion":
            title_of = f"{words.METRIC_NAMES[key]}, {words.BRANCH_NAMES.get(branch, branch)}"
            table.add_row(title_of, words.percent(entry[key]), words.interval(entry["intervals"].get(key)))
    for key, name in (("chance", "chance (top-1)"), ("majority", "most frequent class alone")):
        if metrics.get(key) is not None:
            table.add_row(Text(name, style="dim"), Text(words.percent(metrics[key]), style="dim"), "")
    return _titled(title, table, protocol, f"intervals: {metrics.get('interval_method') or 'not recorded'}")


def logistic_line(metrics: Mapping[str, Any]) -> str:
    """The logistic probe beside a head on features: its top-1, and how much the head's is above it."""
    beside = metrics["logistic"]
    shown = f"{words.percent(beside['top1'])}, 95% {words.interval(beside['interval'])}"
    line = f"beside it, the same samples and parts: {beside['about']}: {shown}"
    if metrics.get("top1") is None:
        return line
    return f"{line}; the head is {words.points(metrics['top1'] - beside['top1'], sign=True)} points"


def audit_table(audit: Mapping[str, Any], protocol: Mapping[str, Any] | None = None) -> Group:
    """The temporal audit: accuracy under each condition and what the condition costs.

    Args:
        audit: the "audit" entry of metrics.json.
        protocol: the "protocol" of the same metrics.json (or the audit's own, where it carries one).
    """
    own = protocol or audit.get("protocol")
    line = words.protocol_line({"n": audit.get("n"), "protocol": own})
    if not line:
        return _refused("Temporal audit")
    table = _table()
    table.add_column("the same clips")
    table.add_column("top-1", justify="right")
    table.add_column("95% interval", justify="right")
    table.add_column("cost, points", justify="right")
    table.add_column("95% interval", justify="right")
    for key, name in words.CONDITION_NAMES.items():
        row = audit.get(key)
        if row:
            cells = [words.percent(row["top1"]), words.interval(row["interval"])]
            if "cost" in row:
                cells += [words.points(row["cost"]), words.points_interval(row["cost_interval"])]
            table.add_row(name, *cells)
    if audit.get("chance") is not None:
        table.add_row(Text("chance", style="dim"), Text(words.percent(audit["chance"]), style="dim"))
    intervals = f"intervals: {audit.get('interval_method') or 'not recorded'}"
    titled = _titled("Temporal audit", table, line, intervals)
    return Group(titled, Text(f"\n{audit['sentence']}")) if audit.get("sentence") else titled


def comparison_table(models: Mapping[str, Mapping[str, Any]]) -> Group:
    """Several runs side by side, one a column. A run without a protocol keeps its column and shows no numbers.

    Args:
        models: name to what its metrics.json holds.
    """
    lines = {name: words.protocol_line(metrics) for name, metrics in models.items()}
    caption = "\n".join(f"{name}: {line or words.NO_PROTOCOL}" for name, line in lines.items())
    if len(set(lines.values())) == 1 and all(lines.values()):
        caption = next(iter(lines.values()))  # one protocol for all is said once
    table = _table()
    table.add_column("")
    for name in models:
        table.add_column(Text(name), justify="right", overflow="fold")
    shown = [metrics if lines[name] else {} for name, metrics in models.items()]
    for key in ("top1", "mean_class_accuracy", "macro_f1", "map", "ece"):
        if any(metrics.get(key) is not None for metrics in shown):
            cells = [_cell(m.get(key), (m.get("intervals") or {}).get(key)) for m in shown]
            table.add_row(words.METRIC_NAMES[key], *cells)
    for key in ("shuffled", "reversed", "frozen"):
        rows = [(metrics.get("audit") or {}).get(key) or {} for metrics in shown]
        if any(rows):
            cells = [_cell(row.get("top1"), row.get("interval")) for row in rows]
            table.add_row(f"top-1 {words.CONDITION_NAMES[key]}", *cells)
    if any(metrics.get("chance") is not None for metrics in shown):
        table.add_row(
            Text("chance", style="dim"),
            *(Text(words.percent(metrics.get("chance")), style="dim") for metrics in shown),
        )
    return _titled("Comparison", table, caption, "beside each number its 95% interval")


def timelines_table(metrics: Mapping[str, Any]) -> Group:
    """A run that localizes: average mAP by each evaluator, and the dense scores where there are any.

    Args:
        metrics: what metrics.json holds.
    """
    title, protocol = words.model_line(metrics), words.protocol_line(metrics)
    if not protocol:
        return _refused(title)
    table = _table()
    table.add_column("evaluator")
    table.add_column("tIoU")
    table.add_column("average mAP", justify="right")
    table.add_column("95% interval", justify="right")
    for name, found in metrics["evaluators"].items():
        if "map" in found:
            pair = metrics["intervals"]["map"] if name == "activitynet 0.3:0.1:0.7" else None
            span = name.split()[-1]
            table.add_row(
                found["evaluator"],
                span,
                words.percent(found["average_map"]),
                words.interval(pair) if pair else "",
            )
    for found in (metrics.get("segmentation") or {}).values():
        f1 = ", ".join(f"F1@{k} {words.percent(v)}" for k, v in found["f1"].items())
        table.add_row(found["evaluator"], "", f"{f1}, edit {words.percent(found['edit'])}", "")
    return _titled(title, table, protocol, f"intervals: {metrics.get('interval_method') or 'not recorded'}")


def _cell(value: float | None, pair: list[float] | None) -> Text:
    shown = Text(words.percent(value))
    return shown.append(f"  {words.interval(pair)}", style="dim") if value is not None and pair else shown
