"""Segments cut into windows of one length with what happens in each: what a sliding-window classifier learns from."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np

from marey.data.manifest import Manifest
from marey.data.timelines import BACKGROUND, label_windows, timelines
from marey.errors import ConfigError
from marey.files import write_text
from marey.video.reader import open_video


def write_windows(
    manifest: Manifest,
    to: str | Path,
    *,
    window: float = 1.0,
    stride: float = 0.5,
    share: float = 0.5,
    background: str = BACKGROUND,
) -> dict[str, int]:
    """Write a manifest of windows: `path, label, start, end, split, group`, several labels as `a|b`.

    Every video is cut from its beginning to its end; what is left of the last window is left out. A window in which
    nothing happens has the label `background`. Files are opened for their length, none is decoded.

    Args:
        manifest: rows of segments.
        to: the new file; one that is there is not written over.
        window, stride: seconds.
        share: of a window that an action must fill to be its label (see `label_windows`).

    Returns:
        how many windows each label has.

    Raises:
        ConfigError: a file that is there already, or numbers that cannot be. SegmentError, VideoError: as they come.
    """
    to = Path(to)
    if to.exists():
        raise ConfigError(
            "this file is there already; nothing was written.", "name another one", where=str(to)
        )
    if window <= 0 or stride <= 0 or not 0 < share <= 1:
        raise ConfigError(
            f"window and stride are above 0 and share in (0, 1]; got {window}, {stride}, {share}."
        )
    names, lines = timelines(manifest, background=background)
    counts = dict.fromkeys((*names, background), 0)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "start", "end", "split", "group"))
    base = to.parent.resolve()
    for line in lines:
        with open_video(line.path) as reader:
            begin, finish = float(reader.times[0]), float(reader.info.end)
        inside, _ = line.within(begin, finish, slack=window)
        number = max(int(np.floor((finish - begin - window) / stride + 1e-9)) + 1, 1)
        starts = begin + np.arange(number) * stride
        edges = np.stack([starts, np.minimum(starts + window, finish)], axis=1)
        path = os.path.relpath(line.path, base)
        for (start, end), held in zip(
            edges, label_windows(inside, edges, len(names), share=share), strict=True
        ):
            labels = [name for name, h in zip(names, held, strict=True) if h] or [background]
            for label in labels:
                counts[label] += 1
            writer.writerow(
                (
                    path,
                    "|".join(labels),
                    f"{start:.6f}",
                    f"{end:.6f}",
                    line.split or "",
                    line.group or line.path,
                )
            )
    to.parent.mkdir(parents=True, exist_ok=True)
    write_text(to, text.getvalue())
    return counts
