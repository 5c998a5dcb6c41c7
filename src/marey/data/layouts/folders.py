"""Class folders: `root/class/*` and `root/{train,val,test}/class/*`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa

from marey.data.layouts.raw import RawRows
from marey.data.origin import DataWarning, Origin
from marey.errors import ManifestError

VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".gif", ".h264", ".hevc", ".m2ts", ".m2v", ".m4v", ".mkv",
    ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
})  # fmt: skip
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def read_folders(root: Path) -> RawRows:
    """One row a video file; the folder is the label, and above it may stand the split.

    The first level is taken as splits when any folder of it is called train, val or test (or validation,
    training, …) and holds no video itself but folders that do. Folders may be nested below the class; hidden
    files and folders are passed over, and other files that are no videos are counted in one warning.

    Raises:
        ManifestError: no videos, videos outside every class folder, or splits mixed with classes.
    """
    videos, strangers = walk(root)
    if not videos:
        seen = f"{strangers} other files" if strangers else "nothing"
        raise ManifestError(
            f"no videos in this folder ({seen}).",
            "expected root/class/video.mp4, root/train/class/video.mp4, or a manifest.csv",
            where=str(root),
        )
    parts = [Path(video).parts for video in videos]
    tops = {p[0] for p in parts if len(p) > 1}
    split_tops = {t for t in tops if t.lower() in SPLIT_NAMES}
    direct = {p[0] for p in parts if len(p) == 2}
    has_splits = bool(split_tops - direct)
    depth = 3 if has_splits else 2
    homeless = [video for video, p in zip(videos, parts, strict=True) if len(p) < depth]
    if has_splits and tops - split_tops:
        raise ManifestError(
            f"the splits {', '.join(sorted(split_tops))} stand beside {sorted(tops - split_tops)[0]!r}, which is none.",
            "expected root/{train,val,test}/class/* or root/class/*, not both",
            where=str(root),
        )
    if homeless:
        raise ManifestError(
            f"{len(homeless)} of {len(videos)} videos lie in no class folder, the first is {homeless[0]!r}.",
            "expected root/class/video.mp4 or root/train/class/video.mp4",
            where=str(root),
        )
    if strangers:
        warnings.warn(f"{root}: {strangers} files are no videos by their names.", DataWarning, stacklevel=4)
    columns = {"path": pa.array(videos), "label": pa.array([p[depth - 2] for p in parts])}
    if has_splits:
        columns["split"] = pa.array([p[0] for p in parts])
    return RawRows(pa.table(columns), Origin(str(root), "file", np.arange(len(videos), dtype=np.int64)), root)


def walk(root: Path) -> tuple[list[str], int]:
    """Paths of all videos relative to `root`, sorted, and how many other files there are."""
    videos: list[str] = []
    strangers = 0
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link back up the tree would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in files:
            if file.startswith("."):
                continue
            if Path(file).suffix.lower() in VIDEO_SUFFIXES:
                videos.append(os.path.relpath(str(Path(folder, file)), root).replace(os.sep, "/"))
            else:
                strangers += 1
    return sorted(videos), strangers
