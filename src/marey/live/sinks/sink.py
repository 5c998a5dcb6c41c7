"""What a place where events go has to do: take one, or say why not."""

from __future__ import annotations

from typing import Any, Protocol

Event = dict[str, Any]
"""Plain JSON. `id` is one for each event and stays the same when it is sent again; `alarm` is one for each alarm;
`type` is new, update or end."""


class Sink(Protocol):
    """Takes events, one at a time, from one thread."""

    def deliver(self, event: Event) -> None:
        """Hand it over; it is done when this returns.

        Raises:
            DeliveryError: it was not taken, or nobody knows; it is sent again later.
        """
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...
