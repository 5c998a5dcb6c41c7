"""Every file of a data set looked at, by several processes; what was found is kept under the file's content."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from marey.data.check.look import VERSION, Look, content_key, look, stamp
from marey.files import write_text
from marey.video.packed.names import is_there
from marey.work import cores, each

_SAVE_EVERY = 500


@dataclass(frozen=True, eq=False)
class Kept:
    """A folder of looks: `<2 letters>/<content key>.npz`, and `files.json`, which spares reading a file only to
    learn that it is the one of the last time (by size and time of change).

    Whatever has been looked at is there when the work is broken off, and is not done again.
    """

    folder: Path
    keys: dict[str, list[int | str]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Kept:
        """What is there of earlier times; nothing where it cannot be read."""
        try:
            keys = json.loads((folder / "files.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            keys = {}
        return cls(folder, keys if isinstance(keys, dict) else {})

    def place(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.v{VERSION}.npz"

    def known(self, path: str, full: bool) -> tuple[str, Look] | None:
        """The key and the look of a file that has not changed, if it was looked at as closely as this."""
        held = self.keys.get(path)
        if held is None or held[:2] != stamp(path):
            return None
        found = Look.load(self.place(str(held[2])))
        return None if found is None or (full and not found.decoded) else (str(held[2]), found)

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / "files.json", json.dumps(self.keys))


def look_at_all(
    paths: Sequence[str],
    folder: Path,
    *,
    full: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, tuple[str, Look]]:
    """The content key and the look of every file.

    Args:
        paths: files, each once.
        folder: where looks are kept.
        full: whether every frame is decoded.
        workers: processes; by default one a core.
        progress: called with (files done, files in all).
    """
    kept, found = Kept.open(folder), {}
    for path in paths:
        known = kept.known(path, full)
        if known is not None:
            found[path] = known
    missing = [path for path in paths if path not in found]
    done = len(found)
    if progress is not None:
        progress(done, len(paths))
    try:
        for path, outcome in each(missing, _look_once, (kept.folder, full), workers or cores()):
            done += 1
            if isinstance(outcome, str):  # the decoder crashed, or the system does not give the file
                found[path] = ("", Look(kind="unreadable", got=outcome))
            else:
                at, key, seen = outcome
                found[path] = key, seen
                if key:
                    kept.keys[path] = [*at, key]
            if progress is not None:
                progress(done, len(paths))
            if done % _SAVE_EVERY == 0:
                kept.save()
    finally:
        kept.save()
    return found


def _look_once(path: str, folder: Path, full: bool) -> tuple[list[int], str, Look]:
    """In a process of its own: the file's stamp, its content key, and the look, which is saved."""
    if not is_there(path):
        return [], "", look(path, full)
    now, key = stamp(path), content_key(path)
    place = Kept(folder).place(key)
    seen = Look.load(place)
    if seen is None or (full and not seen.decoded):
        seen = look(path, full)
        seen.save(place)
    return now, key, seen
