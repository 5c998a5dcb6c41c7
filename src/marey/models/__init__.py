"""Batches to logits: one file a family, one registry. Knows only the leaves (errors, types, spec).

Nothing heavy is imported here: torch comes in with the first model that is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marey.models.base import VideoModel, set_frozen_batch_norm
    from marey.models.cost import Profile, profile
    from marey.models.registry import ModelEntry, create_model, list_models, register_model
    from marey.models.saved import SavedModel, load_model, save_model

_HOME = {
    "VideoModel": "base",
    "set_frozen_batch_norm": "base",
    "Profile": "cost",
    "profile": "cost",
    "ModelEntry": "registry",
    "create_model": "registry",
    "list_models": "registry",
    "register_model": "registry",
    "SavedModel": "saved",
    "load_model": "saved",
    "save_model": "saved",
}

__all__ = [
    "ModelEntry",
    "Profile",
    "SavedModel",
    "VideoModel",
    "create_model",
    "list_models",
    "load_model",
    "profile",
    "register_model",
    "save_model",
    "set_frozen_batch_norm",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
