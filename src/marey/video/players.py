"""How players and browsers see a video: where their clock begins, and what a browser plays by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marey.errors import TruncatedVideoError
from marey.video.reader import VideoInfo, VideoReader, open_video

_PIXELS = {
    "h264": ("yuv420p", "yuvj420p"),
    "vp8": ("yuv420p",),
    "vp9": ("yuv420p", "yuv420p10le"),
    "av1": ("yuv420p", "yuv420p10le"),
}
_SUFFIXES = {
    ".mp4": ("mp4", ("h264", "vp9", "av1")),
    ".m4v": ("mp4", ("h264", "vp9", "av1")),
    ".mov": ("mov", ("h264",)),
    ".webm": ("webm", ("vp8", "vp9", "av1")),
}
MIME = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"}
_LOOKED_AT = 200  # packets in which every track of a file has begun


@dataclass(frozen=True)
class Playing:
    """A video as players have it.

    Attributes:
        info: what it is.
        begins: seconds on the video's own clock at which a player's clock says 0: the first picture or sound.
        in_browser: whether current browsers play the file as it is, by its container, codec and pixels.
    """

    info: VideoInfo
    begins: float
    in_browser: bool


def playing(path: str | Path) -> Playing:
    """Look at a video as a player would.

    Raises:
        VideoError: as `open_video`.
    """
    with open_readable(path) as reader:
        info = reader.info
    path = Path(path)
    return Playing(info, _begins(path, info), path.is_file() and plays_in_browser(info, path.suffix))


def open_readable(path: str | Path, *, threads: int = 1) -> VideoReader:
    """The video; of one that is known to be damaged, what comes before the damage (`info.truncated` tells)."""
    try:
        return open_video(path, threads=threads)
    except TruncatedVideoError:
        return open_video(path, truncated="use-prefix", threads=threads)


def plays_in_browser(info: VideoInfo, suffix: str) -> bool:
    """Whether browsers play such a file. They tell a local file's kind by its suffix."""
    container, codecs = _SUFFIXES.get(suffix.lower(), ("", ()))
    return (
        container in info.container.split(",")
        and info.codec in codecs
        and info.pix_fmt in _PIXELS[info.codec]
    )


def _begins(path: Path, info: VideoInfo) -> float:
    """Where the first track begins; players count from there. Sound before 0 is what its codec needs to get going,
    and is not heard."""
    first = max(_first_time(path, info), 0.0)
    return first if first < info.start - 1e-5 else info.start


def _first_time(path: Path, info: VideoInfo) -> float:
    if not path.is_file():  # inside a pack: nothing but the pictures
        return info.start
    from marey.video.container import open_container

    with open_container(path) as container:
        if container.start_time is not None:  # in microseconds, so no nearer than that
            return float(container.start_time / 1e6)
        began: dict[int, float] = {}
        kinds = [s for s in container.streams if s.type in ("video", "audio")]
        for number, packet in enumerate(container.demux(kinds)):
            if packet.pts is not None:
                seconds = float(packet.pts * packet.time_base)
                began[packet.stream_index] = min(began.get(packet.stream_index, seconds), seconds)
            if number >= _LOOKED_AT or len(began) == len(kinds):
                break
    return min(info.start, *began.values()) if began else info.start
