"""What `marey localize` can be told. This file imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from marey.data.timelines import BACKGROUND
from marey.errors import ConfigError, UsageError

Form = Literal["picture", "page", "vtt", "srt", "eaf", "video"]


@dataclass(frozen=True, kw_only=True)
class LocalizeConfig:
    """Say when what happens in videos: segments with start, end, label and score.

    WEIGHTS is a trained localizer (marey train --task localize or dense), or any trained classifier, which is slid over
    the video in windows. --fit finds the classifier's thresholds on annotated videos. --resume RUN goes on with a run
    that was cut off.
    """

    weights: Annotated[str, tyro.conf.Positional]
    """Weights file, or the folder of a run."""
    videos: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Files, folders (searched for videos) and globs; or one manifest, whose segments are drawn and judged by."""
    root: str | None = None
    """Folder that relative video paths of a manifest start from."""
    split: Literal["train", "val", "test", "all"] | None = None
    """Videos of the manifest (default: test, or val, or all where nothing is split)."""
    background: str = BACKGROUND
    """The label that says that nothing happens: no class."""
    least: float | None = None
    """Score below which a segment is not told to people; segments.json has all (default: for a localizer the best one
    on its val split, for two that are fused that of the first alone; 0 for a dense labeller and for a classifier,
    which has thresholds)."""
    backbone: str | None = None
    """Of a localizer: the network of its features, where it does not lie beside it."""
    features: str | None = None
    """Of a localizer: folder of features of the videos, in place of computing them."""
    fuse_with: str | None = None
    """Of a localizer: another run, whose localizer saw other features of the same videos (flow beside pictures); what
    both say of a moment is averaged."""
    window: float | None = None
    """Of a classifier: seconds of a window (default: what it was trained on)."""
    stride: float | None = None
    """Of a classifier: seconds from one window to the next (default: a quarter of the window)."""
    on: float | None = None
    """Of a classifier: score at which a segment begins (default: fitted, or 0.5)."""
    off: float | None = None
    """Of a classifier: score below which it ends (default: fitted, or 0.3; never above --on)."""
    smooth: float | None = None
    """Of a classifier: seconds, standard deviation of the smoothing (default: fitted, or half a stride)."""
    shortest: float | None = None
    """Of a classifier: seconds, shorter segments are dropped (default: fitted, or half a window)."""
    gap: float | None = None
    """Of a classifier: seconds, segments of a class that are nearer are joined (default: 0)."""
    fit: str | None = None
    """Of a classifier: manifest of segments to fit thresholds on; they are kept beside the weights."""
    fit_split: Literal["train", "val", "test", "all"] | None = None
    """Videos of --fit (default: val, or all where nothing is split)."""
    fit_by: Literal["f1", "map"] = "f1"
    """What fitting makes largest, at tIoU 0.3:0.1:0.7: f1 of the segments that are told, or map, which does not mind
    many segments of low scores."""
    forms: tuple[Form, ...] = ("picture", "page", "vtt", "srt", "eaf", "video")
    """Files for people made of each video; none after --forms gives none. video, an annotated copy, takes longest."""
    embed: bool = False
    """Put the video into its page, up to 20 MB, so that the page can be sent alone."""
    top: int = 20
    """Segments that are listed on the screen, best first."""
    batch: int = 8
    """Windows at once."""
    threads: int = 1
    """Decoder threads (0: one a core)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes a GPU where there is one."""
    on_error: Literal["skip", "error"] = "skip"
    """A video that cannot be read is named and makes the exit code 1, or stops everything."""
    out: str = "runs"
    """Folder of all runs."""
    name: str = "localize"
    """Name of the run."""
    seed: int = 0
    """Of the bootstrap where there is something to judge by."""

    def __post_init__(self) -> None:
        if not self.videos and self.fit is None:
            raise UsageError(
                "no videos were named.", "give files, folders, globs or a manifest after the weights"
            )
        if self.batch < 1 or self.threads < 0 or self.top < 0:
            raise ConfigError(
                "batch must be at least 1, threads and top 0 or more; "
                f"got {self.batch}, {self.threads}, {self.top}."
            )
        if self.least is not None and not 0 <= self.least <= 1:
            raise ConfigError(f"--least is a score from 0 to 1; got {self.least}.")
        for name in ("window", "stride"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"--{name} is a number of seconds above 0; got {value}.")
