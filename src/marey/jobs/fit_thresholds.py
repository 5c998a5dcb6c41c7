"""Fit a sliding classifier's thresholds on annotated videos: every video scored once, then all rules tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from marey.data.clips import segment_of
from marey.data.manifest import SPLITS, Manifest
from marey.data.timelines import Timeline, timelines
from marey.errors import ConfigError, DataError
from marey.files import file_hash
from marey.jobs.localize_config import LocalizeConfig
from marey.jobs.localize_model import default_rules, thresholds_path
from marey.localize.smoothing import HysteresisConfig, hysteresis, smoothed
from marey.localize.thresholds import Thresholds
from marey.metrics.localization import THUMOS, activitynet_map
from marey.metrics.segments import SegmentTable
from marey.metrics.timelines import mean_f1
from marey.training.log import RunLog
from marey.video.reader import open_video

if TYPE_CHECKING:
    from marey.predict.sliding import ScoreTrack, Slider

_SMOOTH = (0.0, 0.5, 1.0, 2.0, 4.0)  # strides
_ON = tuple(np.arange(1, 20) / 20)
_OFF = (1.0, 0.75, 0.5, 0.25)  # of `on`
_TIES = 1e-9


@dataclass(frozen=True)
class Scored:
    """An annotated video as the classifier sees it."""

    line: Timeline
    track: ScoreTrack


def fit(config: LocalizeConfig, weights: Path, slider: Slider, log: RunLog) -> Thresholds:
    """Fit on `config.fit` and keep the thresholds beside the weights.

    Raises:
        ManifestError, SegmentError: annotations that cannot be used. VideoError: a video that cannot be read; no
            thresholds are fitted on a part of what was named.
        DataError: no segment of any class to fit on.
    """
    assert config.fit is not None
    names = slider.class_names
    manifest = Manifest.read(config.fit, root=config.root)
    lines, split = _lines(manifest, config, names)
    if not sum(map(len, lines)):
        raise DataError("there is no segment to fit thresholds on.", f"split: {split}", where=config.fit)
    scored = _score(lines, slider, config, log)
    default = default_rules(slider)
    rules, values = dict(default), {}
    for k, name in enumerate(names):
        truth = _truth(scored, names, k)
        if len(truth):
            rules[name], values[name] = _best(scored, k, truth, slider, config.fit_by, name)
    without = [name for name in names if name not in values]
    if without:
        log.line(f"no segment of {', '.join(without)} there: these keep the defaults")
    path = thresholds_path(weights)
    by = "mean F1" if config.fit_by == "f1" else "mAP (ActivityNet's rule)"
    found = Thresholds(
        rules=rules,
        window=slider.window,
        stride=slider.stride,
        weights=file_hash(weights),
        fitted={
            "data": Path(config.fit).name,
            "split": split,
            "videos": len(lines),
            "names": sorted(Path(line.path).name for line in lines),
            "segments": sum(map(len, lines)),
            "by": f"{by} at tIoU 0.3:0.1:0.7",
            "value": float(np.mean(list(values.values()))),
            "per_class": values,
            "without": without,
        },
    )
    replaced = path.is_file()
    found.write(path)
    log.line(f"{found}; {'replaced' if replaced else 'kept in'} {path}")
    return found


def _lines(manifest: Manifest, config: LocalizeConfig, names: Sequence[str]) -> tuple[list[Timeline], str]:
    split = config.fit_split or ("val" if manifest.splits else "all")
    if split != "all" and split not in manifest.splits:
        raise ConfigError(
            f"no row has split {split!r}.",
            f"splits there: {', '.join(manifest.splits) or 'none'}; choose with --fit-split",
            where=config.fit,
        )
    assert split in (*SPLITS, "all")
    _, lines = timelines(manifest, class_names=names, background=config.background)
    return [line for line in lines if split in ("all", line.split)], split


def _score(lines: Sequence[Timeline], slider: Slider, config: LocalizeConfig, log: RunLog) -> list[Scored]:
    from marey.predict.timeline import count_frames
    from marey.work import progress

    scored = []
    total = sum(count_frames(line.path) for line in lines)
    with progress(f"scores of {len(lines)} videos", total, "frames", log.line) as advance:
        for line in lines:
            with open_video(line.path, threads=config.threads) as reader:
                span = segment_of(reader, None, None)
                inside, _ = line.within(span.start, span.end, slack=slider.stride)
                scored.append(Scored(inside, slider.track(reader, span, advance)))
    return scored


def _truth(scored: Sequence[Scored], names: Sequence[str], k: int) -> SegmentTable:
    """The segments of one class."""
    rows: list[tuple[str, Any]] = []
    for item in scored:
        rows += [(item.line.path, s) for s in item.line.segments[item.line.labels == k]]
    starts, ends = [float(s[0]) for _, s in rows], [float(s[1]) for _, s in rows]
    return SegmentTable.of(
        [path for path, _ in rows], [names[k]] * len(rows), starts, ends, videos=[i.line.path for i in scored]
    )


def _best(
    scored: Sequence[Scored], k: int, truth: SegmentTable, slider: Slider, by: str, name: str
) -> tuple[HysteresisConfig, float]:
    """The rule of one class that finds its segments best. Of equally good ones the one in the middle: it lies
    furthest from where they get worse."""
    least = float(np.percentile(truth.end - truth.start, 5)) / 2
    tried: list[tuple[float, HysteresisConfig]] = []
    for smooth in (s * slider.stride for s in _SMOOTH):
        tracks = [
            smoothed(item.track.scores[:, k : k + 1].astype(np.float64), _centres(item), smooth)
            for item in scored
        ]
        for on in _ON:
            for off in (on * share for share in _OFF):
                for shortest in (0.0, least):
                    rule = HysteresisConfig(on=on, off=off, shortest=shortest)
                    table = _found(scored, tracks, rule, name)
                    value = (
                        mean_f1(table, truth, THUMOS)
                        if by == "f1"
                        else float(activitynet_map(table, truth, THUMOS)["average_map"])
                    )
                    kept = HysteresisConfig(on=on, off=off, smooth=smooth, shortest=shortest)
                    tried.append((value, kept))
    best = max(value for value, _ in tried)
    equal = sorted(
        (r for v, r in tried if v >= best - _TIES), key=lambda r: (r.smooth, r.on, r.off, r.shortest)
    )
    return equal[len(equal) // 2], best


def _centres(item: Scored) -> NDArray[np.float64]:
    edges = item.track.edges
    return np.asarray((edges[:-1] + edges[1:]) / 2, dtype=np.float64)


def _found(
    scored: Sequence[Scored], tracks: Sequence[NDArray[np.float64]], rule: HysteresisConfig, name: str
) -> SegmentTable:
    videos: list[str] = []
    segments, scores = [], []
    for item, track in zip(scored, tracks, strict=True):
        s, _, x = hysteresis(track, item.track.edges, rule)
        videos += [item.line.path] * len(s)
        segments.append(s)
        scores.append(x)
    both = np.concatenate(segments)
    return SegmentTable.of(
        videos, [name] * len(videos), both[:, 0], both[:, 1], np.concatenate(scores),
        videos=[item.line.path for item in scored], labels=[name],
    )  # fmt: skip
