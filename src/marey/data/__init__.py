"""Annotations -> batches: the manifest, its splits, clips as a model sees them, transforms and the loader.

Names are imported when they are first asked for, so that reading a manifest does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marey.data.augment import AugmentConfig, TimeJitter
    from marey.data.batched import augment_batch
    from marey.data.clips import load_clip, load_views
    from marey.data.dataset import Batch, ClipDataset, Failure
    from marey.data.directions import flip_map_from_names
    from marey.data.draws import ClipDraw
    from marey.data.exchange import export_layout, import_layout
    from marey.data.layouts.layout import How
    from marey.data.loader import Loader, make_loader
    from marey.data.manifest import Manifest, Sample
    from marey.data.mix import mix_batch
    from marey.data.modalities import clip_inputs
    from marey.data.origin import DataWarning
    from marey.data.splits import Grouping, check_split, folds, grouping, split
    from marey.data.summary import Summary, format_summary, summarise
    from marey.data.transforms import ClipTransform

__all__ = [
    "AugmentConfig",
    "Batch",
    "ClipDataset",
    "ClipDraw",
    "ClipTransform",
    "DataWarning",
    "Failure",
    "Grouping",
    "How",
    "Loader",
    "Manifest",
    "Sample",
    "Summary",
    "TimeJitter",
    "augment_batch",
    "check_split",
    "clip_inputs",
    "export_layout",
    "flip_map_from_names",
    "folds",
    "format_summary",
    "grouping",
    "import_layout",
    "load_clip",
    "load_views",
    "make_loader",
    "mix_batch",
    "split",
    "summarise",
]

_MODULES = {
    "augment": ("AugmentConfig", "TimeJitter"),
    "batched": ("augment_batch",),
    "clips": ("load_clip", "load_views"),
    "dataset": ("Batch", "ClipDataset", "Failure"),
    "directions": ("flip_map_from_names",),
    "exchange": ("export_layout", "import_layout"),
    "layouts.layout": ("How",),
    "draws": ("ClipDraw",),
    "loader": ("Loader", "make_loader"),
    "manifest": ("Manifest", "Sample"),
    "mix": ("mix_batch",),
    "modalities": ("clip_inputs",),
    "origin": ("DataWarning",),
    "splits": ("Grouping", "check_split", "folds", "grouping", "split"),
    "summary": ("Summary", "format_summary", "summarise"),
    "transforms": ("ClipTransform",),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
