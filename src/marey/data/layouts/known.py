"""Every layout there is, and which of them a folder or file is in. Nothing is guessed: one fits, or none is taken."""

from __future__ import annotations

from pathlib import Path

from marey.data.layouts import (
    activitynet,
    ava,
    boris,
    bundles,
    charades,
    cvat,
    elan,
    epic,
    fiftyone,
    framelist,
    hmdb51,
    jester,
    kinetics,
    labelstudio,
    mmaction2,
    mmaction2_frames,
    pyslowfast,
    something,
    ucf101,
    via,
)
from marey.data.layouts.layout import How, Layout, Source
from marey.data.layouts.raw import RawRows
from marey.data.layouts.textfile import header_of
from marey.errors import ManifestError, UnknownNameError

_ALL = (
    ucf101.LAYOUT, hmdb51.LAYOUT, kinetics.LAYOUT, something.LAYOUT, jester.LAYOUT,
    mmaction2.LAYOUT, mmaction2_frames.LAYOUT, mmaction2_frames.OFFSET, pyslowfast.LAYOUT, fiftyone.LAYOUT,
    activitynet.LAYOUT, charades.LAYOUT, framelist.LAYOUT, epic.LAYOUT, bundles.LAYOUT, ava.LAYOUT,
    labelstudio.LAYOUT, cvat.LAYOUT, via.JSON, via.CSV, elan.LAYOUT, boris.LAYOUT,
)  # fmt: skip
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in _ALL}


def layout_named(name: str) -> Layout:
    """The layout that `--as NAME` asks for."""
    if name not in LAYOUTS:
        raise UnknownNameError("layout", name, LAYOUTS, "see them all: marey data import --help")
    return LAYOUTS[name]


def detect(source: Source) -> Layout | None:
    """The one layout that fits; None where none does, so that it is a manifest or class folders if anything.

    Raises:
        ManifestError: several fit, with what speaks for each.
    """
    if source.path.is_file() and {"path", "label"} <= set(header_of(source.head(source.path))):
        return None
    evidence = {layout.name: layout.found(source) for layout in LAYOUTS.values()}
    fitting = [name for name, words in evidence.items() if words]
    if len(fitting) > 1:
        raise ManifestError(
            f"this can be read in {len(fitting)} ways.",
            *(f"{name}: {LAYOUTS[name].title}, by {evidence[name]}" for name in fitting),
            f"say which: marey data import {source.path} --as {fitting[0]} --out manifest.csv",
            where=str(source.path),
        )
    return LAYOUTS[fitting[0]] if fitting else None


def read_layout(layout: Layout, source: Source, how: How) -> RawRows:
    """Rows of a file or folder in this layout.

    Raises:
        ManifestError: nothing here is in this layout, or what is wrong in it.
        ConfigError: an option that the layout does not take.
    """
    layout.check(how)
    if not source.path.exists():
        raise ManifestError("there is no such file or folder.", where=str(source.path))
    if not layout.found(source):
        other = detect(source)
        raise ManifestError(
            f"this does not look like {layout.title}: {layout.files} was expected.",
            *([f"it looks like {other.title}: --as {other.name}"] if other else []),
            *(
                [f"annotation files here: {', '.join(f.name for f in source.files[:12])}"]
                if source.files
                else []
            ),
            where=str(source.path),
        )
    return layout.read(source, how)


def read_detected(path: Path, videos: Path | None) -> RawRows | None:
    """Rows by the one layout that fits a file or folder, or None."""
    source = Source(path)
    layout = detect(source)
    return None if layout is None else read_layout(layout, source, How(root=videos))
