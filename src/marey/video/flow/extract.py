"""Flow of many videos: planned, estimated, then computed by many processes, and resumable at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from marey.errors import ConfigError
from marey.files import require_room, size_words, sweep_partials
from marey.video.flow.index import write_index
from marey.video.flow.job import FlowPlan, FlowSettings, plan_job, run_job, sample_bytes
from marey.video.flow.methods import BOUND, flow_method
from marey.video.stretch import Place, Stretch, stretches
from marey.work import cores, each, guarded, print_line, progress


@dataclass(frozen=True)
class FlowReport:
    """What `extract_flow` did.

    Attributes:
        out: the folder of it all; `flow.csv` in it lists every video with its folder or its error.
        written: folders computed now.
        found: folders that were there already.
        fields: fields computed now.
        bytes: what the folders of this list take on disk.
        share_beyond_bound: of the pixels computed now, the share that was cut off at the bound.
        failures: what could not be done: (video, error) in words.
    """

    out: Path
    written: int
    found: int
    fields: int
    bytes: int
    share_beyond_bound: float
    failures: tuple[tuple[str, str], ...]

    @property
    def exit_code(self) -> int:
        """0 where every video has its flow, 1 where one has not."""
        return 1 if self.failures else 0

    def __str__(self) -> str:
        lines = [
            f"{self.written} videos computed ({self.fields} fields), {self.found} found, "
            f"{len(self.failures)} failed; {size_words(self.bytes)} in {self.out}"
        ]
        if self.share_beyond_bound:
            lines.append(
                f"{self.share_beyond_bound:.3%} of the pixels moved beyond the bound and were cut off"
            )
        lines += [f"failed: {video}: {error}" for video, error in self.failures]
        return "\n".join(lines)


def extract_flow(
    videos: Iterable[str | Path | Place],
    out: str | Path,
    *,
    method: str = "dis-medium",
    size: int | None = 256,
    bound: float = BOUND,
    weights: str | Path | None = None,
    stride: int = 1,
    workers: int | None = None,
    say: Callable[[str], None] | None = None,
) -> FlowReport:
    """Compute the flow between all neighbouring frames of each video and keep it in `out`.

    What is there already is found by the videos' content and the settings, and left as it is: to resume after
    an interruption, call again. A video that fails is listed, and the others go on.

    Args:
        videos: paths, or samples of a manifest (a segment gets the flow of its own frames alone).
        out: the folder; made if need be. One folder a video (`StoredFlow` reads it), and `flow.csv`.
        method: a name from `METHODS`.
        size: short side in pixels to which frames are scaled first; None keeps them as they are. Flow is in
            pixels of this size.
        bound: pixels at which components are cut off; what lies inside is kept within bound / 254.
        weights: for `raft-*`: a file of weights.
        stride: compute the flow from each frame to the stride-th after it: 2 for footage that holds frames twice.
        workers: processes; None takes one a CPU core, and a single one for `raft-*`, which shares one device.
            More than one starts Python afresh in each: a script must guard its start by `__name__`.
        say: takes lines for people; None prints them to standard error.

    Raises:
        UnknownNameError: no such method.
        ConfigError: settings that cannot be.
        NoRoomError: there is not enough room on the disk; nothing was computed.
    """
    learned = flow_method(method).learned
    if (size is not None and size < 16) or not bound > 0 or (workers is not None and workers < 1):
        raise ConfigError(
            f"flow needs a size of 16 or more, a bound above 0 and a worker at least; "
            f"got size {size}, bound {bound}, workers {workers}."
        )
    if stride < 1:
        raise ConfigError(f"stride counts frames, from 1; got {stride}.")
    if weights is not None and not learned:
        raise ConfigError(f"weights are for raft-small and raft-large; {method} has none.")
    say = say or print_line
    settings = FlowSettings(method, size, float(bound), None if weights is None else str(weights), stride)
    jobs = stretches(videos)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    sweep_partials(out)
    count = min(workers or (1 if learned else cores()), max(len(jobs), 1))

    plans: dict[Stretch, FlowPlan] = {}
    failures: dict[Stretch, str] = {}
    for job, plan_or_error in each(jobs, plan_job, (settings, out), count, start=_one_thread):
        if isinstance(plan_or_error, FlowPlan):
            plans[job] = plan_or_error
        else:
            failures[job] = plan_or_error
    ahead: dict[str, Stretch] = {}  # two videos of the same content are one piece of work
    for job in (job for job in jobs if job in plans and not plans[job].found):
        first = ahead.setdefault(plans[job].key, job)
        plans[job] = replace(plans[job], folder=plans[first].folder)
    todo = list(ahead.values())
    _estimate(todo, settings, plans, out, say)

    made: dict[Stretch, dict[str, Any]] = {}
    with progress("flow", sum(plans[job].fields for job in todo), "fields", say) as advance:
        tasks = [(job, plans[job]) for job in todo]
        for (job, plan), outcome in each(tasks, _run, (settings, out), count, start=_one_thread):
            if isinstance(outcome, dict):
                made[job] = outcome
            else:
                failures[job] = outcome
            advance(plan.fields)
    for job in jobs:  # the twin of a failed video has failed with it
        if job in plans and (twin := ahead.get(plans[job].key)) in failures:
            failures.setdefault(job, failures[twin])

    write_index(out, jobs, settings, plans, made, failures)
    fields = sum(plans[job].fields for job in made)
    cut = sum(made[job]["share_beyond_bound"] * plans[job].fields for job in made)
    done = [job for job in jobs if job not in failures]
    return FlowReport(
        out=out,
        written=len(made),
        found=len(done) - len(made),
        fields=fields,
        bytes=sum(_folder_bytes(out / name) for name in {plans[job].folder for job in done}),
        share_beyond_bound=cut / fields if fields else 0.0,
        failures=tuple((str(job), failures[job]) for job in jobs if job in failures),
    )


def _run(task: tuple[Stretch, FlowPlan], settings: FlowSettings, out: Path) -> dict[str, Any]:
    return run_job(task[0], settings, out, task[1])


def _estimate(
    todo: list[Stretch],
    settings: FlowSettings,
    plans: dict[Stretch, FlowPlan],
    out: Path,
    say: Callable[[str], None],
) -> None:
    """Say how much the work will take on disk, and refuse it where there is no room."""
    if not todo:
        return
    measured = []
    for job in {todo[i] for i in (0, len(todo) // 2, len(todo) - 1)}:
        outcome = guarded(sample_bytes, job, (settings, plans[job]))
        if isinstance(outcome, float):
            measured.append(outcome)
    fields = sum(plans[job].fields for job in todo)
    pixels = sum(plans[job].fields * plans[job].height * plans[job].width for job in todo)
    # one byte a component is what it can come to at worst
    need = int(pixels * (sum(measured) / len(measured) if measured else 2.0))
    free = shutil.disk_usage(out).free
    say(
        f"{settings.method} flow of {len(todo)} videos, {fields} fields: about {size_words(need)} in {out} "
        f"(measured on {len(measured)} of them; {size_words(free)} free)"
    )
    require_room("the flow", need, out)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)  # the videos run side by side already


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
