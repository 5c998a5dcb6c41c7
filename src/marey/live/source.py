"""Opening a live source with PyAV, with nothing else within FFmpeg's reach.

rtsp://, rtsps://         over TCP
http://, https://         MJPEG or any other stream; an HLS playlist (….m3u8) only where playlists are allowed:
                          it names further addresses, and whoever writes it decides which
a path                    at its own pace, to its end; followed, where it is said that it grows
-                         what comes in through a pipe
0, 1, …                   a camera of this machine, through OpenCV: PyAV's wheels read no devices
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Literal

from marey.errors import UsageError, VideoNotFoundError
from marey.live.addresses import cut
from marey.video.container import FORMATS

Kind = Literal["rtsp", "http", "hls", "file", "pipe", "camera"]
OPEN_SECONDS, SILENT_SECONDS = 5.0, 6.0
_NETWORK = {
    "rtsp": "rtsp,rtsps,rtp,rtcp,udp,tcp,tls",
    "http": "http,https,tcp,tls",
    "hls": "http,https,tcp,tls,crypto",
}
_WITHIN = {
    "rtsp": ("rtsp", "sdp", "rtp", *FORMATS),
    "http": ("mpjpeg", "mp3", "aac", *FORMATS),
    "hls": ("hls", "aac", *FORMATS),
}


def kind_of(address: str, *, playlists: bool = False) -> Kind:
    """What kind of source an address is.

    Raises:
        UsageError: an address of another kind, or a playlist where none is allowed.
    """
    scheme, colon, _ = address.partition("://")
    if address == "-":
        return "pipe"
    if address.isdigit():
        return "camera"
    if not colon:
        return "file"
    if scheme.lower() in ("rtsp", "rtsps"):
        return "rtsp"
    if scheme.lower() in ("http", "https"):
        if not address.partition("?")[0].lower().endswith(".m3u8"):
            return "http"
        if not playlists:
            raise UsageError(
                "this is an HLS playlist, which names further addresses to be opened.",
                "if you trust whoever writes it: --playlists",
                where=cut(address),
            )
        return "hls"
    raise UsageError(
        f"{scheme}:// is no live source.",
        "known: rtsp://, rtsps://, http://, https://, a file, - for a pipe, a camera's number",
        where=cut(address),
    )


def open_source(address: str, kind: Kind, stop: threading.Event, *, follow: bool = False) -> Any:
    """A PyAV input container. It gives up on a server that says nothing: opening after 5 s, reading after 6 s.

    Raises:
        OSError, ValueError: PyAV's own; the address stands in them.
        VideoNotFoundError: no such file.
    """
    import av

    live = {"probesize": "1000000", "analyzeduration": "2000000", "fflags": "nobuffer+discardcorrupt"}
    timeout = (OPEN_SECONDS, SILENT_SECONDS)
    if kind == "file":
        if not Path(address).is_file():
            raise VideoNotFoundError(address, "there is no such file.")
        options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
        if not follow:
            return av.open(f"file:{address}", options=options)
        # what there is to look at is what was written already: to look for more would be to wait for it
        size = min(int(live["probesize"]), max(Path(address).stat().st_size // 4, 2048))
        options = {
            **live,
            "probesize": str(size),
            "formatprobesize": str(size),
            "format_whitelist": ",".join(FORMATS),
        }
        return av.open(GrowingFile(Path(address), stop), options=options, buffer_size=4096)
    if kind == "pipe":
        options = {**live, "protocol_whitelist": "pipe", "format_whitelist": ",".join(FORMATS)}
        return av.open("pipe:0", options=options)
    options = {
        **live,
        "protocol_whitelist": _NETWORK[kind],
        "format_whitelist": ",".join(_WITHIN[kind]),
    }
    if kind == "rtsp":
        options["rtsp_transport"] = (
            "tcp"  # over UDP a lost packet is a torn picture, and firewalls are in the way
        )
        options["allowed_media_types"] = "video"
    return av.open(address, options=options, timeout=timeout)


class GrowingFile:
    """A file that somebody is still writing: at its end, reading waits for more.

    It ends where another file has taken its place, where it was cut, or when the reader is stopped. It cannot be
    sought in: FFmpeg would look for the last time stamp, and wait at the end for what comes after it.
    """

    def __init__(self, path: Path, stop: threading.Event) -> None:
        self.name = str(path)
        self._path, self._stop = path, stop
        self._file = path.open("rb")

    def read(self, size: int) -> bytes:
        """At least one byte, or none at the end."""
        while True:
            content = self._file.read(size)
            if content or self._stop.wait(0.05) or self._replaced():
                return content

    def _replaced(self) -> bool:
        mine = os.fstat(self._file.fileno())
        try:
            now = self._path.stat()
        except OSError:
            return True
        return now.st_ino != mine.st_ino or now.st_size < self._file.tell()

    def close(self) -> None:
        """As of a file."""
        self._file.close()
