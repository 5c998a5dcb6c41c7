"""Addresses with credentials in them: taken from the environment, and never shown to anybody."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from marey.errors import ConfigError

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_LOGIN = re.compile(r"([A-Za-z][\w+.-]*://)[^\s'\"<>]*@")
_QUERY = re.compile(r"([A-Za-z][\w+.-]*://[^\s'\"<>?]*\?)[^\s'\"<>]*")


def from_environment(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`rtsp://${CAMERA_USER}:${CAMERA_PASSWORD}@yard/` with what the environment has under these names.

    Raises:
        ConfigError: the environment has no such name.
    """
    known = os.environ if environment is None else environment

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise ConfigError(
                f"the environment has no {found[1]}, which {cut(text)!r} asks for.",
                f"set it: export {found[1]}=…",
            )
        return known[found[1]]

    return _VARIABLE.sub(value, text)


def cut(text: str) -> str:
    """Any text without what may be a secret in its addresses: name and password before the @, and what follows a ?.

    Everything that people see goes through it: errors of FFmpeg and of sockets hold the address as it was given.
    """
    return _QUERY.sub(r"\1…", _LOGIN.sub(r"\1", text))


def host_alone(address: str) -> str:
    """`https://host` of an address whose path may be the secret, as of a webhook."""
    parts = urlsplit(address)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"
