"""From words on a command line to a configuration: flags over a YAML file over defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from marey.config import read_yaml
from marey.errors import ConfigError, UsageError

Config = TypeVar("Config")


def parse(cls: type[Config], args: Sequence[str], verb: str, *, default: Config | None = None) -> Config:
    """Read flags into a dataclass.

    `--config FILE` gives the values that flags then change; both are spellings of one tree.

    Args:
        cls: a frozen dataclass; its docstrings are the help.
        args: the words after the verb.
        verb: for the usage line.
        default: values where neither flags nor file say anything.

    Raises:
        UsageError: words that cannot be read (already explained on stderr), ConfigError: values that cannot be.
    """
    words, files = _take(list(args), "--config")
    for file in files:
        default = read_yaml(cls, file)
    options: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(
        cls,
        prog=f"marey {verb}",
        args=words,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
        **options,
    )


def _take(words: list[str], flag: str) -> tuple[list[str], list[str]]:
    """Pull `flag VALUE` and `flag=VALUE` out of the words."""
    rest, values = [], []
    while words:
        word = words.pop(0)
        if word == flag:
            if not words:
                raise ConfigError(f"{flag} needs the path of a YAML file.")
            values.append(words.pop(0))
        elif word.startswith(flag + "="):
            values.append(word.partition("=")[2])
        else:
            rest.append(word)
    if len(values) > 1:
        raise UsageError(f"{flag} was given {len(values)} times.")
    return rest, values
