"""Configuration is frozen dataclasses; YAML and flags are two spellings of the same tree.

`to_yaml` writes the whole of a tree, `from_tree` reads one back. An unknown key is an error that names the
nearest, and so is a value of the wrong type: a setting that was misspelt must not silently keep its default.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from marey.errors import ConfigError, did_you_mean

Config = TypeVar("Config")


def to_tree(config: Any) -> dict[str, Any]:
    """A dataclass tree as plain dictionaries, lists, strings and numbers."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def to_yaml(config: Any) -> str:
    """The whole tree as YAML, defaults included, in the order of the fields."""
    import yaml

    return str(yaml.safe_dump(to_tree(config), sort_keys=False, allow_unicode=True))


def read_yaml(cls: type[Config], path: str | Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: not there, not YAML, an unknown key, or a value of the wrong type; names file and key.
    """
    import yaml

    path = Path(path)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"the configuration cannot be read: {error.strerror}.", where=str(path)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"this is not YAML: {problem}.", where=f"{path}{line}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"a configuration is a table of settings; got {tree!r}.", where=str(path))
    return from_tree(cls, tree, where=str(path))


def from_tree(cls: type[Config], tree: dict[str, Any], *, where: str = "configuration") -> Config:
    """Build a dataclass tree from plain dictionaries; keys that are absent keep their defaults."""
    return typing.cast(Config, _build(cls, tree, where, ""))


def _build(cls: type[Any], tree: dict[str, Any], where: str, prefix: str) -> Any:
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]
    given = {}
    for key, value in tree.items():
        name = str(key).replace("-", "_")
        if name not in names:
            raise ConfigError(
                f"unknown setting {prefix + str(key)!r}.{did_you_mean(name, names)}",
                f"known settings{' of ' + prefix[:-1] if prefix else ''}: {', '.join(names)}",
                where=where,
            )
        given[name] = _value(hints[name], value, where, prefix + name)
    missing = [
        field.name
        for field in dataclasses.fields(cls)
        if field.init
        and field.name not in given
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"the setting {prefix + missing[0]!r} is missing.", where=where)
    try:
        return cls(**given)
    except ConfigError as error:
        raise type(error)(error.what, *error.details, where=where) from error


def _value(hint: Any, value: Any, where: str, name: str) -> Any:
    """`value` as the type that the field declares, or an error that names both."""
    hint = _bare(hint)
    origin, args = typing.get_origin(hint), [_bare(arg) for arg in typing.get_args(hint)]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, dict):
            return _build(hint, value, where, name + ".")
    elif origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        for arg in args:
            try:
                return _value(arg, value, where, name)
            except ConfigError:
                continue
    elif origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
        raise ConfigError(
            f"{name} is {value!r}.{did_you_mean(str(value), map(str, typing.get_args(hint)))}",
            f"allowed: {', '.join(map(str, typing.get_args(hint)))}",
            where=where,
        )
    elif origin is tuple and isinstance(value, (list, tuple)):
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_value(args[0], item, where, name) for item in value)
        if len(args) == len(value):
            return tuple(_value(arg, item, where, name) for arg, item in zip(args, value, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {_value(args[0], k, where, name): _value(args[1], v, where, name) for k, v in value.items()}
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as a word
        try:
            return float(value)
        except ValueError:
            pass
    elif (hint is int and isinstance(value, int) and not isinstance(value, bool)) or (
        hint in (str, bool) and isinstance(value, hint)
    ):
        return value
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif hint is Any:
        return value
    raise ConfigError(f"{name} must be {_words(hint)}; got {value!r}.", where=where)


def _bare(hint: Any) -> Any:
    """A type without the annotations that a command line hangs on it."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_tree(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def _words(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    if hint in names:
        return names[hint]
    args = [arg for arg in typing.get_args(hint) if arg is not Ellipsis]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join("null" if arg is type(None) else _words(_bare(arg)) for arg in args)
    if typing.get_origin(hint) is tuple:
        return f"a list of {_words(_bare(args[0]))}"
    return str(getattr(hint, "__name__", hint))
