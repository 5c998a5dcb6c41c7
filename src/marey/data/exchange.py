"""Reading other formats into a manifest and writing a manifest in them: `marey data import` and `data export`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from marey.data.layouts.known import LAYOUTS, detect, layout_named, read_layout
from marey.data.layouts.layout import How, Source
from marey.data.manifest import Manifest
from marey.data.origin import DataWarning
from marey.errors import ConfigError, ManifestError, SegmentError, VideoError

Missing = Literal["error", "skip"]
_TOLD = 8


def import_layout(
    source: str | Path,
    layout: str | None = None,
    *,
    how: How | None = None,
    missing: Missing = "error",
    workers: int = 4,
) -> Manifest:
    """Read annotations of any known format.

    Args:
        source: a file of annotations, or the folder that holds them.
        layout: a name of `LAYOUTS`; None takes the one that fits, if exactly one does.
        how: what the format leaves open: where the videos are, which official split, frames a second, …
        missing: what to do with rows whose video is not there: "skip" leaves them out and says how many.
        workers: threads that open videos. Each that has segments is opened, to see that none lies outside it,
            unless `how.ends` is "trust".

    Returns:
        A manifest whose `read_as` says how it was understood.

    Raises:
        ManifestError: the first fault with file and line, and others below it; or no layout fits, or several.
        SegmentError: segments outside their video.
        ConfigError: an option that the layout does not take. UnknownNameError: no such layout.
    """
    path, how = Path(source), how or How()
    if missing not in ("error", "skip"):
        raise ConfigError(f"missing must be 'error' or 'skip', not {missing!r}.")
    found = Source(path)
    chosen = layout_named(layout) if layout else detect(found) if path.exists() else None
    if chosen is None:
        raise ManifestError(
            "no known layout fits." if path.exists() else "there is no such file or folder.",
            f"known layouts: {', '.join(LAYOUTS)}",
            "a CSV with path and label, and class folders, need no import: every verb reads them as they are",
            where=str(path),
        )
    manifest = Manifest.from_rows(read_layout(chosen, found, how), files=missing == "error")
    if missing == "skip":
        manifest = _without_missing(manifest)
    return (
        manifest if how.ends == "trust" else inside_videos(manifest, trim=how.ends == "trim", workers=workers)
    )


def export_layout(manifest: Manifest, layout: str, out: str | Path, *, how: How | None = None) -> list[Path]:
    """Write a manifest's annotations in another format; the videos stay where they are.

    Args:
        manifest: what to write.
        layout: a name of `LAYOUTS`.
        out: the file or folder to make; no file that is there is written over.
        how: `root` is the folder that paths are written from, by default the manifest's own.

    Returns:
        The files written.

    Raises:
        ManifestError: a row that the format cannot say, with its place.
        ConfigError: a file is there already, or the layout is only read.
    """
    chosen, how = layout_named(layout), how or How()
    chosen.check(how)
    if chosen.write is None:
        writable = ", ".join(name for name, one in LAYOUTS.items() if one.write)
        raise ConfigError(f"{chosen.title} is only read.", f"layouts that are written: {writable}")
    return chosen.write(manifest, Path(out), how)


def inside_videos(manifest: Manifest, *, trim: bool = False, workers: int = 4) -> Manifest:
    """See that every segment lies inside its video, up to one frame, by opening each video once.

    Args:
        manifest: segments of videos that are there.
        trim: cut segments that end after their video, and leave out those that begin there; how many is said.
        workers: threads that open videos.

    Raises:
        SegmentError: the first that lies outside, and where others do, unless `trim`.
        VideoError: a file that cannot be opened.
    """
    from marey.data.clips import segment_of
    from marey.video.reader import open_video

    start, end = manifest.table["start"], manifest.table["end"]
    rows_of: dict[str, list[int]] = {}
    for row in np.flatnonzero(start.is_valid().to_numpy() | end.is_valid().to_numpy()):
        rows_of.setdefault(manifest.table["path"][int(row)].as_py(), []).append(int(row))

    def look(rows: Sequence[int]) -> list[tuple[int, SegmentError, float]] | VideoError:
        faults = []
        try:
            with open_video(manifest.sample(rows[0]).path) as video:
                for row in rows:
                    sample = manifest.sample(row)
                    try:
                        segment_of(video, sample.start, sample.end, where=sample.where)
                    except SegmentError as error:
                        faults.append((row, error, video.info.end))
        except VideoError as error:
            return error
        return faults

    with ThreadPoolExecutor(max(1, workers)) as pool:
        looked = list(pool.map(look, rows_of.values()))
    faults: list[tuple[int, SegmentError, float]] = []
    for one in looked:
        if isinstance(one, VideoError):
            raise one
        faults += one
    faults.sort(key=lambda fault: fault[0])
    if not faults:
        return manifest
    if trim:
        return _trimmed(manifest, {row: last for row, _, last in faults})
    (_, first, _), *rest = faults
    told = [f"{error.where}: {error.what}" for _, error, _ in rest[:_TOLD]]
    if len(rest) > _TOLD:
        told.append(f"… {len(faults)} segments in all")
    raise SegmentError(first.what, *first.details, "or cut them: --ends trim", *told, where=first.where)


def _trimmed(manifest: Manifest, last_of: dict[int, float]) -> Manifest:
    ends = manifest.table["end"].to_pylist()
    most, out = 0.0, []
    for row, last in last_of.items():
        sample = manifest.sample(row)
        if (sample.start or 0.0) >= last or (sample.end or last) <= last:
            out.append(row)  # nothing of it is in the video, or it is not its end that is wrong
        else:
            most, ends[row] = max(most, (sample.end or last) - last), last
    cut = len(last_of) - len(out)
    left = f", {len(out)} that lie outside it are left out" if out else ""
    warnings.warn(
        f"{cut} of {len(manifest):,} segments end after their video and were cut, by {most:.3f} s at most{left}.",
        DataWarning,
        stacklevel=3,
    )
    table = manifest.table.set_column(
        manifest.table.column_names.index("end"), "end", pa.chunked_array([pa.array(ends, pa.float64())])
    )
    kept = np.setdiff1d(np.arange(len(manifest)), out)
    return replace(manifest, table=table).select(kept)


def _without_missing(manifest: Manifest) -> Manifest:
    there = np.array(
        [Path(manifest.root, path).exists() for path in manifest.table["path"].to_pylist()], bool
    )
    if there.all():
        return manifest
    lost = np.flatnonzero(~there)
    if not there.any():
        path = manifest.table["path"][0].as_py()
        raise ManifestError(
            "none of the videos is there.", f"looked for {manifest.root / path}", "say where they are: --root FOLDER",
            where=manifest.origin.name,
        )  # fmt: skip
    first = manifest.sample(int(lost[0]))
    warnings.warn(
        f"{len(lost):,} of {len(manifest):,} samples are left out because their video is missing; the first is"
        f" {first.where}: {manifest.table['path'][int(lost[0])].as_py()!r}.",
        DataWarning,
        stacklevel=3,
    )
    return manifest.select(np.flatnonzero(there))
