"""Judge others' segments: predictions in ActivityNet's form against a ground truth, by every evaluator."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

import marey
from marey.config import to_tree, to_yaml
from marey.data.manifest import Manifest
from marey.data.splits import grouping
from marey.data.timelines import BACKGROUND, Timeline, timelines
from marey.errors import ConfigError, DataError, did_you_mean
from marey.files import write_json
from marey.jobs.timelines import write_segments
from marey.metrics.activitynet import predictions_from_json, truth_from_json
from marey.metrics.segments import SegmentTable
from marey.metrics.timelines import judge_timelines
from marey.runs import RunFolder
from marey.training.log import RunLog
from marey.types import Segment
from marey.video.known import open_known


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Judge segments that any tool predicted, by every evaluator of the field.

    A prediction counts by its video's name: as it is written, or else by the file's name without folders and suffix,
    where only one video is called so. Videos of other splits are left out; those that the truth does not have, and
    classes that it does not have, are counted and said; a video of the truth without a prediction is one in which
    nothing was found.
    """

    task: Literal["localize"] = "localize"
    """What is judged."""
    predictions: str
    """ActivityNet's JSON, such as a run's segments.json: {"results": {video: [{"segment", "label", "score"}]}}."""
    truth: str
    """ActivityNet's JSON of the ground truth, or a manifest of segments."""
    subset: str | None = None
    """Of ActivityNet's truth: one subset, such as validation (default: every video)."""
    split: Literal["train", "val", "test", "all"] | None = None
    """Of a manifest: its videos (default: test, or val, or all where nothing is split)."""
    root: str | None = None
    """Folder that relative video paths of a manifest start from."""
    background: str = BACKGROUND
    """Of a manifest: the label that says that nothing happens."""
    out: str = "runs"
    """Folder of all runs."""
    name: str | None = None
    """Name of the run (default: that of the file of predictions)."""
    seed: int = 0
    """Of the bootstrap."""


@dataclass(frozen=True)
class JudgedPredictions:
    """What a judgement leaves: the run folder, what metrics.json holds, and the HTML page."""

    run: Path
    metrics: dict[str, Any]
    report: Path


@dataclass(frozen=True)
class _Truth:
    """What is true, which further videos are known but not judged by (of another split), over what groups the interval
    goes, and how that came about in words."""

    table: SegmentTable
    others: tuple[str, ...]
    groups: list[int] | None
    split: str
    rule: str


def judge_predictions(config: JudgeConfig, *, quiet: bool = False) -> JudgedPredictions:
    """Judge, and write metrics.json, segments.csv and report.html into a run folder.

    Raises:
        DataError: a file that is no JSON or not of that form, a segment that is reversed or not finite, a truth without
            a segment, or predictions that name no video, or no class, of the truth.
        ManifestError, SegmentError: a manifest that cannot be used.
    """
    from marey.report.html import write_report

    try:
        given = predictions_from_json(_read(config.predictions))
    except DataError as error:
        raise _placed(error, config.predictions) from error
    truth = _truth(config)
    named = _by_name(given, truth.table, truth.others)
    table = _without(named, truth.others)
    said = _said(table, truth.table, len(named.videos) - len(table.videos))
    run = RunFolder.create(config.out, "eval", config.name or Path(config.predictions).stem)
    run.describe(to_yaml(config))
    with RunLog(run.path, (), to_tree(config), quiet=quiet) as log:
        log.line(
            f"judging {len(given)} segments in {len(given.videos)} videos against {len(truth.table)} in "
            f"{len(truth.table.videos)}; run folder: {run.path}"
        )
        for sentence in said:
            log.line(sentence)
        metrics: dict[str, Any] = {
            "marey": marey.__version__,
            "task": "localize",
            "class_names": list(truth.table.labels),
            "model": {"name": Path(config.predictions).name},
            "n": len(truth.table.videos),
            "n_segments": len(truth.table),
            **judge_timelines(table, truth.table, groups=truth.groups, seed=config.seed),
            "protocol": {
                "split": truth.split,
                "rule": truth.rule,
                "truth": Path(config.truth).name,
                "seed": config.seed,
                **({"notes": "; ".join(said)} if said else {}),
            },
            "failures": [],
        }
        segments = _segments(table)
        write_segments(run.path, segments, _segments(truth.table))
        write_json(run.path / "metrics.json", metrics)
        return JudgedPredictions(run.path, metrics, write_report(run.path))


def _read(path: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"this cannot be read: {error.strerror}.", where=path) from error
    except ValueError as error:
        raise DataError(f"this is not JSON: {error}.", where=path) from error
    if not isinstance(found, dict):
        raise DataError(f"this is no JSON object, but a {type(found).__name__}.", where=path)
    return found


def _placed(error: DataError, path: str) -> DataError:
    """The same error with the file before its place in it."""
    return DataError(error.what, *error.details, where=f"{path}: {error.where}" if error.where else path)


def _truth(config: JudgeConfig) -> _Truth:
    if Path(config.truth).suffix.lower() == ".json":
        if config.split is not None or config.root is not None:
            raise ConfigError("--split and --root are of a manifest; of ActivityNet's JSON it is --subset.")
        try:
            content = _read(config.truth)
            table = truth_from_json(content, subset=config.subset)
            _check(table)
        except DataError as error:
            raise _placed(error, config.truth) from error
        others = tuple(str(v) for v in content["database"] if str(v) not in set(table.videos))
        return _Truth(table, others, None, config.subset or "all", "every video of the ground truth")
    if config.subset is not None:
        raise ConfigError("--subset is of ActivityNet's JSON; of a manifest it is --split.")
    manifest = Manifest.read(config.truth, root=config.root, files=False)
    split: str = config.split or next((s for s in ("test", "val") if s in manifest.splits), "all")
    names, every = timelines(manifest, background=config.background)
    lines = [_whole(line) for line in every if split in ("all", line.split)]
    if not lines:
        have = ", ".join(manifest.splits) or "none"
        raise ConfigError(f"no row has split {split!r}.", f"splits there: {have}", where=config.truth)
    from marey.jobs.timelines import truth_table

    table = truth_table(lines, names)
    try:
        _check(table)
    except DataError as error:
        raise _placed(error, config.truth) from error
    groups = grouping(manifest)
    ids = [int(groups.ids[line.rows[0]]) for line in lines]
    others = tuple(line.path for line in every if split not in ("all", line.split))
    return _Truth(table, others, ids, split, f"as the manifest says, {groups.rule}")


def _check(table: SegmentTable) -> None:
    if not len(table):
        raise DataError("the ground truth has no segment, so there is nothing to find.")
    empty = np.flatnonzero(table.end <= table.start)
    if len(empty):
        i = int(empty[0])
        raise DataError(
            f"the segment of {table.labels[table.label[i]]!r} at {table.start[i]:g} s has no length; so have "
            f"{len(empty) - 1} others.",
            "remove it, or give it an end",
            where=table.videos[table.video[i]],
        )


def _whole(line: Timeline) -> Timeline:
    """A timeline whose open ends are those of its video, which is opened for it."""
    if np.isfinite(line.segments).all():
        return line
    with open_known(line.path) as reader:
        start, end = float(reader.times[0]), float(reader.info.end)
    segments = line.segments.copy()
    segments[np.isneginf(segments[:, 0]), 0] = start
    segments[np.isposinf(segments[:, 1]), 1] = end
    return replace(line, segments=segments)


def _by_name(given: SegmentTable, truth: SegmentTable, others: Sequence[str]) -> SegmentTable:
    """The predictions under the truth's names of the videos.

    Raises:
        DataError: no video, or no class, that both have.
    """
    known = (*truth.videos, *others)
    theirs, own, taken = _unique(known), _unique(given.videos), set(known) & set(given.videos)
    named = []
    for video in given.videos:
        stem = _stem(video)
        other = theirs.get(stem, video) if own.get(stem) == video else video
        named.append(video if video in taken or other in taken else other)
    if not set(named) & set(truth.videos):
        raise DataError(
            "no video of the predictions is in the ground truth.",
            f"predictions: {_list(given.videos)}",
            f"ground truth: {_list(truth.videos)}",
            "names must agree, or the files' names without folders and suffix",
        )
    if len(given) and not set(given.labels) & set(truth.labels):
        raise DataError(
            "no class of the predictions is in the ground truth.",
            f"predictions: {_list(given.labels)}",
            f"ground truth: {_list(truth.labels)}",
        )
    return replace(given, videos=tuple(named))


def _without(table: SegmentTable, videos: Sequence[str]) -> SegmentTable:
    """The table without some videos."""
    left = [i for i, video in enumerate(table.videos) if video not in set(videos)]
    number = np.full(len(table.videos), -1)
    number[left] = np.arange(len(left))
    rows = np.flatnonzero(number[table.video] >= 0) if len(table) else np.empty(0, np.int64)
    return replace(
        table,
        videos=tuple(table.videos[i] for i in left),
        video=number[table.video[rows]],
        label=table.label[rows],
        start=table.start[rows],
        end=table.end[rows],
        score=None if table.score is None else table.score[rows],
    )


def _unique(names: Sequence[str]) -> dict[str, str]:
    """From a name without folders and suffix to the video, where one alone is called so."""
    found: dict[str, str | None] = {}
    for name in names:
        found[_stem(name)] = None if _stem(name) in found else name
    return {stem: name for stem, name in found.items() if name is not None}


def _stem(name: str) -> str:
    return Path(name).stem


def _said(table: SegmentTable, truth: SegmentTable, left_out: int) -> list[str]:
    """What of either side has nothing on the other: never dropped without a word."""
    said = []
    if left_out:
        said.append(f"{left_out} videos are of another split and left out")
    missing = len(set(truth.videos) - set(table.videos))
    if missing:
        said.append(
            f"{missing} of {len(truth.videos)} videos of the truth have no entry: nothing was found there"
        )
    other = [i for i, video in enumerate(table.videos) if video not in set(truth.videos)]
    if other:
        count = int(np.isin(table.video, other).sum())
        said.append(
            f"{len(other)} videos are not in the truth ({_list(table.videos[i] for i in other)}): their {count} "
            "segments count as false"
        )
    unknown = [i for i, label in enumerate(table.labels) if label not in truth.labels]
    if unknown:
        count = int(np.isin(table.label, unknown).sum())
        near = did_you_mean(table.labels[unknown[0]], truth.labels)
        said.append(
            f"{len(unknown)} classes are not in the truth ({_list(table.labels[i] for i in unknown)}): their {count} "
            f"segments are left out, as the evaluators do.{near}"
        )
    return said


def _segments(table: SegmentTable) -> dict[str, list[Segment]]:
    found: dict[str, list[Segment]] = {video: [] for video in table.videos}
    scores = [None] * len(table) if table.score is None else table.score.tolist()
    for v, k, s, e, x in zip(
        table.video, table.label, table.start.tolist(), table.end.tolist(), scores, strict=True
    ):
        found[table.videos[v]].append(Segment(s, e, table.labels[k], x))
    return found


def _list(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (f", … ({len(names)} in all)" if len(names) > 5 else "")
