"""How fast an artifact is here: each runtime beside torch, in turns, in one run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from marey.config import to_yaml
from marey.data.clips import load_views
from marey.data.modalities import clip_inputs
from marey.errors import CheckpointError, ConfigError, MareyError
from marey.files import write_json
from marey.jobs.predict import find_videos
from marey.predict.artifact import Artifact, read_artifact
from marey.predict.load import STEP, SUFFIX
from marey.predict.probes import probe_inputs
from marey.predict.runtime import Runtime
from marey.predict.runtimes.choose import choose, measure
from marey.predict.runtimes.table import RUNTIMES, make_runtime, present
from marey.runs import RunFolder
from marey.types import Clip
from marey.work import cores, print_line

EAGER = "torch eager"
_ROUNDS = 3  # at the least


@dataclass(frozen=True, kw_only=True)
class SpeedConfig:
    """Measure how fast an artifact is on this machine, in every runtime that is installed, beside torch."""

    artifact: Annotated[str, tyro.conf.Positional]
    """What marey export wrote (.onnx)."""
    videos: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Videos that decoding and optical flow are timed on (default: generated ones)."""
    beside: str | None = None
    """Weights that torch runs beside it (default: the weights file of the same name in the same folder);
    whole clips, where the artifact goes frame by frame."""
    seconds: float = 10.0
    """About how long each part is measured."""
    batches: tuple[int, ...] = (1, 2, 4, 8)
    """Batches that are tried."""
    threads: int = 0
    """Threads that compute (default: all cores of this process)."""
    json: bool = False
    """For machines."""
    out: str = "runs"
    """Folder of all runs; the table is kept there too."""
    name: str = "bench"
    """Name of the run."""
    seed: int = 0
    """Written into the run; nothing here is random."""

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1:
            raise ConfigError(f"batches are numbers of clips from 1 up; got {self.batches}.")


@dataclass(frozen=True)
class Speed:
    """One runtime.

    Attributes:
        runtime: its name.
        p50_ms, p99_ms: latency of one clip, the network alone, in milliseconds.
        clips_s, frames_s: one clip at a time, the network alone.
        best_batch, best_clips_s: the batch at which most clips go through a second.
        path_ms: from the file to the answer, a clip at a time: decoding, optical flow where there is any, network.
        peak_mib: most memory of a process that does nothing but load the artifact and run it, or None (of torch,
            which is in this process already).
        note: why `auto` would not take it, or "".
    """

    runtime: str
    p50_ms: float
    p99_ms: float
    clips_s: float
    frames_s: float
    best_batch: int
    best_clips_s: float
    path_ms: float
    peak_mib: float | None
    note: str = ""


@dataclass(frozen=True)
class SpeedTable:
    """All of it.

    Attributes:
        artifact: the file. rows: a line a runtime. auto: the runtime that `--runtime auto` takes.
        decode_ms, flow_ms: of a clip, by the processor: what every runtime's `path_ms` has beside the network.
        frames, threads: of a clip; that compute. videos: what was decoded. versions: of the packages.
        failed: runtimes that cannot run it, and why.
    """

    artifact: str
    rows: tuple[Speed, ...]
    auto: str
    decode_ms: float
    flow_ms: float
    frames: int
    threads: int
    videos: str
    versions: dict[str, str]
    failed: dict[str, str] = field(default_factory=dict)


def speed(config: SpeedConfig, *, say: Callable[[str], None] = print_line) -> SpeedTable:
    """Measure; also written to bench.json of a run folder.

    Raises:
        CheckpointError: no artifact. VideoError: a video that cannot be read.
    """
    if not config.artifact.endswith(SUFFIX):
        raise CheckpointError(
            "this is not an artifact.",
            "export the run first: marey export RUN --to onnx",
            where=config.artifact,
        )
    artifact = read_artifact(config.artifact)
    threads = config.threads or cores()
    names = present()
    _, choice = choose(artifact, threads=threads, say=say)
    runtimes, lines = measure(artifact, names, threads=threads, seconds=0.0)
    notes = {line.runtime: line.note for line in lines}
    eager = _eager(config, threads)
    if eager is None:
        say("torch is not beside: no weights of the same name lie there (--beside RUN).")
    else:
        runtimes = {EAGER: eager, **runtimes}
    with _videos(config, artifact) as videos:
        path_ms, decode_ms, flow_ms = _paths(runtimes, artifact, videos, config.seconds)
    single = batch_times(runtimes, artifact, 1, config.seconds)
    rates = _rates(runtimes, artifact, config, single)
    frames = artifact.about.spec.frames
    rows = []
    for name in runtimes:
        p50, p99 = (float(np.percentile(single[name], q)) for q in (50, 99))
        best = max(rates[name], key=lambda b: rates[name][b])
        rows.append(
            Speed(
                name, p50, p99, 1e3 / p50, frames * 1e3 / p50, best, rates[name][best], path_ms[name],
                None if name == EAGER else peak_memory(config.artifact, name, threads), notes.get(name, ""),
            )
        )  # fmt: skip
    found = SpeedTable(
        artifact=config.artifact, rows=tuple(rows), auto=choice.runtime, decode_ms=decode_ms, flow_ms=flow_ms,
        frames=frames, threads=threads, videos=", ".join(config.videos) or "generated", versions=_versions(names),
        failed={name: note for name, note in notes.items() if name not in runtimes},
    )  # fmt: skip
    run = RunFolder.create(config.out, "bench", config.name)
    run.describe(to_yaml(config))
    write_json(run.path / "bench.json", asdict(found))
    return found


def batch_times(
    runtimes: dict[str, Runtime], artifact: Artifact, batch: int, seconds: float
) -> dict[str, list[float]]:
    """Milliseconds of each call on `batch` clips, the runtimes taking turns."""
    inputs, mask = probe_inputs(artifact.about.spec, batch=batch)
    for runtime in runtimes.values():
        runtime(inputs, mask)
    taken: dict[str, list[float]] = {name: [] for name in runtimes}
    end = time.perf_counter() + seconds
    while len(next(iter(taken.values()))) < _ROUNDS or time.perf_counter() < end:
        for name, runtime in runtimes.items():
            start = time.perf_counter()
            runtime(inputs, mask)
            taken[name].append(1e3 * (time.perf_counter() - start))
    return taken


def _rates(
    runtimes: dict[str, Runtime], artifact: Artifact, config: SpeedConfig, single: dict[str, list[float]]
) -> dict[str, dict[int, float]]:
    """Clips a second by runtime and batch."""
    found = {name: {1: 1e3 / float(np.median(times))} for name, times in single.items()}
    others = [batch for batch in dict.fromkeys(config.batches) if batch != 1]
    for batch in others:
        times = batch_times(runtimes, artifact, batch, config.seconds / max(len(others), 1))
        for name in runtimes:
            found[name][batch] = 1e3 * batch / float(np.median(times[name]))
    return found


def _paths(
    runtimes: dict[str, Runtime], artifact: Artifact, videos: Sequence[str], seconds: float
) -> tuple[dict[str, float], float, float]:
    """Medians in milliseconds: of the whole path by runtime, of decoding without flow, and of flow."""
    from marey.predict.predictor import stacked

    spec = artifact.about.spec
    taken: dict[str, list[float]] = {name: [] for name in runtimes}
    decoded: list[float] = []
    flown: list[float] = []
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 1 or time.perf_counter() < end:
        for video in videos:
            for name, runtime in runtimes.items():
                start = time.perf_counter()
                runtime(*stacked(load_views(video, spec), spec))
                taken[name].append(1e3 * (time.perf_counter() - start))
            plain, with_flow = _fed(video, artifact)
            decoded.append(plain)
            flown.append(with_flow)
        rounds += 1
    return (
        {name: float(np.median(times)) for name, times in taken.items()},
        float(np.median(decoded)),
        float(np.median(flown)),
    )


def _fed(video: str, artifact: Artifact) -> tuple[float, float]:
    """Milliseconds of decoding one clip without optical flow, and of the flow."""
    from dataclasses import replace

    spec = artifact.about.spec
    start = time.perf_counter()
    clips: list[Clip] = load_views(video, replace(spec, modalities=("rgb",)))
    clip_inputs(clips[0], ("rgb",))
    plain = time.perf_counter() - start
    if "flow" not in spec.modalities:
        return 1e3 * plain, 0.0
    start = time.perf_counter()
    load_views(video, spec)
    return 1e3 * plain, 1e3 * max(time.perf_counter() - start - plain, 0.0)


@contextmanager
def _videos(config: SpeedConfig, artifact: Artifact) -> Any:
    if config.videos:
        yield find_videos(config.videos)[:16]
        return
    from marey.video.synthetic import MOTIONS, render_motion, write_video

    with tempfile.TemporaryDirectory() as folder:
        paths = []
        frames = max(artifact.about.spec.frames, 32)
        for number in range(4):
            video = render_motion(
                MOTIONS[number], np.random.default_rng(number), size=256, frames=frames, fps=25.0
            )
            paths.append(str(write_video(Path(folder) / f"{number}.mp4", video.frames, fps=25.0)))
        yield paths


def _eager(config: SpeedConfig, threads: int) -> Runtime | None:
    """Plain torch: weights as they are, no compilation."""
    named = Path(config.artifact.removesuffix(SUFFIX).removesuffix(STEP) + ".safetensors")
    weights = named if config.beside is None else Path(config.beside)
    if config.beside is None and not weights.is_file():
        return None
    import torch

    from marey.models.saved import load_model
    from marey.predict.load import find_weights
    from marey.predict.runtime import TorchRuntime

    torch.set_num_threads(threads)
    return TorchRuntime(load_model(find_weights(weights)).model, channels_last=False)


_GROW = "import sys; from marey.jobs.speed import grown; print(grown(*sys.argv[1:3], int(sys.argv[3])))"


def peak_memory(path: str, runtime: str, threads: int) -> float | None:
    """MiB of a fresh process at its largest that loads an artifact and runs one clip; None where nobody knows."""
    done = subprocess.run(
        [sys.executable, "-c", _GROW, path, runtime, str(threads)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return float(done.stdout.split()[-1])
    except (IndexError, ValueError):  # nobody knows, or the runtime does not take the file
        return None


def grown(path: str, runtime: str, threads: int) -> float | None:
    """The same of this process, which must have done nothing else."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows has none
        return None
    try:
        artifact = read_artifact(path)
        inputs, mask = probe_inputs(artifact.about.spec, batch=1)
        make_runtime(artifact, runtime, threads=threads)(inputs, mask)
    except MareyError:
        return None
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss of a process that was started by a large one begins with the large one's
        line = next((x for x in status.read_text().splitlines() if x.startswith("VmHWM")), None)
        if line is not None:
            return int(line.split()[1]) / 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024


def _versions(names: Sequence[str]) -> dict[str, str]:
    packages = sorted({"marey", *(RUNTIMES[name].package for name in names)})
    return {package: metadata.version(package) for package in packages}
