"""`marey data check`: what is wrong with a data set, in one table, before a GPU is touched."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from marey.cli.parse import parse


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """Find what is wrong: broken files, copies, leaks, labels. Exit code 1 if something is."""

    data: Annotated[str, tyro.conf.Positional]
    """Manifest, folder of class folders, folder of videos, or a pattern ("clips/*.mp4")."""
    root: str | None = None
    """Folder that relative video paths start from."""
    full: bool = False
    """Decode every frame; otherwise headers, packets and sixteen pictures of each video."""
    sampler: str | None = None
    """The sampler to be trained with: samples with fewer frames than it asks for are faults."""
    flip: bool = False
    """Training will mirror clips: classes whose name holds a direction are faults."""
    flip_map: tuple[str, ...] = ()
    """Classes that trade places in a mirror: left=right …, or auto."""
    quarantine: str | None = None
    """Folder for a manifest without what is unfit, and the list of what was left out and why."""
    workers: int | None = None
    """Processes that look at files; by default one a core."""
    out: str = "runs"
    """check.json, and what was seen of each file, go to OUT/check/NAME; made again, a check goes on there."""
    json: bool = False
    """For machines: print check.json."""


def run_check(args: Sequence[str]) -> int:
    """Check, print the table, and write a clean manifest where one is asked for."""
    config = parse(CheckConfig, args, "data check")
    from rich.console import Console

    from marey.data.check import check_data, check_folder, format_check, quarantine, read
    from marey.video.sampling import parse_sampler

    sampler = parse_sampler(config.sampler) if config.sampler else None
    manifest, labelled = read(config.data, root=config.root)
    if manifest.read_as:
        print(manifest.read_as, file=sys.stderr)
    folder = check_folder(config.data, root=config.root, out=config.out)
    with _shown() as progress:
        check = check_data(
            manifest,
            folder,
            full=config.full,
            sampler=sampler,
            flip_map=config.flip_map if config.flip or config.flip_map else None,
            labelled=labelled,
            workers=config.workers,
            progress=progress,
        )
    if config.json:
        print(json.dumps(check.to_dict(), indent=2, ensure_ascii=False))
    else:
        Console().print(format_check(check))
        print(folder / "check.json")
    if config.quarantine is not None:
        kept, left = quarantine(check, config.quarantine)
        print(
            f"{Path(config.quarantine) / 'manifest.csv'}: {kept:,} samples; {left:,} left out, why: left_out.csv"
        )
    return 0 if check.sound else 1


@contextmanager
def _shown() -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on a terminal; nothing elsewhere, where the table is enough."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield advance
