"""The kinds of sinks, and how `rules.yaml` becomes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marey.config import from_tree
from marey.errors import ConfigError, did_you_mean
from marey.live.sinks.command import CommandConfig, CommandSink
from marey.live.sinks.jsonl import JsonlConfig, JsonlSink
from marey.live.sinks.mqtt import MqttConfig, MqttSink
from marey.live.sinks.sink import Sink
from marey.live.sinks.webhook import WebhookConfig, WebhookSink

KINDS: dict[str, tuple[type[Any], Callable[[Any], Sink]]] = {
    "jsonl": (JsonlConfig, JsonlSink),
    "webhook": (WebhookConfig, WebhookSink),
    "mqtt": (MqttConfig, MqttSink),
    "command": (CommandConfig, CommandSink),
}


def make_sinks(tree: dict[str, Any], *, where: str = "rules") -> dict[str, Sink]:
    """Sinks by name: `{hook: {kind: webhook, address: https://…}}`.

    Raises:
        ConfigError: an unknown kind or key, or a value that cannot be. MissingExtraError: no such package here.
    """
    sinks: dict[str, Sink] = {}
    for name, plain in tree.items():
        spot = f"{where} sink {name}"
        kind = plain.get("kind") if isinstance(plain, dict) else None
        if kind not in KINDS:
            raise ConfigError(
                f"a sink has a kind; got {kind!r}.{did_you_mean(str(kind), KINDS)}",
                f"kinds: {', '.join(KINDS)}",
                where=spot,
            )
        config, make = KINDS[kind]
        settings = {key: value for key, value in plain.items() if key != "kind"}
        try:
            sinks[str(name)] = make(from_tree(config, settings, where=spot))
        except ConfigError as error:
            raise ConfigError(error.what, *error.details, where=spot) from error
    return sinks
