"""`marey data check`: everything that can be known to be wrong with data before a GPU is touched."""

from __future__ import annotations

import glob
import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from marey.data.check.findings import Checked, all_of, counted
from marey.data.check.kept import look_at_all
from marey.data.check.kinds import KINDS, Finding
from marey.data.duplicates import Copies, find_copies
from marey.data.layouts.folders import VIDEO_SUFFIXES
from marey.data.layouts.raw import RawRows
from marey.data.manifest import Manifest
from marey.data.origin import Origin
from marey.errors import ManifestError
from marey.files import write_json
from marey.video.sampling import Sampler

UNLABELLED = "(no label)"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Check:
    """What a check found.

    Attributes:
        manifest: what was checked.
        videos: how many files. full: whether every frame was decoded.
        labelled: False for a folder of videos or a pattern: then nothing is said of classes.
        findings: faults and notes, in the order of `KINDS`, then of the manifest.
        copies: pairs of files (their absolute paths) that show the same footage.
    """

    manifest: Manifest
    videos: int
    full: bool
    labelled: bool
    findings: list[Finding]
    copies: list[tuple[str, str, float]] = field(default_factory=list)

    @property
    def faults(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.fault]

    @property
    def sound(self) -> bool:
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """What `check.json` holds."""
        return {
            "source": self.manifest.origin.name,
            "root": str(self.manifest.root),
            "samples": len(self.manifest),
            "videos": self.videos,
            "full": self.full,
            "labelled": self.labelled,
            "sound": self.sound,
            "counts": dict(counted(self.findings)),
            "findings": [finding.to_dict() for finding in self.findings],
            "copies": [{"a": a, "b": b, "score": round(score, 4)} for a, b, score in self.copies],
        }


def check_data(
    data: str | Path | Manifest,
    folder: str | Path,
    *,
    root: str | Path | None = None,
    full: bool = False,
    sampler: Sampler | None = None,
    flip_map: Sequence[str] | None = None,
    labelled: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Check:
    """Check a data set and write `folder/check.json`.

    What was seen of each file stays in `folder/seen`, under the key of the file's content: a check that was
    broken off goes on, and one made again looks only at files that are new or changed.

    Args:
        data: a manifest, its path, a folder of class folders, a folder of videos, or a pattern ("clips/*.mp4").
        folder: where `check.json` and what was seen go.
        root: where relative paths of a manifest start.
        full: decode every frame; otherwise headers, packets, and sixteen pictures of each video.
        sampler: the one to be trained with: samples with fewer frames than it asks for are faults.
        flip_map: the pairs of classes of a training with flips; None is one without.
        labelled: whether the labels of a manifest mean something; see `read`.
        workers: processes; by default one a core.
        progress: called with (what is done: "looking" or "comparing", done, in all).

    Raises:
        ManifestError: the manifest cannot be read at all.
    """
    manifest = data
    if not isinstance(manifest, Manifest):
        manifest, labelled = read(manifest, root=root)
    folder = Path(folder)
    files = rows_by_file(manifest)
    say = progress or (lambda what, done, total: None)
    looked = look_at_all(
        list(files), folder / "seen", full=full, workers=workers,
        progress=lambda done, total: say("looking", done, total),
    )  # fmt: skip
    keys, looks = [looked[path][0] for path in files], [looked[path][1] for path in files]
    with_pictures = [n for n, seen in enumerate(looks) if len(seen.pictures)]
    prints = (
        np.stack([looks[n].pictures for n in with_pictures]) if with_pictures else np.empty((0,), np.uint8)
    )
    pairs = find_copies(prints, progress=lambda done, total: say("comparing", done, total))
    copies = [Copies(with_pictures[p.a], with_pictures[p.b], p.score) for p in pairs]
    checked = Checked(manifest, files, keys, looks, copies)
    found = all_of(checked, sampler=sampler, flip_map=flip_map, labelled=labelled)
    order = {kind.name: number for number, kind in enumerate(KINDS)}
    found.sort(key=lambda finding: (order[finding.kind], finding.rows[:1]))
    names = list(files)
    made = Check(
        manifest, len(files), full, labelled, found, [(names[c.a], names[c.b], c.score) for c in copies]
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "check.json", made.to_dict())
    return made


def read(data: str | Path, *, root: str | Path | None = None) -> tuple[Manifest, bool]:
    """The manifest of anything that can be checked, and whether its labels mean something.

    A file that is not there is a finding among others, not the end of the check.
    """
    path = Path(data)
    if glob.has_magic(str(data)) and not path.exists():
        videos = sorted(p for p in glob.glob(str(data), recursive=True) if Path(p).is_file())  # noqa: PTH207
        if not videos:
            raise ManifestError("no file fits this pattern.", where=str(data))
        return _unlabelled(videos, str(data), Path.cwd()), False
    if path.is_dir() and not any((path / f"manifest{suffix}").is_file() for suffix in (".csv", ".parquet")):
        here = [p.name for p in sorted(path.iterdir()) if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
        if here:  # videos outside every class folder: there are no classes
            below = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if _is_video(p))
            return _unlabelled(below, str(path), path), False
    if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
        return _unlabelled([path.name], str(path.parent), path.parent), False
    return Manifest.read(path, root=root, files=False), True


def check_folder(data: str | Path, *, root: str | Path | None = None, out: str | Path = "runs") -> Path:
    """Where a check of this data goes: `out/check/NAME`, the same folder each time, so that it goes on.

    A folder of that name with the check of other data is left alone, and the name gets a number.
    """
    path = Path(data).absolute()
    plain = path.parent.name if path.stem == "manifest" or glob.has_magic(path.name) else path.stem
    name = re.sub(r"[^\w.-]+", "-", plain).strip("-.") or "data"
    about = {"data": str(path), "data_root": None if root is None else str(Path(root).absolute())}
    for number in itertools.count(1):
        folder = Path(out) / "check" / (name if number == 1 else f"{name}-{number}")
        settings = folder / "data.json"
        if settings.is_file() and json.loads(settings.read_text(encoding="utf-8")) == about:
            return folder
        if not folder.exists():
            folder.mkdir(parents=True)
            write_json(settings, about)
            return folder
    raise AssertionError("count never ends")


def rows_by_file(manifest: Manifest) -> dict[str, list[int]]:
    """The rows of each file, by its absolute path."""
    files: dict[str, list[int]] = {}
    for row, path in enumerate(manifest.table["path"].to_pylist()):
        files.setdefault(manifest.resolve(path), []).append(row)
    return files


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not path.name.startswith(".")


def _unlabelled(videos: list[str], name: str, root: Path) -> Manifest:
    table = pa.table({"path": pa.array(videos, pa.string()), "label": pa.array([UNLABELLED] * len(videos))})
    return Manifest.from_rows(RawRows(table, Origin(name, "file", np.arange(len(videos))), root), files=False)
