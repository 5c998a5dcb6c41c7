"""Packed videos that stay mapped from one opening to the next, in each process.

To map a video, and to unmap it, the system goes through its pages one by one, and that is a good part of what reading
a clip takes. What is mapped is the system's own copy of the file: processes share it, and it is given up when memory
is short.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

from marey.errors import VideoNotFoundError
from marey.video.packed.names import shard_number
from marey.video.packed.shard import Packed, file_identity, shard

_MOST_BYTES = 1 << 30
_MOST_VIDEOS = 256  # each holds a file open

_Key = tuple[int, ...]


class HeldVideos:
    """The videos used last, up to a number and to a sum of bytes. Their tables are checked when they are mapped; of a
    file that is another one, or has changed, nothing is taken for known."""

    def __init__(self, most_bytes: int = _MOST_BYTES, most_videos: int = _MOST_VIDEOS) -> None:
        self.most_bytes, self.most_videos = most_bytes, most_videos
        self.bytes = 0
        self._videos: OrderedDict[_Key, Packed] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._videos)

    def get(self, path: Path) -> Packed:
        """A video of a shard, to be looked at: its arrays refuse to be written to.

        Args:
            path: `HASH.frames/7-fight_012`.

        Raises:
            VideoNotFoundError: there is no such video.
            DataError: the shard is damaged.
        """
        number = shard_number(path)
        folder = path.parent
        try:
            now = os.stat(folder)  # noqa: PTH116
        except FileNotFoundError as error:
            raise VideoNotFoundError(path, "there is no such shard.") from error
        key = (*file_identity(now), -1 if number is None else number)
        with self._lock:
            found = self._videos.get(key)
            if found is not None:
                self._videos.move_to_end(key)
                return found
        held = shard(folder)
        if number is None or number >= len(held):
            raise VideoNotFoundError(
                path, f"there is no such video in this shard; it holds 0 to {len(held) - 1}."
            )
        found = held.video(number, writable=False)
        with self._lock:
            if key not in self._videos:
                self._videos[key] = found
                self.bytes += found.frames.nbytes
            while self.bytes > self.most_bytes or len(self._videos) > self.most_videos:
                _, oldest = self._videos.popitem(last=False)
                self.bytes -= oldest.frames.nbytes
        return found


HELD = HeldVideos()
