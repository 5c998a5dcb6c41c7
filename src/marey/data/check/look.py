"""One file looked at: opened, its frames' times read, sixteen of its pictures taken, and all of it decoded if asked.

What is found depends on the file's content alone, so it is kept under the content's key and never found twice.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from marey.data.fingerprint import PICTURES, SIDE, fingerprint
from marey.errors import (
    DataError,
    EmptyVideoError,
    EncryptedVideoError,
    NoVideoTrackError,
    TruncatedVideoError,
    VideoError,
    VideoNotFoundError,
)
from marey.types import FloatArray, UInt8Array
from marey.video.container import open_container, pick_track
from marey.video.packed.content import number_in_shard
from marey.video.packed.names import FRAMES, TAR, as_file, disk_bytes, inside, is_address, split_tar
from marey.video.packed.shard import shard
from marey.video.packed.tar import read_member
from marey.video.packets import PacketSource
from marey.video.reader import MAX_PIXELS, VideoInfo, open_video
from marey.video.survey import checked

VERSION = 1
_KINDS: tuple[tuple[type[DataError], str], ...] = (
    (VideoNotFoundError, "missing"),
    (NoVideoTrackError, "no video"),
    (EmptyVideoError, "no video"),
    (EncryptedVideoError, "encrypted"),
    (TruncatedVideoError, "truncated"),
)


@dataclass(frozen=True, eq=False)
class Look:
    """What one file gave.

    Attributes:
        info: what the video is; None where it cannot be opened.
        kind, got: the kind of fault and what was found; empty where nothing was.
        listed: frames that the header names, 0 where it names none; packets: how many are there.
        decoded: whether every frame was decoded.
        times: float64 `(N,)` seconds. pictures: the fingerprint uint8 `(16, 32, 32)`; both empty without info.
    """

    info: VideoInfo | None = None
    kind: str = ""
    got: str = ""
    listed: int = 0
    packets: int = 0
    decoded: bool = False
    times: FloatArray = field(default_factory=lambda: np.empty(0))
    pictures: UInt8Array = field(default_factory=lambda: np.empty((0, SIDE, SIDE), np.uint8))

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        plain = {k: v for k, v in vars(self).items() if k not in ("times", "pictures")}
        plain["info"] = asdict(self.info) if self.info else None
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part.npz")
        np.savez_compressed(part, plain=json.dumps(plain), times=self.times, pictures=self.pictures)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Look | None:
        """What was saved; None where nothing was, or only half of it."""
        try:
            with np.load(path, allow_pickle=False) as held:
                plain: dict[str, Any] = json.loads(str(held["plain"]))
                info = VideoInfo(**plain.pop("info")) if plain["info"] else plain.pop("info")
                return cls(info=info, times=held["times"], pictures=held["pictures"], **plain)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None


def content_key(path: str) -> str:
    """The digest of a file's bytes (BLAKE2b, 20 bytes), or of those of a video inside a pack: all of them, so that one
    that was damaged since is looked at again."""
    kind = inside(path)
    if kind == FRAMES:
        video = shard(Path(path).parent).video(number_in_shard(Path(path)), writable=False)
        digest = hashlib.blake2b(video.frames.data, digest_size=20)
        digest.update(video.times.data)
        return digest.hexdigest()
    if kind == TAR:
        return hashlib.blake2b(read_member(*split_tar(path)), digest_size=20).hexdigest()
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


def stamp(path: str) -> list[int]:
    """What a file is known by without reading it, size and time of change, or those of the pack that a video lies in;
    -1 where there is nothing."""
    kind = inside(path)
    if kind == TAR and is_address(path):
        return [disk_bytes(path), 0]  # what lies at an address is taken never to change
    try:
        stat = (Path(path).parent if kind else Path(path)).stat()
    except OSError:
        return [-1, -1]
    return [stat.st_size, stat.st_mtime_ns]


def look(path: str, full: bool) -> Look:
    """Look at one file, or at one video inside a pack; what is wrong with it stands in the result.

    Args:
        path: the file.
        full: whether to decode every frame, and not those of the fingerprint alone. Of packed frames: whether to
            compare all of them with their checksums.
    """
    try:
        kind = inside(path)
        if kind == TAR:
            with as_file(read_member(*split_tar(path))) as (_, name):
                seen = _looked_at(name, full, None)
            return seen if seen.info is None else replace(seen, info=replace(seen.info, path=path))
        return _looked_at(path, full, kind)
    except DataError as error:
        kind = next((kind for of, kind in _KINDS if isinstance(error, of)), "unreadable")
        more = () if kind == "encrypted" else error.details[:1]  # what to do is said once for all of a kind
        return Look(kind=kind, got=" ".join([error.what, *more]), decoded=full)


def _looked_at(path: str, full: bool, kind: str | None) -> Look:
    listed, packets = 0, 0
    with open_video(path) as reader:
        info, times, index = reader.info, reader.times, reader.index
        if kind == FRAMES:
            if full and (wrong := shard(Path(path).parent).damage_of(number_in_shard(Path(path)))):
                raise VideoError(path, f"{wrong}.")
        else:
            listed, packets = _counted(path, len(index.packet_pts))
            if full:
                source = PacketSource(Path(path), track=None, threads=1, max_pixels=MAX_PIXELS)
                try:
                    checked(Path(path), source, index, index.listed, keep_prefix=False)
                finally:
                    source.close()
        pictures = fingerprint(reader, info.end)
    return Look(info, *_seen(info, pictures), listed, packets, full, times, pictures)


def _counted(path: str, packets: int) -> tuple[int, int]:
    """Frames that the header names, and packets that are there: with AVI's "the same again" where need be."""
    with open_container(Path(path)) as container:
        stream = pick_track(container, Path(path), None)
        listed = int(stream.frames)
        if listed and listed != packets:
            packets = sum(1 for packet in container.demux(stream) if packet.dts is not None)
    return listed, packets


def _seen(info: VideoInfo, pictures: UInt8Array) -> tuple[str, str]:
    """Black or frozen, as far as the fingerprint's pictures tell."""
    levels = pictures.astype(np.int16)
    if levels.max() < 24 and levels.std(axis=(1, 2)).max() < 2:
        return "black", f"no pixel of {PICTURES} pictures is brighter than {int(levels.max())} of 255."
    # compression makes a still drift by a few levels; what moves, moves ever further from where it was
    drift = 4 if info.duration >= 0.5 else 0
    if info.frames > 1 and np.abs(levels - levels[0]).max() <= drift:
        return "frozen", f"{PICTURES} pictures over {info.duration:.2f} s are the same."
    return "", ""
