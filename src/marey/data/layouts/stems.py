"""Videos that an annotation calls by an id and not by a path: the file whose name without its suffix is the id."""

from __future__ import annotations

import os
from pathlib import Path

from marey.data.layouts.folders import walk
from marey.data.layouts.gather import Gathered


class Stems:
    """Every video below a folder by its name without suffix, and by its whole path without suffix."""

    def __init__(self, rows: Gathered) -> None:
        self.root = rows.how.root or rows.source.folder
        self._rows = rows
        self._paths: dict[str, list[str]] = {}
        videos, _ = walk(self.root)
        for path in videos:
            self._paths.setdefault(Path(path).stem, []).append(path)
            if "/" in path:
                self._paths.setdefault(os.path.splitext(path)[0], []).append(path)  # noqa: PTH122

    def find(self, file: Path, line: int, stem: str, suffix: str = ".mp4") -> str:
        """The path of the one video with this name; a fault where there are several. Where there is none, the
        name with `suffix`, which the manifest then finds missing."""
        if stem.strip() in ("", ".", ".."):
            self._rows.fault(file, line, f"{stem!r} is no id of a video.")
            return "_"
        found = self._paths.get(stem, [])
        if len(found) > 1:
            self._rows.fault(
                file, line, f"{len(found)} videos are called {stem!r}: {', '.join(found[:3])}.",
                "say which folder is meant: --root FOLDER",
            )  # fmt: skip
        return found[0] if found else stem + suffix

    def has(self, stem: str) -> bool:
        return stem in self._paths

    def frame_folder(self, stem: str) -> str | None:
        """The folder of pictures of this name, if there is one where videos are looked for."""
        for folder in (self.root, *(Path(e.path) for e in os.scandir(self.root) if e.is_dir())):
            if (folder / stem).is_dir() and any((folder / stem).glob("*.[jp][pn]g")):
                return str((folder / stem).relative_to(self.root))
        return None
