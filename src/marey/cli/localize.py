"""`marey localize`: when what happens, in videos of any length."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from marey.cli.parse import _take, parse
from marey.errors import UsageError
from marey.jobs.localize_config import LocalizeConfig

if TYPE_CHECKING:
    from marey.jobs.localize import Localized


def run(args: Sequence[str]) -> int:
    """Localize, or go on with `--resume RUN`; exit code 1 where a video could not be read."""
    words, resume = _take(list(args), "--resume")
    if resume and words:
        raise UsageError(
            f"--resume goes on exactly as the run began; {words[0]!r} would change it.",
            f"run: marey localize --resume {resume[0]}",
        )
    config = None if resume else parse(LocalizeConfig, words, "localize")

    from rich.console import Console

    from marey.jobs.localize import fit_thresholds, localize, resume_localize_config
    from marey.report.text import timelines_table

    config = config or resume_localize_config(resume[0])
    if not config.videos:
        fit_thresholds(config)
        return 0
    done = localize(config, resume=resume[0] if resume else None)
    _print_found(done, config.top)
    if done.metrics is not None:
        Console().print(timelines_table(done.metrics))
        print(f"report:  {done.report}")
    print(f"results: {done.run} (timeline.csv, segments.json, timelines/)")
    for _, error in done.failures:
        print(f"error: {error}", file=sys.stderr)
    return done.exit_code


def _print_found(done: Localized, top: int) -> None:
    """The best segments of all videos, best first, and what they are the best of."""
    from rich.console import Console
    from rich.table import Table

    every = [(video, s) for video, one in done.found.items() for s in one.told]
    best = sorted(every, key=lambda item: -(item[1].score or 0))[:top]
    if best:
        table = Table(box=None, pad_edge=False, header_style="bold")
        if len(done.found) > 1:
            table.add_column("video", overflow="fold")
        for column in ("start", "end", "score"):
            table.add_column(column, justify="right")
        table.add_column("label")
        for video, s in best:
            row = [_clock(s.start), _clock(s.end), f"{s.score:.1%}", s.label]
            table.add_row(*([video, *row] if len(done.found) > 1 else row))
        Console().print(table)
    segments = f"{len(every)} segment{'s' * (len(every) != 1)}"
    videos = f"{len(done.found)} video{'s' * (len(done.found) != 1)}"
    listed = f", the best {len(best)} of them above" if len(best) < len(every) else ""
    print(f"\n{segments} in {videos}{listed}; {done.protocol}")


def _clock(seconds: float) -> str:
    """1:02:03.45, or 2:03.45."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{rest // 100:02d}.{rest % 100:02d}"
