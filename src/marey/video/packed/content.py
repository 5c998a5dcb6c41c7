"""What a video is known by, whatever it is called and wherever it lies: a file, or a video inside a pack."""

from __future__ import annotations

import hashlib
from pathlib import Path

from marey.errors import VideoNotFoundError
from marey.files import file_hash
from marey.video.packed.names import FRAMES, TAR, inside, shard_number, split_tar
from marey.video.packed.shard import shard
from marey.video.packed.tar import read_member


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, or of what stands for those of a video inside a pack.

    Raises:
        OSError: there is no such file. VideoNotFoundError: there is no such video in the pack.
    """
    content = packed_content(path)
    return file_hash(path) if content is None else hashlib.sha256(content).hexdigest()


def packed_content(path: str | Path) -> bytes | None:
    """Bytes that stand for the content of a video inside a pack; None of a plain file.

    In a tar the movie itself. In a shard the video's entry, which holds the key of what was packed and a checksum of
    the checksums of its frames.
    """
    kind = inside(path)
    if kind == TAR:
        return read_member(*split_tar(path))
    if kind == FRAMES:
        entry = shard(Path(path).parent).entries[number_in_shard(Path(path))]
        return b"".join(entry[name].tobytes() for name in ("key", "frames", "about_crc"))
    return None


def number_in_shard(path: Path) -> int:
    """7 of `HASH.frames/7-fight_012`.

    Raises:
        VideoNotFoundError: the shard has no such video.
    """
    number = shard_number(path)
    if number is None or number >= len(shard(path.parent)):
        raise VideoNotFoundError(path, "there is no such video in this shard.")
    return number
