"""Room for clips: the old ones go before the new ones are refused."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

SUFFIXES = (".mp4", ".mkv", ".jpg")


def make_room(folder: Path, *, days: float, most: int, spare: int, one_more: bool = False) -> int:
    """Delete clips and pictures: those that are too old, then the oldest, until the rest fit. Gives how many.

    Args:
        folder: of the clips; nothing else in it is touched.
        days: how old one may be.
        most: bytes that all of them may take.
        spare: bytes that are to stay free on the disk.
        one_more: delete the oldest one in any case: the disk is full whatever it says.
    """
    kept = []
    for path in folder.rglob("*"):
        if path.suffix in SUFFIXES and not path.name.startswith(".") and path.is_file():
            facts = path.stat()
            kept.append((facts.st_mtime, facts.st_size, path))
    kept.sort()
    taken = sum(size for _, size, _ in kept)
    deleted = 0
    for made, size, path in kept:
        old = time.time() - made > days * 86400
        full = taken > most or shutil.disk_usage(folder).free < spare
        if not (old or full or (one_more and not deleted)):
            break
        path.unlink(missing_ok=True)
        taken -= size
        deleted += 1
    return deleted
