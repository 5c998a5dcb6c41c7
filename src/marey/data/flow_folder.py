"""Optical flow that `marey flow` made ahead of training, found by the content of each video. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marey.data.augment import TimeJitter
from marey.data.instants import ClipReader
from marey.data.manifest import Sample
from marey.data.motion import Index
from marey.errors import ConfigError, DataError
from marey.spec import InputSpec
from marey.types import BoolArray, UInt8Array
from marey.video.flow.index import INDEX, read_index
from marey.video.flow.methods import BOUND
from marey.video.flow.store import StoredFlow, is_complete
from marey.video.packed.content import content_hash
from marey.video.sampling import sampler_from_dict


@dataclass(frozen=True)
class _Kept:
    """One folder of flow: of which content, which stretch of it, and made how."""

    folder: Path
    content: str
    start: float | None
    end: float | None
    method: str
    stride: int
    bound: float
    short: int

    def covers(self, sample: Sample, context: bool) -> bool:
        """Whether it holds all the flow that clips of a sample may ask for."""
        whole = self.start is None and self.end is None
        if whole or context:
            return whole
        begun = self.start is None or (sample.start is not None and sample.start >= self.start)
        return begun and (self.end is None or (sample.end is not None and sample.end <= self.end))


class FlowFolder:
    """A `FlowSource` that reads a folder made by `marey flow`.

    Everything is checked at once, before a training begins: each sample's video has its flow here, of this very
    content, by the method, at the size and over the stride that the specification names.

    Args:
        out: the folder; `flow.csv` lies in it.
        samples: what will be asked for.
        spec: of the model.
        jitter: temporal augmentation of the clips that will be asked for.

    Raises:
        ConfigError: a sampler whose frames are no neighbours, or augmentation that makes them so.
        DataError: flow that is not there or is of another kind; says which sample, and what to run.
    """

    def __init__(
        self,
        out: str | Path,
        samples: Iterable[Sample],
        spec: InputSpec,
        *,
        jitter: TimeJitter | None = None,
    ) -> None:
        self.out = Path(out)
        self.spec = spec
        snippet = sampler_from_dict(spec.sampler).snippet
        if snippet is None:
            raise ConfigError(
                f"stored flow lies between neighbouring frames, and the sampler {spec.sampler['name']!r} chooses "
                "frames that are none.",
                "choose runs of neighbours, e.g. --sampler snippets:3,10; or leave --flow out, to compute the "
                "flow between the frames that are chosen",
            )
        jitter = jitter or TimeJitter()
        if jitter != TimeJitter(context=jitter.context):
            raise ConfigError(
                "stored flow lies between neighbouring frames, and augmentation of speed or frame rate takes others.",
                "leave --speed, --frame-rate, --frame-drop and --frame-hold out, or --flow",
            )
        self.stride = snippet[1]
        self._kept: dict[str, list[_Kept]] = {}
        rows = read_index(self.out)
        if not rows:
            raise DataError(f"there is no {INDEX} here.", self._command(), where=str(out))
        for row in rows:
            if row["status"] == "whole" and is_complete(self.out / row["folder"]):
                kept = _read(self.out / row["folder"])
                self._kept.setdefault(kept.content, []).append(kept)
        samples = list(samples)
        paths = list(dict.fromkeys(sample.path for sample in samples))
        with ThreadPoolExecutor(4) as pool:  # hashing leaves the interpreter's lock
            content = dict(zip(paths, pool.map(_hash, paths), strict=True))
        listed = {row["path"] for row in rows}
        self._folders: dict[str, list[Path]] = {}
        lacking: list[tuple[Sample, str]] = []
        for sample in samples:
            fit = [k for k in self._kept.get(content[sample.path], []) if not self._unlike(k)]
            fit = [k for k in fit if k.covers(sample, jitter.context > 0)]
            if fit:
                # the whole video's flow first: it serves every segment
                best = min(fit, key=lambda k: (k.start is not None, k.end is not None))
                known = self._folders.setdefault(sample.path, [])
                known += [] if best.folder in known else [best.folder]
            else:
                lacking.append((sample, self._why(sample, content[sample.path], listed)))
        if lacking:
            sample, why = lacking[0]
            more = [f"{len(lacking)} of {len(samples)} samples lack their flow; this is the first"]
            raise DataError(
                why, *more[: len(lacking) - 1], self._command(), where=sample.where or sample.path
            )

    def __repr__(self) -> str:
        return f"FlowFolder({self.out}: {len(self._folders)} videos, {self.spec.flow_method})"

    def find(
        self, reader: ClipReader, first: Index, second: Index, size: tuple[int, int]
    ) -> tuple[UInt8Array, BoolArray]:
        path = str(reader.info.path)
        begin, end = reader.times[first], reader.times[second]
        for folder in self._folders.get(path, []):
            stored = StoredFlow(folder)
            have = (int(stored.info["height"]), int(stored.info["width"]))
            if have != size:
                raise DataError(
                    f"its flow is {have[1]}×{have[0]} and clips are cropped from {size[1]}×{size[0]}.",
                    self._command(),
                    where=path,
                )
            index = np.searchsorted(stored.times, begin - 1e-6)
            after = index + stored.stride
            inside = after < len(stored.times)
            if inside.all() and np.abs(stored.times[np.stack([index, after])] - [begin, end]).max() < 1e-6:
                return stored.values(index), np.ones(len(first), dtype=bool)
        raise DataError(
            f"the folder {self.out} lacks the flow between {begin[0]:.3f} and {end[-1]:.3f} s.",
            self._command(),
            where=path,
        )

    def keep(self, reader: ClipReader, first: Index, second: Index, fields: UInt8Array) -> None:
        raise AssertionError("stored flow is whole: nothing is computed beside it")

    def _unlike(self, kept: _Kept) -> str:
        """In what a folder is not what the specification says, in words; "" where it is."""
        for what, have, want in (
            ("by the method", kept.method, self.spec.flow_method),
            ("at a short side of", kept.short, self.spec.resize),
            ("over a stride of", kept.stride, self.stride),
            ("with a bound of", kept.bound, BOUND),
        ):
            if have != want:
                return f"it was made {what} {have}, and the model takes {want}"
        return ""

    def _why(self, sample: Sample, content: str, listed: set[str]) -> str:
        name = Path(sample.path).name
        kept = self._kept.get(content, [])
        if kept:
            unlike = [why for why in map(self._unlike, kept) if why]
            if len(unlike) == len(kept):
                return f"there is flow of {name} in {self.out}, but {unlike[0]}."
            return f"the flow of {name} in {self.out} is of another stretch of it."
        if str(Path(sample.path).absolute()) in listed:
            return f"the flow of {name} in {self.out} was made from another file of that name, or failed."
        return f"there is no flow of {name} in {self.out}."

    def _command(self) -> str:
        stride = f" --stride {self.stride}" if self.stride != 1 else ""
        return (
            f"make it with: marey flow DATA --out {self.out} --method {self.spec.flow_method} "
            f"--size {self.spec.resize}{stride}"
        )


def _read(folder: Path) -> _Kept:
    info: dict[str, Any] = StoredFlow(folder).info
    source = info["source"]
    return _Kept(
        folder,
        source["sha256"],
        source["start"],
        source["end"],
        info["method"],
        int(info.get("stride", 1)),
        float(info["bound"]),
        min(info["height"], info["width"]),
    )


def _hash(path: str) -> str:
    """SHA-256 of a file, or "" where it cannot be read: the reader will say why."""
    try:
        return content_hash(path)
    except (OSError, DataError):
        return ""
