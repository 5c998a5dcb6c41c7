"""Videos that an annotation calls by an id and not by a path: the file whose name without its suffix is the id."""

from __future__ import annotations

import os
from pathlib import Path

from marey.data.layouts.folders import walk
from marey.data.layouts.gather import Gathered


class Stems:
    """Every video below a folder by its name without suffix.

    Args:
        rows: takes the faults; says where the videos are.
        joined: whether `P16/cam01/P16_cereals.avi` is also called `P16_cam01_P16_cereals`.
    """

    def __init__(self, rows: Gathered, *, joined: bool = False) -> None:
        self.root = rows.how.root or rows.source.folder
        self._rows = rows
        self._paths: dict[str, list[str]] = {}
        videos, _ = walk(self.root)
        for path in videos:
            bare = path[: -len(Path(path).suffix)]
            self._paths.setdefault(Path(bare).name, []).append(path)
            if joined:
                parts = bare.split("/")
                for first in range(len(parts) - 1):
                    self._paths.setdefault("_".join(parts[first:]), []).append(path)

    def find(self, file: Path, line: int, stem: str, suffix: str = ".mp4") -> str:
        """The path of the one video with this name; a fault where there are several. Where there is none, the
        name with `suffix`, which the manifest then finds missing. A name may have folders before it."""
        if not stem.strip("./ "):
            self._rows.fault(file, line, f"{stem!r} is no id of a video.")
            return "_"
        found = self._found(stem)
        if len(found) > 1:
            self._rows.fault(
                file, line, f"{len(found)} videos are called {stem!r}: {', '.join(found[:3])}.",
                "say which folder is meant: --root FOLDER",
            )  # fmt: skip
        return found[0] if found else stem + suffix

    def _found(self, stem: str) -> list[str]:
        if "/" not in stem:
            return self._paths.get(stem, [])
        named = self._paths.get(stem.rsplit("/", 1)[1], [])
        bare = {path: path[: -len(Path(path).suffix)] for path in named}
        exact = [path for path in named if bare[path] == stem]
        return exact or [path for path in named if bare[path].endswith("/" + stem)]

    def called(self, name: str) -> list[str]:
        """Every video with this file name, suffix and all."""
        return [path for path in self._paths.get(Path(name).stem, []) if Path(path).name == name]

    def has(self, stem: str) -> bool:
        return bool(self._found(stem))

    def frame_folder(self, stem: str) -> str | None:
        """The folder of pictures of this name, if there is one where videos are looked for."""
        for folder in (self.root, *(Path(e.path) for e in os.scandir(self.root) if e.is_dir())):
            if (folder / stem).is_dir() and any((folder / stem).glob("*.[jp][pn]g")):
                return str((folder / stem).relative_to(self.root))
        return None
