"""`--runtime auto`: the fastest of the runtimes here that says what torch said.

Each is held against torch's own probabilities of the probe clips, which stand in the certificate, and against what
the certificate found on real clips; those that pass are timed in turns for a few seconds on a clip of the artifact's
own shape. Choice and table are kept for this artifact on this machine, with these versions and threads.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.errors import CheckpointError, MareyError, MissingExtraError
from marey.files import file_hash, key_of, write_json
from marey.metrics.calibration import probabilities
from marey.predict.about import Description
from marey.predict.artifact import Artifact
from marey.predict.probes import probe_inputs
from marey.predict.runtime import Runtime
from marey.predict.runtimes.parity import Answers, limit_of
from marey.predict.runtimes.table import RUNTIMES, make_runtime, present
from marey.video.known import cache_folder
from marey.work import cores, print_line

SECONDS = 3.0
_FEWEST = 3  # rounds, however long one takes


@dataclass(frozen=True)
class Measured:
    """One line of the table.

    Attributes:
        runtime: its name.
        clip_ms: the median time of one clip, in milliseconds; None where it was not timed.
        delta: the largest difference of a probability from torch's.
        ready_s: seconds until it could run.
        note: why it is not taken, or "".
    """

    runtime: str
    clip_ms: float | None
    delta: float | None
    ready_s: float
    note: str = ""


@dataclass(frozen=True)
class Choice:
    """The runtime that is taken, and what was measured."""

    runtime: str
    table: tuple[Measured, ...]

    def sentence(self) -> str:
        """What is said aloud."""
        times = {line.runtime: line.clip_ms for line in self.table if line.clip_ms is not None}
        best = times.pop(self.runtime)
        others = [f"{name} {ms:.1f}" for name, ms in sorted(times.items(), key=lambda item: item[1])]
        refused = [f"{line.runtime}: {line.note}" for line in self.table if line.note]
        words = f"runtime: {self.runtime}, {best:.1f} ms a clip"
        if others:
            words += f" ({', '.join(others)})"
        return "; ".join([words, *refused])


def choose(
    artifact: Artifact,
    *,
    threads: int = 0,
    device: str = "auto",
    seconds: float = SECONDS,
    say: Callable[[str], None] = print_line,
) -> tuple[Runtime, Choice]:
    """The runtime, ready to run.

    Args:
        artifact: read from a file.
        threads: that compute; 0: all cores of this process.
        device: "auto", "cpu" or "cuda".
        seconds: about how long is measured.
        say: told what was chosen, when it is measured.

    Raises:
        MissingExtraError: no runtime is installed. CheckpointError: none of those that are passes.
    """
    threads = threads or cores()
    names = present(device)
    if not names:
        raise MissingExtraError("onnxruntime", "onnx")
    place = _place(artifact, names, threads)
    known = _read(place, names)
    if known is not None:
        with suppress(CheckpointError):  # a library that was changed under the same version is measured again
            return make_runtime(artifact, known.runtime, threads=threads), known
    ready, table = measure(artifact, names, threads=threads, seconds=seconds)
    passed = [line for line in table if line.clip_ms is not None and not line.note]
    if not passed:
        raise CheckpointError(
            "no runtime here gives what torch gave.",
            *(f"{line.runtime}: {line.note}" for line in table),
            "take one all the same with --runtime NAME",
            where=artifact.path,
        )
    best = min(passed, key=lambda line: line.clip_ms or 0.0)
    choice = Choice(best.runtime, tuple(table))
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, asdict(choice))
    say(choice.sentence())
    return ready[best.runtime], choice


def measure(
    artifact: Artifact, names: list[str], *, threads: int = 0, seconds: float = SECONDS
) -> tuple[dict[str, Runtime], list[Measured]]:
    """The runtimes that work, and a line for each name."""
    about = artifact.about
    inputs, mask = probe_inputs(about.spec)
    shape = (len(mask), len(about.class_names))
    ready: dict[str, Runtime] = {}
    notes: dict[str, str] = {}
    deltas: dict[str, float] = {}
    seconds_to: dict[str, float] = {}
    for name in names:
        start = time.perf_counter()
        wanted, limit = reference(about, name)
        try:
            runtime = make_runtime(artifact, name, threads=threads)
            found = Answers()
            for row in range(len(mask)):
                logits = runtime({k: x[row : row + 1] for k, x in inputs.items()}, mask[row : row + 1])
                if not row:
                    seconds_to[name] = time.perf_counter() - start
                p = probabilities(logits, temperature=about.temperature, multi_label=about.multi_label)
                if wanted.shape == shape:
                    found.add_probabilities(wanted[row : row + 1], p, "")
        except MareyError as error:
            notes[name] = error.what
            seconds_to[name] = time.perf_counter() - start
            continue
        ready[name] = runtime
        real = {} if about.precision == "int8" else about.certificate.get("runtimes", {}).get(name, {})
        deltas[name] = max(found.delta, float(real.get("delta", 0.0)))
        if not deltas[name] <= limit:
            notes[name] = f"Δ {deltas[name]:.1e} of a probability is over {limit:.2g}"
    times = _times(
        {name: ready[name] for name in names if name in ready and name not in notes}, inputs, mask, seconds
    )
    return ready, [
        Measured(name, times.get(name), deltas.get(name), round(seconds_to[name], 3), notes.get(name, ""))
        for name in names
    ]


def reference(about: Description, name: str) -> tuple[NDArray[np.float64], float]:
    """What the probe clips must give in this runtime, and within how much.

    Of float32 it is what torch says. Of int8 it is what this runtime said when the export judged it by its accuracy,
    or what the one said that was taken; it may lie no farther from that than int8 lies from torch.
    """
    certificate = about.certificate
    gate = certificate.get("int8")
    if about.precision != "int8" or gate is None:
        return np.array(certificate.get("probes") or [], dtype=np.float64), limit_of(about)
    judged = name if name in gate["probes"] else gate["runtime"]
    apart = float(certificate["runtimes"][judged]["delta"]) if judged == name else 0.0
    return np.array(gate["probes"][judged], dtype=np.float64), max(limit_of(about), apart)


def _times(runtimes: dict[str, Runtime], inputs: Any, mask: Any, seconds: float) -> dict[str, float]:
    """Medians over rounds in which the runtimes take turns, so that the machine's moods fall on all alike."""
    if len(runtimes) == 1 and seconds < 1:
        seconds = 0
    one = {name: x[:1] for name, x in inputs.items()}, mask[:1]
    taken: dict[str, list[float]] = {name: [] for name in runtimes}
    end = time.perf_counter() + seconds
    for number in range(10_000):
        if number >= _FEWEST and time.perf_counter() > end:
            break
        for name, runtime in runtimes.items():
            start = time.perf_counter()
            runtime(*one)
            taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: round(float(np.median(times)), 3) for name, times in taken.items()}


def _place(artifact: Artifact, names: list[str], threads: int) -> Path:
    packages = {RUNTIMES[name].package for name in names}
    made_of = {
        "artifact": file_hash(artifact.path),
        "runtimes": names,
        "versions": {package: metadata.version(package) for package in sorted(packages | {"marey"})},
        "machine": [platform.node(), platform.machine(), _processor()],
        "threads": threads,
    }
    return cache_folder() / "runtimes" / f"{key_of(made_of)}.json"


def _processor() -> str:
    """The processor's name and what it can do, where the system says so."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return "\n".join(
            sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
        )
    return platform.processor()


def _read(place: Path, names: list[str]) -> Choice | None:
    """The choice that is kept, or None where there is none, or it is damaged."""
    try:
        plain = json.loads(place.read_text(encoding="utf-8"))
        found = Choice(plain["runtime"], tuple(Measured(**line) for line in plain["table"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.runtime in names else None
