"""`marey data import` and `marey data export`: other people's formats."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from marey.cli.parse import parse
from marey.errors import ConfigError, UsageError


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """Read annotations of another format into a manifest. `marey data import --list` names the formats.

    Times come out in seconds on each video's own clock. What is wrong is told with file and line, all of it at
    once, and nothing is written."""

    source: Annotated[str, tyro.conf.Positional]
    """The annotation file, or the folder that holds the annotations."""
    layout: Annotated[str | None, tyro.conf.arg(name="as")] = None
    """The format; by default the one that fits, if exactly one does."""
    out: str
    """The manifest to make (.csv or .parquet); a file that is there is not written over."""
    root: str | None = None
    """Folder that the videos lie in; by default the source, or the one folder in it that holds them."""
    split: int | None = None
    """Which of the numbered official splits (UCF101, HMDB51, …); by default the first."""
    fps: float | None = None
    """Frames a second of every video, for formats that count frames; by default each video's own clock."""
    classes: str | None = None
    """File of class names, for formats that number their classes: one name a line, or JSON."""
    first_class: Literal[0, 1] | None = None
    """Number of the first class; by default the format's own."""
    outside: bool = False
    """Allow paths that lead out of the videos' folder."""
    missing: Literal["error", "skip"] = "error"
    """skip: leave out rows whose video is not there, and say how many."""
    ends: Literal["error", "trim", "trust"] = "error"
    """Segments that end after their video: error; trim (cut them, and say how many); trust (do not look)."""
    label: str | None = None
    """Which of several labels is the class: verb, noun or action (EPIC-Kitchens), a tier (ELAN), an attribute (VIA)."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write a manifest's annotations in another format. The videos stay where they are.

    What the format cannot say is an error where it would change the meaning, and is said where it is left out."""

    data: Annotated[str, tyro.conf.Positional]
    """Manifest, or anything that is read as one."""
    layout: Annotated[str, tyro.conf.arg(name="as")]
    """The format; `marey data import --list` names them."""
    out: str
    """The file or folder to make; no file that is there is written over."""
    root: str | None = None
    """Folder that paths are written from; by default the manifest's own."""
    classes: str | None = None
    """File of class names in the order in which they are to be numbered; by default the data's own order."""
    split: int | None = None
    """The number that the official split is to have."""
    fps: float | None = None
    """Frames a second of every video, for formats that count frames; by default each video's own clock."""
    label: str | None = None
    """What the classes are: verb or noun (EPIC-Kitchens), the name of a tier (ELAN) or an attribute (VIA)."""


@dataclass(frozen=True, kw_only=True)
class FramesConfig:
    """Make videos of folders of pictures (JPEG, PNG) without loss: the pictures are taken over as they are.

    Every folder below the source that holds pictures becomes a .mov of its name. Videos that are there are left."""

    source: Annotated[str, tyro.conf.Positional]
    """The folder of picture folders (or one of them)."""
    to: Annotated[str, tyro.conf.Positional]
    """The folder to make."""
    fps: float
    """The rate at which the pictures were taken."""


def run_frames(args: Sequence[str]) -> int:
    """`marey data frames SRC OUT --fps N`."""
    config = parse(FramesConfig, args, "data frames")
    from marey.video.pictures import join_all

    if config.fps <= 0 or not Path(config.source).is_dir():
        raise ConfigError("expected a folder and a rate above 0.", where=config.source)
    made, there, faults = join_all(Path(config.source), Path(config.to), config.fps)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    print(f"{config.to}: {made} videos made, {there} were there, {len(faults)} folders gave none")
    return 1 if faults or not made + there else 0


def run_import(args: Sequence[str]) -> int:
    """`marey data import SRC --as FORMAT --out x.csv`."""
    if "--list" in args:
        return _list()
    config = parse(ImportConfig, args, "data import")
    from marey.data.exchange import import_layout
    from marey.data.layouts.layout import How

    out = Path(config.out)
    if out.suffix.lower() not in (".csv", ".parquet", ".pq"):
        raise UsageError("--out names a manifest: .csv or .parquet.", where=config.out)
    if out.exists():
        raise ConfigError(
            "this file is there already; nothing was written.", "name another one", where=config.out
        )
    how = How(
        root=Path(config.root) if config.root else None,
        split=config.split,
        fps=config.fps,
        classes=Path(config.classes) if config.classes else None,
        first_class=config.first_class,
        label=config.label,
        ends=config.ends,
        outside=config.outside,
    )
    manifest = import_layout(config.source, config.layout, how=how, missing=config.missing)
    manifest.write(out)
    print(manifest.read_as)
    print(f"{out}: {len(manifest):,} samples, {len(manifest.class_names)} classes; videos in {manifest.root}")
    return 0


def run_export(args: Sequence[str]) -> int:
    """`marey data export x.csv --as FORMAT --out FOLDER`."""
    config = parse(ExportConfig, args, "data export")
    from marey.data.exchange import export_layout
    from marey.data.layouts.classes import read_classes
    from marey.data.layouts.layout import How
    from marey.data.manifest import Manifest

    root = Path(config.root) if config.root else None
    names = read_classes(Path(config.classes)) if config.classes else None
    manifest = Manifest.read(config.data, class_names=names)
    how = How(root=root, split=config.split, fps=config.fps, label=config.label)
    files = export_layout(manifest, config.layout, config.out, how=how)
    print(f"{len(manifest):,} samples written; videos are meant from {(root or manifest.root).resolve()}")
    print("\n".join(f"  {file}" for file in files[:10]))
    if len(files) > 10:
        print(f"  … {len(files)} files in all")
    return 0


def _list() -> int:
    from marey.data.layouts.known import LAYOUTS

    width = max(map(len, LAYOUTS)) + 2
    for name, layout in LAYOUTS.items():
        only = "" if layout.write else "  (read only)"
        print(f"  {name:<{width}}{layout.title}: {layout.files}{only}")
    return 0
