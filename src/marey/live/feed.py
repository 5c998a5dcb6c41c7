"""One live source: a thread that reads it, connects again when it breaks off, and keeps the latest frame alone.

Where the model is slower than the camera, frames are dropped and counted; they are never queued, so that an alarm
never comes later than the model takes. The encoded packets go onto a tape, where clips are kept.
"""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from marey.data.clips import resized
from marey.errors import MareyError
from marey.live.addresses import cut
from marey.live.clock import FeedClock
from marey.live.recorder import Tape
from marey.live.source import SILENT_SECONDS, Kind, open_source
from marey.spec import InputSpec
from marey.types import UInt8Array
from marey.video.container import reason, video_tracks

State = Literal["connecting", "live", "stale", "frozen", "down", "ended"]
STATES: tuple[State, ...] = ("connecting", "live", "stale", "frozen", "down", "ended")
STALE, FROZEN = 5.0, 5.0
"""Seconds without a frame, and seconds of identical frames."""
_WAIT = 0.5, 4.0  # seconds before the first try, and at most


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """A frame as it came.

    Attributes:
        feed: name of its feed.
        time: seconds on the monotonic clock of this machine.
        picture: uint8 `(H, W, 3)`, the whole picture at the size that the model's crop is cut from.
        scene: grows when the feed was connected anew or its picture changed its size: what was seen before does
            not go on.
        arrival: seconds, when it was decoded.
        raw: PyAV's frame (or OpenCV's picture), for a snapshot.
    """

    feed: str
    time: float
    picture: UInt8Array
    scene: int
    arrival: float
    raw: Any = field(repr=False, default=None)


class Mailbox:
    """The latest frame of each feed, and a bell."""

    def __init__(self) -> None:
        self._latest: dict[str, LiveFrame] = {}
        self._bell = threading.Condition()

    def put(self, frame: LiveFrame) -> bool:
        """Leave a frame; whether it took the place of one that nobody fetched."""
        with self._bell:
            dropped = frame.feed in self._latest
            self._latest[frame.feed] = frame
            self._bell.notify()
        return dropped

    def take(self, timeout: float) -> dict[str, LiveFrame]:
        """What came since, of each feed the latest; waits for something to come, but not longer than `timeout`."""
        with self._bell:
            if not self._latest:
                self._bell.wait(timeout)
            taken, self._latest = self._latest, {}
        return taken


@dataclass
class FeedCounts:
    """What happened on a feed since the beginning."""

    frames: int = 0
    dropped: int = 0
    damaged: int = 0
    connections: int = 0
    failures: int = 0


def state_now(
    now: float, *, open_: bool, ended: bool, last_frame: float | None, last_change: float | None, tried: bool
) -> State:
    """What is known of a feed.

    Args:
        now: seconds.
        open_: whether there is a connection.
        ended: whether the source came to its end.
        last_frame, last_change: when a frame came, and when one came that was not identical with the one before;
            of this connection.
        tried: whether connecting failed, or a connection broke off, and none was made since.
    """
    if ended:
        return "ended"
    if not open_ or last_frame is None:
        return "down" if tried else "connecting"
    if now - last_frame >= STALE:
        return "stale"
    if last_change is not None and now - last_change >= FROZEN:
        return "frozen"
    return "live"


class Feed:
    """A source that is read for as long as it is wanted.

    Args:
        name: how it is called.
        address: a camera's number, rtsp://, http(s)://, a path, or - for a pipe.
        kind: of the address (`source.kind_of`).
        spec: what the model wants: pictures are scaled to it.
        mailbox: where frames go.
        follow: of a file: whether it is still being written.
        tape: keeps the encoded packets for clips, or None.
    """

    def __init__(
        self,
        name: str,
        address: str,
        kind: Kind,
        spec: InputSpec,
        mailbox: Mailbox,
        *,
        follow: bool = False,
        tape: Tape | None = None,
    ) -> None:
        self.name, self.kind, self.counts = name, kind, FeedCounts()
        self.error = ""
        self.clock = FeedClock()
        self.last_frame: float | None = None
        self.size: tuple[int, int] | None = None
        self._address, self._spec, self._mailbox, self._follow = address, spec, mailbox, follow
        self._tape = tape
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"feed {name}", daemon=True)
        self._open = self._ended = self._tried = False
        self._last_change: float | None = None
        self._digest: tuple[int, tuple[int, ...]] | None = None
        self._scene = 0
        self._painter: Any = None

    @property
    def shown_address(self) -> str:
        """The address as it may be shown."""
        return cut(self._address)

    @property
    def state(self) -> State:
        """What is known of it now."""
        return state_now(
            time.monotonic(), open_=self._open, ended=self._ended, tried=self._tried,
            last_frame=self.last_frame, last_change=self._last_change,
        )  # fmt: skip

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; `join` waits for it."""
        self._stop.set()

    def join(self, timeout: float) -> bool:
        """Wait for the thread; whether it has ended. One that hangs in a read ends with the program."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            before = self.counts.frames
            try:
                self._session()
                self.error = "" if self.kind in ("file", "pipe") else "the source ended"
                if self.kind == "pipe" or (self.kind == "file" and not self._follow):
                    self._ended = True
                    return
            except (OSError, ValueError, MareyError) as error:  # PyAV's errors are one of the first two
                self.error = cut(reason(error))
            except (
                Exception
            ) as error:  # a stream can break things in ways that nobody has listed: the feed lives on
                self.error = cut(f"{type(error).__name__}: {error}")
            finally:
                self._open = False
            self.counts.failures += 1
            self._tried = True
            failures = 0 if self.counts.frames > before else failures + 1
            # with chance in it, so that a hundred feeds of one server do not all come back at once
            self._stop.wait(min(_WAIT[0] * 2 ** min(failures, 8), _WAIT[1]) * random.uniform(0.5, 1))

    def _session(self) -> None:
        """One connection, from opening to its end."""
        self.clock.begin_anew()
        if self.kind == "camera":
            self._camera()
            return
        container = open_source(self._address, self.kind, self._stop, follow=self._follow)
        try:
            tracks = video_tracks(container)
            if not tracks or tracks[0].codec_context is None:
                raise ValueError("there is no video in it that can be decoded")
            stream = tracks[0]
            stream.codec_context.thread_count = 1
            self._begin()
            if self._tape:
                self._tape.begin(stream)
            self._read(container, stream)
        finally:
            container.close()

    def _begin(self) -> None:
        self._scene += 1
        self.last_frame = self._last_change = self._digest = None
        self.counts.connections += 1
        self._open = True

    def _read(self, container: Any, stream: Any) -> None:
        from av.error import FFmpegError

        opened = time.monotonic()
        paced = self.kind == "file"
        first: tuple[float, float] | None = None
        # all streams, not the video alone: a camera whose sound goes on must not hide that its picture does not
        for packet in container.demux():
            now = time.monotonic()
            if self._stop.is_set():
                return
            if now - (self.last_frame or opened) > SILENT_SECONDS and not paced:
                raise TimeoutError(f"nothing that can be decoded in {SILENT_SECONDS:g} s")
            if packet.stream_index != stream.index or not packet.size:
                continue
            if paced and packet.dts is not None:
                at = float(packet.dts * packet.time_base)
                first = (at, now) if first is None or not -1 < at - first[0] < 1e9 else first
                self._stop.wait(max(0.0, first[1] + at - first[0] - now))
                now = time.monotonic()
            if self._tape:
                self._tape.add(packet, now)
            try:
                frames = stream.codec_context.decode(packet)
            except (FFmpegError, ValueError):
                self.counts.damaged += 1
                continue
            self._show_all(frames, stream)
        self._show_all(self._rest(stream), stream)

    def _rest(self, stream: Any) -> list[Any]:
        from av.error import FFmpegError

        try:
            return list(stream.codec_context.decode(None))
        except (FFmpegError, ValueError):
            return []

    def _show_all(self, frames: list[Any], stream: Any) -> None:
        for frame in frames:
            if frame.is_corrupt:
                self.counts.damaged += 1
            else:
                stamp = None if frame.pts is None else float(frame.pts * stream.time_base)
                self._show(frame, stamp)

    def _show(self, frame: Any, stamp: float | None) -> None:
        """A decoded frame becomes the latest."""
        import numpy as np

        from marey.video.picture import Orientation, Painter

        arrival = time.monotonic()
        if self._painter is None:
            self._painter = Painter()
        orientation = Orientation.of(frame)
        size = orientation.stored(frame.height, frame.width)
        picture = np.empty((*resized(*size, self._spec), 3), np.uint8)
        self._painter.paint(frame, picture, "rgb", orientation)
        self._leave(picture, size, stamp, arrival, frame)

    def _leave(
        self, picture: UInt8Array, size: tuple[int, int], stamp: float | None, arrival: float, raw: Any
    ) -> None:
        if self.size != size:
            self._scene += self.size is not None
            self.size = size
        digest = zlib.crc32(picture.data), picture.shape
        if digest != self._digest:
            self._digest, self._last_change = digest, arrival
        self.last_frame = arrival
        self._tried = False
        self.counts.frames += 1
        at = self.clock.at(stamp, arrival)
        self.counts.dropped += self._mailbox.put(LiveFrame(self.name, at, picture, self._scene, arrival, raw))

    def _camera(self) -> None:
        """A camera of this machine, through OpenCV."""
        import cv2

        camera = cv2.VideoCapture(int(self._address))
        try:
            if not camera.isOpened():
                raise OSError(f"there is no camera {self._address}, or it is in use")
            self._begin()
            for raw in _pictures(camera, self._stop):
                arrival = time.monotonic()
                size = raw.shape[0], raw.shape[1]
                height, width = resized(*size, self._spec)
                small = cv2.resize(raw, (width, height), interpolation=cv2.INTER_AREA)
                self._leave(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), size, None, arrival, raw)
        finally:
            camera.release()


def _pictures(camera: Any, stop: threading.Event) -> Iterator[UInt8Array]:
    while not stop.is_set():
        good, picture = camera.read()
        if not good:
            raise OSError("the camera gives no more pictures")
        yield picture
