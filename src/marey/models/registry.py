"""The one table of models: a family file registers its variants, and here they are found and made.

The table is read from the family files' text, so that listing and checking a name import no torch:
a family file is imported when one of its models is made.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from marey.errors import ConfigError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from marey.models.base import VideoModel

Maker = TypeVar("Maker", bound=Callable[..., Any])


@dataclass(frozen=True)
class ModelEntry:
    """A registered model.

    Attributes:
        name: what `create_model` takes.
        family: the module in `marey.models` that defines it.
        about: what it is for, in a line.
        paper: link to the paper, or "".
        input: what it eats by default, for people: "rgb 16 × 112²".
        weights: what `pretrained=True` stands for, or "".
    """

    name: str
    family: str
    about: str
    paper: str = ""
    input: str = ""
    weights: str = ""


_made: dict[str, tuple[ModelEntry, Callable[..., Any]]] = {}


def register_model(
    *, about: str, paper: str = "", input: str = "", weights: str = ""
) -> Callable[[Maker], Maker]:
    """Decorator of a function `name(**keywords) -> SomeVideoModel` that makes one variant.

    Its return annotation names the class whose constructor says which keywords there are. In marey's own
    family files the arguments are literals or the names of literals, since they are read as text.
    """

    def register(make: Maker) -> Maker:
        name = make.__name__
        entry = ModelEntry(name, make.__module__.rpartition(".")[2], about, paper, input, weights)
        _made[name] = (entry, make)
        return make

    return register


def list_models() -> list[ModelEntry]:
    """Every model there is, by family and then in the order in which the family's file has them."""
    table = {entry.name: entry for entry in _entries_in_files()}
    table.update({name: entry for name, (entry, _) in _made.items() if name not in table})
    return list(table.values())


def find_model(name: str) -> ModelEntry:
    """The entry of that name.

    Raises:
        UnknownNameError: no such model; names the nearest.
    """
    for entry in list_models():
        if entry.name == name:
            return entry
    raise UnknownNameError(
        "model", name, (e.name for e in list_models()), "see them all with what each is for: marey models"
    )


def model_keywords(name: str) -> dict[str, Any]:
    """The keywords that `create_model(name, …)` takes beside `num_classes`, with the class's defaults."""
    parameters = inspect.signature(_class_of(_maker(name))).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "num_classes"}


def create_model(
    name: str, *, num_classes: int, pretrained: bool | str | Path | None = None, **kwargs: Any
) -> VideoModel:
    """Make a model.

    Args:
        name: from `list_models()`.
        num_classes: K.
        pretrained: where its weights start. None: at random. True: the weights that the registry names
            (downloaded once, said on stderr). A string or path: a hub name ("org/name" or a timm tag), a
            torchvision weights name ("R2Plus1D_18_Weights.KINETICS400_V1"), or a local .safetensors, .pt
            or .pth file, or the https address of one. What the checkpoint says of itself (mean, std,
            padding, folded batch norm) is honoured; `model.load_report` says what was loaded.
        **kwargs: the family's own keywords.

    Raises:
        UnknownNameError: no such model. ConfigError: no such keyword. CheckpointError: weights that are
        missing, unreadable or do not fit.
    """
    entry = find_model(name)
    make = _maker(name)
    known = model_keywords(name)
    for key in kwargs:
        if key not in known:
            raise ConfigError(
                f"{name} has no setting {key!r}.{did_you_mean(key, known)}",
                f"it has: {', '.join(sorted(known))}",
            )
    checkpoint = None
    if pretrained is not None and pretrained is not False:
        from marey.models import weights

        checkpoint = weights.read_checkpoint(pretrained, entry=entry, kwargs=kwargs, known=known)
        kwargs = weights.keywords_for(checkpoint, kwargs, known)
    model: VideoModel = make(num_classes=num_classes, **kwargs)
    model.name = name
    model.kwargs = {"num_classes": num_classes, **_plain(kwargs)}
    if checkpoint is not None:
        weights.load_checkpoint(model, checkpoint)
    return model


def _plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keywords as JSON has them, so that a rebuilt model has the same ones."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in kwargs.items()}


def _maker(name: str) -> Callable[..., Any]:
    if name not in _made:
        importlib.import_module(f"marey.models.{find_model(name).family}")
    return _made[name][1]


def _class_of(make: Callable[..., Any]) -> type:
    return typing.cast(type, typing.get_type_hints(make)["return"])


# --- reading the table from the files' text -----------------------------------------------------------------


@functools.cache
def _entries_in_files() -> tuple[ModelEntry, ...]:
    found: list[ModelEntry] = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "@register_model(" in text:
            found.extend(_entries_in(ast.parse(text), family=path.stem))
    return tuple(found)


def _entries_in(tree: ast.Module, family: str) -> Iterable[ModelEntry]:
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "register_model":
                values = {
                    k.arg: ast.literal_eval(
                        constants[k.value.id] if isinstance(k.value, ast.Name) else k.value
                    )
                    for k in call.keywords
                    if k.arg
                }
                yield ModelEntry(name=node.name, family=family, **values)
