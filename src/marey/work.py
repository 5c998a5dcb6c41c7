"""Many pieces of work by several processes: what fails is said in words, and the rest goes on; one bar for it all."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from marey.errors import MareyError

_T = TypeVar("_T")
_R = TypeVar("_R")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(
    items: list[_T],
    work: Callable[..., _R],
    rest: tuple[Any, ...],
    workers: int,
    *,
    start: Callable[[], None] | None = None,
) -> Iterator[tuple[_T, _R | str]]:
    """`work(item, *rest)` for every item by `workers` processes: (item, its result or its error in words).

    More than one worker starts Python afresh in each, and runs `start` in it first.

    A process that dies (out of memory, a decoder's crash) takes the pool with it. What was unfinished then goes
    on one item a pool, so that only the item that kills its process is lost.
    """
    if workers == 1:
        for item in items:
            yield item, guarded(work, item, rest)
        return
    left = dict(enumerate(items))
    with _pool(workers, start) as pool:
        running: dict[Future[Any], int] = {}
        try:
            for number, item in enumerate(items):
                running[pool.submit(guarded, work, item, rest)] = number
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    yield left.pop(running.pop(future)), outcome
        except BrokenProcessPool:
            pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    while left:
        try:
            with _pool(1, start) as pool:
                for number in list(left):
                    last = number
                    outcome = pool.submit(guarded, work, left[number], rest).result()
                    yield left.pop(number), outcome
        except BrokenProcessPool:
            yield left.pop(last), "its process was killed (out of memory, or a crash of the decoder)."


def _pool(workers: int, start: Callable[[], None] | None) -> ProcessPoolExecutor:
    import multiprocessing

    # a fresh start, not a fork: OpenCV and FFmpeg hold threads that do not survive one
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=start)


def guarded(work: Callable[..., _R], item: _T, rest: tuple[Any, ...]) -> _R | str:
    """The result, or what went wrong in words: one bad video of ten thousand must not end a night's work."""
    try:
        return work(item, *rest)
    except MareyError as error:
        return " ".join([error.what, *error.details])
    except Exception as error:  # decoders have errors of their own; all of them are listed by name
        return f"{type(error).__name__}: {error}"


@contextmanager
def progress(text: str, total: int, unit: str, say: Callable[[str], None]) -> Iterator[Callable[[int], None]]:
    """One bar with rate and time left; where there is no terminal, a line at most every 10 seconds.

    Gives a function that is told how many more are done.
    """
    began = time.monotonic()
    done, told = 0, began

    def rate() -> float:
        return done / max(time.monotonic() - began, 1e-9)

    if not total:
        yield lambda n: None
        return
    if not sys.stderr.isatty():

        def plain(n: int) -> None:
            nonlocal done, told
            done += n
            if time.monotonic() - told > 10 or done == total:
                told = time.monotonic()
                say(
                    f"{text}: {done}/{total} {unit}, {rate():.1f} {unit}/s, {(total - done) / rate():.0f} s left"
                )

        yield plain
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total, rate="")

        def advance(n: int) -> None:
            nonlocal done
            done += n
            bar.update(task, advance=n, rate=f"{rate():.1f} {unit}/s")

        yield advance


def print_line(text: str) -> None:
    """A line for people, on standard error."""
    print(text, file=sys.stderr, flush=True)
