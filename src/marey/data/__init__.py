"""Annotations -> batches: the manifest, its splits, clips as a model sees them, transforms and the loader.

Names are imported when they are first asked for, so that reading a manifest does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marey.data.manifest import Manifest, Sample
    from marey.data.origin import DataWarning

_WHERE = {
    "DataWarning": "marey.data.origin",
    "Manifest": "marey.data.manifest",
    "Sample": "marey.data.manifest",
}

__all__ = ["DataWarning", "Manifest", "Sample"]


def __getattr__(name: str) -> object:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
