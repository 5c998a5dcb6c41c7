"""What is still to be told, and what the triggers remember: one SQLite file, so that both are written together.

An event and the state of the trigger that gave it reach the disk in one transaction. Killed before it, neither has
happened, and the trigger gives the event again with the same id; killed after it, both have. So after a restart no
alarm is lost and none is new twice.
"""

from __future__ import annotations

import json
import random
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marey.errors import DataError, DeliveryError
from marey.live.sinks.sink import Event, Sink

_FIRST, _LONGEST = 1.0, 60.0  # seconds until an event is sent again, doubled each time
_TABLES = """
CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT, feed TEXT, event TEXT);
CREATE INDEX IF NOT EXISTS by_sink ON waiting (sink, feed, number);
CREATE TABLE IF NOT EXISTS remembered (name TEXT PRIMARY KEY, value TEXT);
"""


@dataclass(frozen=True)
class Waiting:
    """An event that a sink has not taken yet."""

    number: int
    feed: str
    event: Event


class Outbox:
    """Events that wait for their sinks, and states by name.

    Args:
        path: the file; made where it is not there.

    Raises:
        DataError: this is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=FULL")  # a power cut takes nothing back
            self._file.executescript(_TABLES)
        except sqlite3.Error as error:
            raise DataError(
                f"what was to be told cannot be read: {error}.", "move it away to begin anew", where=str(path)
            ) from error
        self.bell = threading.Condition()

    @property
    def place(self) -> str:
        """A name of this file, made once: ids of events hold it, so that two installations never share one."""
        with self._lock, self._file:
            self._file.execute(
                "INSERT OR IGNORE INTO remembered VALUES ('place', ?)", (json.dumps(secrets.token_hex(4)),)
            )
            row = self._file.execute("SELECT value FROM remembered WHERE name = 'place'").fetchone()
        return str(json.loads(row[0]))

    def put(self, events: Iterable[Event], sinks: Iterable[str], states: Mapping[str, Any]) -> None:
        """Events for all sinks, and states, in one transaction."""
        rows = [(sink, e["feed"], json.dumps(e, ensure_ascii=False)) for e in events for sink in sinks]
        with self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            try:
                self._file.executemany("INSERT INTO waiting (sink, feed, event) VALUES (?, ?, ?)", rows)
                self._file.executemany(
                    "INSERT OR REPLACE INTO remembered VALUES (?, ?)",
                    [(f"state {name}", json.dumps(value)) for name, value in states.items()],
                )
                self._file.execute("COMMIT")
            except BaseException:
                self._file.execute("ROLLBACK")
                raise
        if rows:
            with self.bell:
                self.bell.notify_all()

    def states(self) -> dict[str, Any]:
        """What was put last, by name."""
        with self._lock:
            rows = self._file.execute(
                "SELECT name, value FROM remembered WHERE name LIKE 'state %'"
            ).fetchall()
        return {name.removeprefix("state "): json.loads(value) for name, value in rows}

    def first_of_each_feed(self, sink: str) -> list[Waiting]:
        """The oldest event of each feed that a sink has not taken: of a feed, none overtakes another."""
        with self._lock:
            rows = self._file.execute(
                "SELECT MIN(number), feed, event FROM waiting WHERE sink = ? GROUP BY feed ORDER BY 1",
                (sink,),
            ).fetchall()
        return [Waiting(number, feed, json.loads(event)) for number, feed, event in rows]

    def taken(self, waiting: Waiting) -> None:
        """A sink has it."""
        with self._lock:
            self._file.execute("DELETE FROM waiting WHERE number = ?", (waiting.number,))

    def count(self, sink: str) -> int:
        """How many events wait for a sink."""
        with self._lock:
            return int(
                self._file.execute("SELECT COUNT(*) FROM waiting WHERE sink = ?", (sink,)).fetchone()[0]
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


class Courier:
    """Carries the events of one sink, in a thread of its own; what is not taken, it brings again.

    Args:
        name: of the sink. sink: takes them. outbox: where they wait.
        say: told of each failure, and of the first success after one.
    """

    def __init__(
        self, name: str, sink: Sink, outbox: Outbox, say: Callable[[str, str], None] = lambda name, what: None
    ) -> None:
        self.name, self.delivered, self.failed, self.error = name, 0, 0, ""
        self._sink, self._outbox, self._say = sink, outbox, say
        self._stop = threading.Event()
        self._again: dict[str, tuple[float, int]] = {}  # of a feed: not before, tries so far
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Carry what can be carried at once, and end; what was not taken waits for the next start."""
        self._stop.set()
        with self._outbox.bell:
            self._outbox.bell.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            last = self._stop.is_set()
            moved = self._round()
            if last or (self._stop.is_set() and not moved):
                break
            if not moved:
                with self._outbox.bell:
                    self._outbox.bell.wait(0.2)
        self._sink.close()

    def _round(self) -> bool:
        """One event of each feed whose turn it is; whether any was taken."""
        moved = False
        for waiting in self._outbox.first_of_each_feed(self.name):
            not_before, tries = self._again.get(waiting.feed, (0.0, 0))
            if time.monotonic() < not_before:
                continue
            try:
                self._sink.deliver(waiting.event)
            except DeliveryError as error:
                self._failed(waiting.feed, tries, str(error))
            except Exception as error:  # a sink that breaks must not end the telling for good
                self._failed(waiting.feed, tries, f"{type(error).__name__}: {error}")
            else:
                self._outbox.taken(waiting)
                self._again.pop(waiting.feed, None)
                self.delivered += 1
                moved = True
                if self.error:
                    self.error = ""
                    self._say(self.name, "takes events again")
        return moved

    def _failed(self, feed: str, tries: int, why: str) -> None:
        wait = min(_FIRST * 2 ** min(tries, 10), _LONGEST) * random.uniform(0.5, 1)
        self._again[feed] = time.monotonic() + wait, tries + 1
        self.failed += 1
        self.error = why
        self._say(self.name, why)
