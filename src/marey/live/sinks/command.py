"""Events as input of a program."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from marey.errors import ConfigError, DeliveryError
from marey.live.sinks.sink import Event


@dataclass(frozen=True, kw_only=True)
class CommandConfig:
    """A program that is run for every event, with the event as JSON on its standard input."""

    run: tuple[str, ...]
    """The program and its arguments; no shell reads them."""
    timeout: float = 30.0
    """Seconds after which it is ended."""

    def __post_init__(self) -> None:
        if not self.run:
            raise ConfigError("run is the program and its arguments; got none.")


class CommandSink:
    """See `CommandConfig`."""

    def __init__(self, config: CommandConfig) -> None:
        self._config = config

    def deliver(self, event: Event) -> None:
        """Run it; an exit code other than 0 is no."""
        run = self._config.run
        try:
            done = subprocess.run(
                run, input=json.dumps(event).encode(), timeout=self._config.timeout, check=False,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            what = getattr(error, "strerror", None) or f"did not end in {self._config.timeout:g} s"
            raise DeliveryError(f"{what}.", where=run[0]) from error
        if done.returncode:
            raise DeliveryError(f"ended with exit code {done.returncode}.", where=run[0])

    def close(self) -> None:
        """Nothing runs."""
