"""`marey watch`: cameras become alarms."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from marey.cli.parse import parse
from marey.jobs.watch_config import WatchConfig

if TYPE_CHECKING:
    from marey.live.watch import Watch

_COLOURS = {"live": "green", "connecting": "cyan", "ended": "dim", "frozen": "yellow", "stale": "yellow"}


def run(args: Sequence[str]) -> int:
    """Watch until SIGTERM or Ctrl-C, which both end it in good order; exit code 0."""
    config = parse(WatchConfig, args, "watch")

    from marey.jobs.watch import watch

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if config.plain or not sys.stdout.isatty():
        watch(config, stopped=stop.is_set, say=log)
        return 0

    from rich.live import Live

    with Live(refresh_per_second=4, transient=False) as live:
        lines: list[str] = []

        def say(what: str, **fields: Any) -> None:
            lines.append(_line(what, fields))
            del lines[:-6]

        watch(config, stopped=stop.is_set, say=say, show=lambda watched: live.update(view(watched, lines)))
    return 0


def log(what: str, **fields: Any) -> None:
    """A line of JSON on stderr. Addresses come without credentials; the last wall is here."""
    from marey.live.addresses import cut

    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = json.dumps({"time": now, "what": what, **fields}, ensure_ascii=False, default=str)
    print(cut(line), file=sys.stderr, flush=True)


def view(watch: Watch, lines: Sequence[str]) -> Any:
    """The feeds as a table, and what happened last below it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("feed", "state"):
        table.add_column(column)
    for column in ("age", "frames", "dropped"):
        table.add_column(column, justify="right")
    table.add_column("rules")
    now = time.monotonic()
    for name, feed in watch.feeds.items():
        state, last = feed.state, feed.last_frame
        rules = Text()
        for lane in watch.lanes:
            for watched in lane.watched if lane.feed == name else ():
                score = "–" if watched.score is None else f"{watched.score:.0%}"
                style = "bold red" if watched.state.alarmed else ""
                rules.append(f"{watched.rule.name} {score} ({watched.state.number})  ", style=style)
        words = f"{state}: {feed.error}" if state == "down" else state
        word = Text(words, style=_COLOURS.get(state, "red"))
        table.add_row(
            name, word, "" if last is None else f"{now - last:.1f} s",
            f"{feed.counts.frames:,}", f"{feed.counts.dropped:,}", rules,
        )  # fmt: skip
    return Group(table, Text(""), *[Text(line, style="dim") for line in lines])


def _line(what: str, fields: dict[str, Any]) -> str:
    from marey.live.addresses import cut

    said = "  ".join(
        str(value) if key == what else f"{key} {value}"
        for key, value in fields.items()
        if value not in ("", None) and key != "id"
    )
    return cut(f"{datetime.now():%H:%M:%S}  {what}  {said}")
