"""Clips around alarms: packets as they came, with what was before and after, and a picture of the moment.

Nothing is encoded again: the packets of a feed are kept for some seconds (a tape), and go into a file as they are.
MP4 where players expect it (H.264, HEVC, AV1), else Matroska, which takes every codec.

The times inside a clip are made anew from those of the packets, since those of a camera may jump.
"""

from __future__ import annotations

import io
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marey.errors import ConfigError
from marey.live.room import make_room

_IN_MP4 = ("h264", "hevc", "av1")
_JUMP = 10.0  # seconds from one packet to the next that cannot be


@dataclass(frozen=True, kw_only=True)
class ClipsConfig:
    """What is kept of an alarm."""

    folder: str | None = None
    """Folder of clips and pictures; without it none are kept."""
    before: float = 5.0
    """Seconds before the alarm."""
    after: float = 5.0
    """Seconds after its end."""
    longest: float = 60.0
    """Seconds of a clip, at most; packets wait in memory until it is written."""
    days: float = 30.0
    """Older clips are deleted."""
    gigabytes: float = 10.0
    """The oldest clips are deleted where all of them take more than this."""
    spare: float = 1.0
    """Gigabytes that stay free on the disk: the oldest clips are deleted before."""

    def __post_init__(self) -> None:
        for name in ("before", "after", "longest", "days", "gigabytes", "spare"):
            if not 0 <= getattr(self, name) < 1e6:
                raise ConfigError(f"{name} of clips is a number from 0 on; got {getattr(self, name)}.")


@dataclass(frozen=True)
class Packet:
    """An encoded packet by itself: it holds on to no container that may be closed meanwhile.

    Attributes:
        content: its bytes.
        pts, dts: in units of `tick` seconds, or None.
        key: whether decoding can begin with it.
        time: seconds on the monotonic clock, when it came.
    """

    content: bytes = field(repr=False)
    pts: int | None
    dts: int | None
    tick: Any
    key: bool
    time: float


@dataclass
class Recording:
    """What will be a clip.

    Attributes:
        path: the file, without its suffix.
        header: says what the packets are, see `header_of`.
        packets: so far.
        begun: seconds. until: seconds at which it is whole, or None while the alarm goes on.
    """

    path: Path
    header: bytes
    packets: list[Packet]
    begun: float
    until: float | None = None
    done: bool = False


class Tape:
    """The latest packets of a feed, and recordings that go on. Written to by the feed's thread.

    Args:
        before: seconds that are kept. longest: seconds of a recording, at most.
        finished: told of each recording that is whole.
    """

    def __init__(self, before: float, longest: float, finished: Callable[[Recording], None]) -> None:
        self._before, self._longest, self._finished = before, longest, finished
        self._packets: deque[Packet] = deque()
        self._keys: deque[float] = deque()
        self._header: bytes | None = None
        self._running: dict[str, Recording] = {}
        self._lock = threading.Lock()

    def begin(self, stream: Any) -> None:
        """A new connection: packets after this belong to another stream, so recordings end here."""
        header = header_of(stream)
        with self._lock:
            ended = list(self._running.values())
            self._running.clear()
            self._packets.clear()
            self._keys.clear()
            self._header = header
        for recording in ended:
            self._finished(recording)

    def add(self, packet: Any, time: float) -> None:
        """A packet as it came."""
        kept = Packet(bytes(packet), packet.pts, packet.dts, packet.time_base, packet.is_keyframe, time)
        with self._lock:
            self._packets.append(kept)
            if kept.key:
                self._keys.append(time)
            while len(self._keys) > 1 and self._keys[1] <= time - self._before:
                self._keys.popleft()
                while self._packets[0].time < self._keys[0] or not self._packets[0].key:
                    self._packets.popleft()
            for recording in self._running.values():
                recording.packets.append(kept)
        self.tick(time)

    def start(self, alarm: str, path: Path, time: float) -> bool:
        """Begin a recording with what is kept; whether there is anything to record."""
        with self._lock:
            if self._header is None or not self._keys:
                return False
            first = max((key for key in self._keys if key <= time - self._before), default=self._keys[0])
            packets = [p for p in self._packets if p.time >= first]
            while packets and not packets[0].key:
                packets.pop(0)
            self._running[alarm] = Recording(path, self._header, packets, time)
        return True

    def end(self, alarm: str, until: float) -> None:
        """The alarm has ended: the recording goes on until this time."""
        with self._lock:
            if alarm in self._running:
                self._running[alarm].until = until

    def tick(self, time: float) -> None:
        """Time goes on: what is whole is finished."""
        with self._lock:
            whole = [
                alarm
                for alarm, one in self._running.items()
                if (one.until is not None and time >= one.until) or time - one.begun >= self._longest
            ]
            ended = [self._running.pop(alarm) for alarm in whole]
        for recording in ended:
            self._finished(recording)

    def close(self) -> None:
        """Finish everything."""
        with self._lock:
            ended = list(self._running.values())
            self._running.clear()
        for recording in ended:
            self._finished(recording)


class Recorder:
    """Writes clips and pictures, in a thread of its own.

    Args:
        config: what is kept. folder: where.
        say: told of what could not be written.
    """

    def __init__(
        self, config: ClipsConfig, folder: Path, say: Callable[[str], None] = lambda what: None
    ) -> None:
        self.config, self.folder = config, folder
        self.written, self.failed = 0, 0
        self._say = say
        self._work: queue.SimpleQueue[Callable[[], int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        folder.mkdir(parents=True, exist_ok=True)

    def tape(self) -> Tape:
        """A tape whose recordings are written here."""
        return Tape(self.config.before, self.config.longest, self.finish)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def finish(self, recording: Recording) -> None:
        """Write a recording, soon."""
        self._work.put(lambda: write_clip(recording))

    def picture(self, path: Path, raw: Any) -> None:
        """Write a picture, soon. `raw` is PyAV's frame or OpenCV's picture."""
        self._work.put(lambda: write_picture(path, raw))

    def stop(self, timeout: float) -> None:
        """Write what waits, and end."""
        self._work.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                self._make_room()
                try:
                    work()
                except OSError as error:
                    if not self._make_room(one_more=True):
                        raise
                    self._say(f"{error.strerror or error}: the oldest clips were deleted")
                    work()
                self.written += 1
            except Exception as error:  # whatever cannot be written must not end the writing of the next
                self.failed += 1
                self._say(f"a clip could not be written: {error}")

    def _make_room(self, *, one_more: bool = False) -> int:
        c = self.config
        return make_room(
            self.folder, days=c.days, most=int(c.gigabytes * 1e9), spare=int(c.spare * 1e9), one_more=one_more
        )


def header_of(stream: Any) -> bytes:
    """What the packets of a stream are, as the head of a NUT file: it keeps a codec's own data as they are."""
    import av

    head = io.BytesIO()
    with av.open(head, "w", format="nut") as out:
        copy = out.add_stream_from_template(stream)
        packet = av.Packet(b"\0")  # a head by itself is not known for a NUT file
        packet.pts = packet.dts = 0
        packet.is_keyframe, packet.time_base, packet.stream = True, stream.time_base, copy
        out.mux(packet)
    return head.getvalue()


def suffix_of(header: bytes) -> str:
    """The suffix that a clip of this stream gets."""
    with _open_header(header) as source:
        return ".mp4" if source.streams.video[0].codec_context.name in _IN_MP4 else ".mkv"


def write_clip(recording: Recording) -> int:
    """Write the packets as they are; gives how many. The file is written beside and renamed.

    Raises:
        OSError, ValueError: PyAV's own.
    """
    import av

    from marey.files import partial_path

    if not recording.packets:
        return 0
    path = recording.path.with_name(recording.path.name + suffix_of(recording.header))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = partial_path(path)
    try:
        with _open_header(recording.header) as source, av.open(str(beside), "w") as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            for packet, (pts, dts) in zip(recording.packets, even_times(recording.packets), strict=True):
                made = av.Packet(packet.content)
                made.pts, made.dts, made.time_base = pts, dts, packet.tick
                made.is_keyframe = packet.key
                made.stream = stream
                out.mux(made)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return len(recording.packets)


def even_times(packets: Sequence[Packet]) -> list[tuple[int, int]]:
    """pts and dts of packets from 0 on, dts rising: where they jump or are missing, the time of arrival counts."""
    times: list[tuple[int, int]] = []
    shift, last = 0, -1
    for number, packet in enumerate(packets):
        stamp = packet.dts if packet.dts is not None else packet.pts
        if number == 0:
            shift = -stamp if stamp is not None else 0
        dts = None if stamp is None else stamp + shift
        if dts is None or dts <= last or (dts - last) * packet.tick > _JUMP:
            passed = packet.time - packets[max(number - 1, 0)].time
            dts = max(last, 0) + max(1, round(passed / packet.tick)) if number else 0
            shift = 0 if stamp is None else dts - stamp
        later = 0 if packet.pts is None or stamp is None else packet.pts - stamp
        times.append((dts + later, dts))
        last = dts
    return times


def write_picture(path: Path, raw: Any) -> int:
    """Write a frame as JPEG.

    Raises:
        OSError: it cannot be written.
    """
    import cv2

    from marey.files import write_atomically

    picture = raw if hasattr(raw, "shape") else raw.to_ndarray(format="bgr24")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, cv2.imencode(".jpg", picture)[1].tobytes())
    return 1


def _open_header(header: bytes) -> Any:
    import av

    return av.open(io.BytesIO(header), options={"format_whitelist": "nut", "codec_whitelist": "none"})
