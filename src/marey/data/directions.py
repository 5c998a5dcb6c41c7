"""What a mirror does to class names: which name a direction, and which trade places. No torch.

"turn left" seen in a mirror is "turn right". A flip that leaves the label alone teaches the opposite of what
is seen, silently; so a class whose name holds a direction is flipped only where its partner is known.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from marey.data.origin import DataWarning
from marey.errors import ConfigError, UnknownNameError

Axis: TypeAlias = Literal["horizontal", "vertical"]

_TURNS = {"clockwise": "anticlockwise"}
_PAIRS: dict[str, dict[str, str]] = {
    "horizontal": {
        **_TURNS, "left": "right", "leftward": "rightward", "leftwards": "rightwards",
        "east": "west", "eastward": "westward", "eastwards": "westwards", "lefthand": "righthand",
        "lefthanded": "righthanded",
    },
    "vertical": {
        **_TURNS, "up": "down", "upward": "downward", "upwards": "downwards", "top": "bottom",
        "above": "below", "over": "under", "north": "south", "raise": "lower", "rise": "fall",
    },
}  # fmt: skip
_SWAP = {axis: {**pairs, **{b: a for a, b in pairs.items()}} for axis, pairs in _PAIRS.items()}
_SAME = {
    "cw": "clockwise",
    "ccw": "anticlockwise",
    "acw": "anticlockwise",
    "counterclockwise": "anticlockwise",
}


@dataclass(frozen=True, eq=False)
class FlipRule:
    """What a flip does to each of K classes.

    Attributes:
        becomes: int64 `(K,)`, the class index after the flip.
        allowed: bool `(K,)`, False where no label would be right after the flip: such clips are not flipped.
    """

    becomes: NDArray[np.int64]
    allowed: NDArray[np.bool_]


def names_direction(name: str, axis: Axis = "horizontal") -> bool:
    """Whether a class name holds a word that a flip along this axis turns into another."""
    return any(word in _SWAP[axis] for word in _words(name))


def flip_map_from_names(class_names: Sequence[str], axis: Axis = "horizontal") -> dict[str, str]:
    """Classes that trade places in a mirror, found by their words: each name with all its direction words
    exchanged, where that is a class too. Both directions of a pair are in the map.

    Two spellings of one name ("turn-left", "TurnLeft") leave the pair out: there is no telling which is meant.
    """
    spelled: dict[tuple[str, ...], list[str]] = {}
    for name in class_names:
        spelled.setdefault(_words(name), []).append(name)
    found = {}
    for name in class_names:
        words = _words(name)
        mirrored = tuple(_SWAP[axis].get(word, word) for word in words)
        partners = spelled.get(mirrored, [])
        if mirrored != words and len(partners) == 1 and len(spelled[words]) == 1:
            found[name] = partners[0]
    return found


def flip_rule(class_names: Sequence[str], pairs: Sequence[str] = (), axis: Axis = "horizontal") -> FlipRule:
    """The rule from what the user wrote: `("left=right", …)`, `("auto",)` for `flip_map_from_names`, or nothing.

    A class whose name holds a direction and that no pair names is not flipped, and a `DataWarning` says so, with what
    has not been tried yet.
    `"name=name"` says that it may be flipped and stays what it is.

    Raises:
        ConfigError: a pair that is not written `a=b`, or a class in two pairs.
        UnknownNameError: a name that is no class.
    """
    index = {name: i for i, name in enumerate(class_names)}
    mapping = (
        flip_map_from_names(class_names, axis)
        if tuple(pairs) == ("auto",)
        else flip_pairs(pairs, class_names)
    )
    becomes = np.arange(len(class_names), dtype=np.int64)
    for name, other in mapping.items():
        becomes[index[name]] = index[other]
    lost = [name for name in class_names if names_direction(name, axis) and name not in mapping]
    if lost:
        option = "flip_map" if axis == "horizontal" else "vertical_flip_map"
        more = f", … ({len(lost)} in all)" if len(lost) > 5 else ""
        by_name = flip_map_from_names(class_names, axis)
        remedy = f"Name the pairs ({option}: left=right; name=name for a class that stays what it is)"
        if not pairs and any(name in by_name for name in lost):
            remedy += f", or let them be found by name ({option}: auto)"
        elif tuple(pairs) == ("auto",):
            remedy = f"auto finds no one class that each becomes. {remedy} in place of auto"
        warnings.warn(
            f"{axis} flip is on, and these class names hold a direction: {', '.join(map(repr, lost[:5]))}{more}."
            f" A flipped clip of them would carry a wrong label, so they are not flipped. {remedy}.",
            DataWarning,
            stacklevel=3,
        )
    return FlipRule(becomes, np.array([name not in lost for name in class_names], dtype=bool))


def flip_pairs(pairs: Sequence[str], class_names: Sequence[str]) -> dict[str, str]:
    """Pairs `a=b` as a map, both ways; errors as in `flip_rule`."""
    index = {name: i for i, name in enumerate(class_names)}
    mapping: dict[str, str] = {}
    for pair in pairs:
        left, equals, right = (part.strip() for part in pair.partition("="))
        if not equals or "=" in right:
            raise ConfigError(f"a pair of classes is written a=b; got {pair!r}.")
        for name in (left, right):
            if name not in index:
                raise UnknownNameError("class", name, index)
        for name, other in ((left, right), (right, left)):
            if mapping.get(name, other) != other:
                raise ConfigError(
                    f"class {name!r} stands in two pairs: with {mapping[name]!r} and with {other!r}."
                )
            mapping[name] = other
    return mapping


def _words(name: str) -> tuple[str, ...]:
    """Lower-case words of a name however it is written: turn_left, TurnLeft, "turn left", counter-clockwise."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    spaced = re.sub(
        r"\b(?:counter|anti)[\W_]*clock[\W_]*wise", "anticlockwise", spaced.replace("_", " "), flags=re.I
    )
    words = re.findall(r"[^\W_]+", spaced.lower())
    return tuple(_SAME.get(word, word) for word in words)
