"""Events as signed POST requests, as https://www.standardwebhooks.com asks for: libraries that check them exist.

`webhook-id` is the event's id (the same when it is sent again), `webhook-timestamp` seconds since 1970, and
`webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from marey.errors import ConfigError, DeliveryError
from marey.live.addresses import from_environment, host_alone
from marey.live.sinks.sink import Event


@dataclass(frozen=True, kw_only=True)
class WebhookConfig:
    """A web address that is told of every event."""

    address: str
    """https://…; ${NAME} is taken from the environment. Its path is never shown: it may be the secret."""
    secret: str | None = None
    """What requests are signed with, "whsec_" and base64; write ${NAME}, and keep it in the environment."""
    timeout: float = 10.0
    """Seconds after which an answer is not waited for any longer."""


class WebhookSink:
    """See `WebhookConfig`.

    Raises:
        ConfigError: no web address, or a secret that is not base64.
    """

    def __init__(self, config: WebhookConfig) -> None:
        self._address = from_environment(config.address)
        if not self._address.startswith(("http://", "https://")):
            raise ConfigError("the address of a webhook begins with https:// (or http://).")
        self._shown = host_alone(self._address)
        self._key = None if config.secret is None else _key(from_environment(config.secret))
        self._timeout = config.timeout
        self._opener = urllib.request.build_opener(_NoRedirect())

    def deliver(self, event: Event) -> None:
        """POST it; any answer but 2xx is no."""
        body = json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "marey",
            "webhook-id": str(event["id"]),
            "webhook-timestamp": stamp,
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, str(event["id"]), stamp, body)
        request = urllib.request.Request(self._address, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout):
                return
        except urllib.error.HTTPError as error:
            raise DeliveryError(f"answered {error.code}.", where=self._shown) from None
        except (OSError, ValueError, EOFError) as error:  # http.client's own are no OSErrors, but ValueErrors
            why = getattr(error, "reason", None) or error
            raise DeliveryError(f"could not be reached ({type(why).__name__}).", where=self._shown) from None
        except Exception as error:  # http.client.HTTPException: an answer that is none
            raise DeliveryError(
                f"answered with nonsense ({type(error).__name__}).", where=self._shown
            ) from None

    def close(self) -> None:
        """Nothing is open."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed event goes to the address that was named, and to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


def signature(key: bytes, event: str, stamp: str, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
    digest = hmac.new(key, f"{event}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(
            "the secret of a webhook is base64, with or without whsec_ before it.",
            "make one: openssl rand -base64 24",
        ) from error
    if len(key) < 16:
        raise ConfigError(f"a secret of {len(key)} bytes is too short.", "make one: openssl rand -base64 24")
    return key
