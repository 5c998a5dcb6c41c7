"""Events and states for an MQTT broker.

TOPIC/availability            online, retained; offline, retained, by the broker itself when marey is gone
TOPIC/events/FEED/RULE        each event as JSON, once delivered at least (QoS 1)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from marey.errors import DeliveryError, require
from marey.live.addresses import from_environment
from marey.live.sinks.sink import Event


@dataclass(frozen=True, kw_only=True)
class MqttConfig:
    """A broker that is told of every event."""

    host: str
    port: int = 1883
    topic: str = "marey"
    """What all topics begin with."""
    user: str | None = None
    """${NAME} is taken from the environment."""
    password: str | None = None
    """${NAME} is taken from the environment."""
    tls: bool = False
    """Whether the connection is encrypted, and the broker's certificate checked."""
    timeout: float = 10.0
    """Seconds after which a broker's word is not waited for any longer."""


class MqttSink:
    """See `MqttConfig`.

    Raises:
        MissingExtraError: paho-mqtt is not installed.
    """

    def __init__(self, config: MqttConfig) -> None:
        paho: Any = require("paho.mqtt.client", "live")
        self._config = config
        self._where = f"{config.host}:{config.port}"
        self._online = f"{config.topic}/availability"
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        if config.user is not None:
            password = None if config.password is None else from_environment(config.password)
            self._client.username_pw_set(from_environment(config.user), password)
        if config.tls:
            self._client.tls_set()
        self._client.will_set(self._online, "offline", qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.reconnect_delay_set(1, 4)
        self._client.connect_async(config.host, config.port, keepalive=20)
        self._client.loop_start()

    def _connected(self, client: Any, data: Any, flags: Any, code: Any, properties: Any) -> None:
        if not code.is_failure:
            client.publish(self._online, "online", qos=1, retain=True)

    def deliver(self, event: Event) -> None:
        """Publish it and wait until the broker says that it has it."""
        if not self._client.is_connected():
            raise DeliveryError("no connection to the broker.", where=self._where)
        topic = f"{self._config.topic}/events/{_level(event['feed'])}/{_level(event['rule'])}"
        sent = self._client.publish(topic, json.dumps(event, ensure_ascii=False), qos=1)
        try:
            sent.wait_for_publish(self._config.timeout)
        except (RuntimeError, ValueError) as error:
            raise DeliveryError(f"the broker did not take it: {error}.", where=self._where) from error
        if not sent.is_published():
            raise DeliveryError("the broker does not say that it took it.", where=self._where)

    def close(self) -> None:
        """Say that nobody watches any longer."""
        if self._client.is_connected():
            self._client.publish(self._online, "offline", qos=1, retain=True).wait_for_publish(2)
        self._client.disconnect()
        self._client.loop_stop()


def _level(name: str) -> str:
    """A name as one level of a topic."""
    return "".join("_" if c in "/+#\0" else c for c in name)
