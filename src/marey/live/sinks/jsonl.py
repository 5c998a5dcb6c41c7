"""Events as lines of a file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from marey.errors import DeliveryError
from marey.live.sinks.sink import Event


@dataclass(frozen=True, kw_only=True)
class JsonlConfig:
    """A file that grows by one line an event."""

    path: str
    """The file; it may be moved away at any time, and a new one is begun."""


class JsonlSink:
    """See `JsonlConfig`."""

    def __init__(self, config: JsonlConfig) -> None:
        self._path = Path(config.path)

    def deliver(self, event: Event) -> None:
        """Append a line and force it to the disk."""
        line = (json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n").encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                before = file.tell()
                try:
                    file.write(line)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(before)  # half a line would spoil the next
                    raise
        except OSError as error:
            raise DeliveryError(f"{error.strerror}.", where=str(self._path)) from error

    def close(self) -> None:
        """Nothing is open."""
