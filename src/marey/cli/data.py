"""`marey data …`: look at a data set, split it, pack it, make one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from marey.cli.data_check import run_check
from marey.cli.data_layouts import run_export, run_frames, run_import
from marey.cli.data_windows import run as run_windows
from marey.cli.parse import parse
from marey.errors import ConfigError, UnknownNameError

VERBS = {
    "summary": "counts, lengths, frame rates and sizes of a data set",
    "show": "film strips of what a model will be fed: times, padding, augmentation, flow",
    "check": "find what is wrong: broken files, copies, leaks, labels",
    "split": "add a grouped, stratified split to a manifest",
    "pack": "decode once, small, so that training reads frames at memory speed",
    "make": "make videos with known motion, or long ones with known segments",
    "windows": "cut a manifest of segments into windows with labels",
    "import": "read other formats into a manifest: UCF101, Kinetics, ActivityNet, CVAT, ELAN, …",
    "frames": "make videos of folders of pictures, without loss",
    "export": "write a manifest in other formats",
}


@dataclass(frozen=True, kw_only=True)
class SummaryConfig:
    """Counts, lengths, frame rates, sizes, and classes by split. Opens every file, decodes none."""

    data: Annotated[str, tyro.conf.Positional]
    """Manifest or folder of class folders."""
    root: str | None = None
    """Folder that relative video paths start from."""
    workers: int = 4
    """Threads that open files."""
    json: bool = False
    """For machines."""


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Add a split column: groups stay whole, classes are shared out as evenly as the groups allow."""

    data: Annotated[str, tyro.conf.Positional]
    """Manifest or folder of class folders."""
    to: Annotated[str, tyro.conf.Positional]
    """Where the new manifest goes (.csv or .parquet); a file that is there is not written over."""
    root: str | None = None
    """Folder that relative video paths start from."""
    train: float = 0.7
    """Share of the samples."""
    val: float = 0.15
    """Share of the samples (0: no val)."""
    test: float = 0.15
    """Share of the samples (0: no test)."""
    group_from: str | None = None
    """What stays together: a column; a regular expression over the path with one group, "(g[0-9]+)_c"; or auto:
    videos of the same footage. By default the group column, or the video file."""
    replace: bool = False
    """Throw away the split that is there."""
    seed: int = 0
    """Another seed is another split."""
    out: str = "runs"
    """What auto saw of each file is kept in OUT/check/NAME, as marey data check does."""


@dataclass(frozen=True, kw_only=True)
class MakeConfig:
    """Make encoded videos with known motion, of which no single frame tells the class."""

    kind: Annotated[Literal["motion", "steps"], tyro.conf.Positional]
    """motion: short clips, eleven classes of motion of one object. steps: long videos in which motions of two objects
    begin and end, with pauses; a row a segment."""
    to: Annotated[str, tyro.conf.Positional]
    """The folder to make."""
    clips: int | None = None
    """How many videos (default: 1200 of motion, 80 of steps)."""
    seconds: float = 30.0
    """Length of each video of steps."""
    objects: int = 2
    """Objects in each video of steps; one never overlaps itself."""
    compound: bool = False
    """Steps with three more actions, which go there and back: each half looks like another action."""
    size: int = 64
    """Width and height in pixels."""
    val: float | None = None
    """Share marked val, the rest is train (default: 0.2 of motion, 0.25 of steps)."""
    seed: int = 0
    """Another seed is another set."""


def run(args: Sequence[str]) -> int:
    """Run one of `VERBS`."""
    if not args or args[0] in ("-h", "--help"):
        print("usage: marey data VERB [options]\n")
        print("\n".join(f"  {verb:<9}{words}" for verb, words in VERBS.items()))
        return 0
    if args[0] not in VERBS:
        raise UnknownNameError("verb of marey data", args[0], VERBS)
    verbs = {
        "summary": _summary, "check": run_check, "show": _show, "split": _split, "pack": _pack, "make": _make,
        "windows": run_windows,
        "frames": run_frames, "import": run_import, "export": run_export,
    }  # fmt: skip
    return verbs[args[0]](args[1:])


def _summary(args: Sequence[str]) -> int:
    config = parse(SummaryConfig, args, "data summary")
    from rich.console import Console

    from marey.data.manifest import Manifest
    from marey.data.summary import format_summary, summarise

    manifest = Manifest.read(config.data, root=config.root)
    if manifest.read_as:
        print(manifest.read_as, file=sys.stderr)
    summary = summarise(manifest, workers=config.workers)
    if config.json:
        print(json.dumps(summary.to_dict(), indent=2))
    else:
        Console().print(format_summary(summary))
    return 0 if summary.sound else 1


def _show(args: Sequence[str]) -> int:
    from marey.jobs.show import ShowConfig, show

    page = show(parse(ShowConfig, args, "data show"))
    print(f"{page.path}: {page.samples} sample{'s' * (page.samples != 1)}")
    for title, error in page.failures:
        print(f"error: {title}: {error}", file=sys.stderr)
    return 1 if page.failures else 0


def _split(args: Sequence[str]) -> int:
    config = parse(SplitConfig, args, "data split")
    from marey.data.check import check_folder
    from marey.data.groups import AUTO, NONE, fingerprints, grouped_from, refuse_random
    from marey.data.manifest import Manifest
    from marey.data.splits import grouping, split

    if Path(config.to).exists():
        raise ConfigError(
            "this file is there already; nothing was written.", "name another one", where=config.to
        )
    shares = {name: getattr(config, name) for name in ("train", "val", "test") if getattr(config, name)}
    manifest = Manifest.read(config.data, root=config.root)
    how = config.group_from
    if how in (AUTO, NONE):
        folder = check_folder(config.data, root=config.root, out=config.out)
        if how == NONE:
            refuse_random(manifest, shares, config.seed, fingerprints(manifest, folder))
        else:
            manifest = grouped_from(manifest, how, folder=folder)
    elif how is not None:
        manifest = grouped_from(manifest, how)
    made = split(manifest, shares, config.seed, replace=config.replace)
    made.write(config.to)
    counts = ", ".join(f"{name} {len(made.indices(name))}" for name in made.splits)
    print(f"{config.to}: {counts} samples; {grouping(made).rule}")
    return 0


def _pack(args: Sequence[str]) -> int:
    from marey.jobs.pack import PackConfig, pack

    report = pack(parse(PackConfig, args, "data pack"))
    print(str(report), file=sys.stderr if report.exit_code else sys.stdout)
    return report.exit_code


def _make(args: Sequence[str]) -> int:
    config = parse(MakeConfig, args, "data make")
    chosen: dict[str, Any] = {"seed": config.seed, "size": config.size}
    if config.val is not None:
        chosen["val"] = config.val
    if config.kind == "steps":
        from marey.video.steps import make_steps

        videos = 80 if config.clips is None else config.clips
        path = make_steps(
            config.to, videos=videos, seconds=config.seconds, objects=config.objects, compound=config.compound,
            **chosen,
        )  # fmt: skip
    else:
        from marey.video.synthetic import make_motion

        videos = 1200 if config.clips is None else config.clips
        path = make_motion(config.to, clips=videos, **chosen)
    print(f"{path}: {videos} videos")
    return 0
