"""Packing videos: what one will take, and a group of them decoded once into a shard, a tar or movies."""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from marey.errors import NoRoomError
from marey.files import key_of, plain_stem
from marey.types import FloatArray, UInt8Array
from marey.video.packed.content import content_hash
from marey.video.packed.growing import GrowingFile
from marey.video.packed.movie import GOP, QUALITY, check_movie, clock, write_movie
from marey.video.packed.shard import ShardWriter
from marey.video.packed.tar import TarWriter
from marey.video.picture import scaled_size
from marey.video.reader import VideoReader, frames_shown, open_video
from marey.work import guarded

Form = Literal["shards", "mp4", "tar"]
FORMAT = 1
_CHUNK_BYTES = 48 << 20  # decoded frames held at once: an hour of video takes no more memory than a minute


@dataclass(frozen=True)
class PackSettings:
    """What decides the frames of a pack, besides the videos.

    Attributes:
        form: shards of frames, MP4s, or tars of MP4s.
        size: short side in pixels.
        rate: frames a second that are kept; None keeps every frame.
    """

    form: Form = "shards"
    size: int = 128
    rate: float | None = None

    def describe(self) -> dict[str, Any]:
        """All that a key is made of besides the content, and that stands in pack.json."""
        movie = {} if self.form == "shards" else {"gop": GOP, "quality": QUALITY}
        return {"format": FORMAT, **asdict(self), **movie}


@dataclass(frozen=True)
class PackPlan:
    """One video, before any of it is decoded.

    Attributes:
        path: the file.
        key: stands for its content and the settings.
        frames, height, width: what will be kept.
        about: what goes with it into a tar.
    """

    path: str
    key: str
    frames: int
    height: int
    width: int
    about: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def pixels(self) -> int:
        return self.frames * self.height * self.width

    @property
    def name(self) -> str:
        """A name for people, then what it is known by."""
        return f"{plain_stem(Path(self.path)).replace('.', '_')}-{self.key}"


@dataclass
class GroupDone:
    """What packing a group gave: places inside the pack by key, errors in words by key, and whether the disk
    filled up on the way."""

    places: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    full: str = ""


def plan_video(path: str, settings: PackSettings) -> PackPlan:
    """Hash a file and count its frames, without decoding."""
    with open_video(path) as reader:
        frames = len(kept_frames(reader, settings.rate))
        height, width = _packed_size(reader, settings)
    key = key_of({**settings.describe(), "content": content_hash(path)})
    return PackPlan(path, key, frames, height, width)


def kept_frames(reader: VideoReader, rate: float | None) -> NDArray[np.intp]:
    """The frames that are shown at start, start + 1/rate, …; each once, ascending. All, where rate is None."""
    if rate is None:
        return np.arange(len(reader.times))
    start, end = float(reader.times[0]), float(reader.info.end)
    instants = start + np.arange(max(1, int(np.ceil((end - start) * rate)))) / rate
    return np.unique(frames_shown(reader.times, end, instants[instants < end], Path(reader.info.path)))


def pack_group(group: list[PackPlan], settings: PackSettings, out: Path) -> GroupDone:
    """Decode videos into one shard or tar, or into one MP4 each. What cannot be read is told in words; where the
    disk fills up, what was done before is kept."""
    done = GroupDone()
    folder = out / ("videos" if settings.form == "mp4" else "shards")
    if settings.form == "mp4":
        for plan in group:
            if not _noted(done, plan, _pack_movie, (settings, folder)):
                break
        return done
    with ShardWriter(folder) if settings.form == "shards" else TarWriter(folder) as writer:
        for plan in group:
            if not _noted(done, plan, _add, (settings, writer)):
                break
        try:
            path = writer.finish()
        except NoRoomError as error:
            return GroupDone(full=error.what)
    done.places = {key: f"shards/{path.name}/{place}" for key, place in done.places.items()} if path else {}
    return done


def _noted(done: GroupDone, plan: PackPlan, work: Any, rest: tuple[Any, ...]) -> bool:
    """Do one video and note what came of it; False where there is no more room."""
    try:
        outcome = guarded(_but_no_room, plan, (work, *rest))
    except _FullError as error:
        done.full = str(error)
        return False
    if isinstance(outcome, tuple):
        done.places[plan.key] = outcome[0]
    else:
        done.errors[plan.key] = outcome
    return True


class _FullError(BaseException):
    """Carries a full disk past what catches the errors of single videos."""


def _but_no_room(plan: PackPlan, work: Any, *rest: Any) -> tuple[str]:
    try:
        return (work(plan, *rest),)
    except NoRoomError as error:
        raise _FullError(error.what) from error


def _add(plan: PackPlan, settings: PackSettings, writer: ShardWriter | TarWriter) -> str:
    if isinstance(writer, TarWriter):
        writer.add(plan.name, encoded(plan, settings), {"key": plan.key, **plan.about})
        return f"{plan.name}.mp4"
    with open_video(plan.path) as reader:
        kept = kept_frames(reader, settings.rate)
        times = reader.times[kept]
        size = (plan.height, plan.width)
        number = writer.add(
            plan.key,
            times=times,
            keyframes=np.isin(times, reader.keyframes),
            size=size,
            chunks=_chunks(reader, times, size),
            about={
                "source": plan.path,
                "end": reader.info.end,
                "pixel_aspect": reader.info.pixel_aspect,
                "variable_rate": reader.info.variable_rate,
            },
        )
    return f"{number}-{plain_stem(Path(plan.path))}"


def _pack_movie(plan: PackPlan, settings: PackSettings, folder: Path) -> str:
    movie = encoded(plan, settings)
    with GrowingFile(folder) as file:
        file.put(movie)
        # its own checksum in its name: it can be verified wherever it goes
        return f"videos/{file.finish(f'{plan.name}-{zlib.crc32(movie):08x}.mp4').name}"


def encoded(plan: PackPlan, settings: PackSettings) -> bytes:
    """A video as a small movie, whose times were read back and are the source's."""
    with open_video(plan.path) as reader:
        times, end = reader.times[kept_frames(reader, settings.rate)], float(reader.info.end)
        base = clock(reader.index)
        movie = _movie(reader, times, end, base, (plan.height, plan.width))
    check_movie(movie, times, end, base)
    return movie


def _movie(
    reader: VideoReader, times: FloatArray, end: float, base: Fraction, size: tuple[int, int]
) -> bytes:
    file = io.BytesIO()
    write_movie(file, times=times, end=end, base=base, size=size, chunks=_chunks(reader, times, size))
    return file.getvalue()


@dataclass(frozen=True)
class Measured:
    """What packing some frames took."""

    pixels: int
    frames: int
    bytes: int
    seconds: float


def measure(plan: PackPlan, settings: PackSettings, frames: int = 48) -> Measured:
    """Pack the first frames of a video to nowhere."""
    began = time.process_time()
    with open_video(plan.path) as reader:
        times = reader.times[kept_frames(reader, settings.rate)][:frames]
        size = (plan.height, plan.width)
        if settings.form == "shards":
            taken = sum(chunk.nbytes for chunk in _chunks(reader, times, size))
        else:
            end = float(times[-1]) + 0.1
            taken = len(_movie(reader, times, end, clock(reader.index), size))
    return Measured(len(times) * size[0] * size[1], len(times), taken, time.process_time() - began)


def _packed_size(reader: VideoReader, settings: PackSettings) -> tuple[int, int]:
    """As the clip path scales for a crop from this short side; movies have even sides."""
    info = reader.info
    height, width = scaled_size(info.height, info.width, settings.size / min(info.height, info.width))
    if settings.form == "shards":
        return height, width
    return height + height % 2, width + width % 2


def _chunks(reader: VideoReader, times: FloatArray, size: tuple[int, int]) -> Iterator[UInt8Array]:
    step = max(1, _CHUNK_BYTES // (size[0] * size[1] * 3))
    for begin in range(0, len(times), step):
        yield reader.frames_at(times[begin : begin + step], size=size).frames
