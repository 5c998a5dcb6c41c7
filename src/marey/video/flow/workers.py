"""Many pieces of work by several processes; what fails is said in words, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from marey.errors import MareyError

_T = TypeVar("_T")
_R = TypeVar("_R")


def each(
    items: list[_T], work: Callable[..., _R], rest: tuple[Any, ...], workers: int
) -> Iterator[tuple[_T, _R | str]]:
    """`work(item, *rest)` for every item by `workers` processes: (item, its result or its error in words).

    A process that dies (out of memory, a decoder's crash) takes the pool with it. What was unfinished then goes
    on one item a pool, so that only the item that kills its process is lost.
    """
    if workers == 1:
        for item in items:
            yield item, guarded(work, item, rest)
        return
    left = dict(enumerate(items))
    with _pool(workers) as pool:
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
            with _pool(1) as pool:
                for number in list(left):
                    last = number
                    outcome = pool.submit(guarded, work, left[number], rest).result()
                    yield left.pop(number), outcome
        except BrokenProcessPool:
            yield left.pop(last), "its process was killed (out of memory, or a crash of the decoder)."


def _pool(workers: int) -> ProcessPoolExecutor:
    import multiprocessing

    # a fresh start, not a fork: OpenCV and FFmpeg hold threads that do not survive one
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_one_thread)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)  # the videos run side by side already


def guarded(work: Callable[..., _R], item: _T, rest: tuple[Any, ...]) -> _R | str:
    """The result, or what went wrong in words: one bad video of ten thousand must not end a night's work."""
    try:
        return work(item, *rest)
    except MareyError as error:
        return " ".join([error.what, *error.details])
    except Exception as error:  # decoders have errors of their own; all of them are listed by name
        return f"{type(error).__name__}: {error}"
