"""Say when what happens in videos: files, folders or a manifest in, a timeline of each out, in every form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import marey
from marey.config import read_yaml, to_tree, to_yaml
from marey.data.splits import grouping
from marey.data.timelines import Timeline
from marey.errors import CheckpointError, MareyError
from marey.files import write_json
from marey.jobs.localize_config import LocalizeConfig
from marey.jobs.localize_files import Found, count_forms, file_names, read_video, write_tables, write_video
from marey.jobs.localize_sources import Sources, find_sources
from marey.metrics.segments import SegmentTable
from marey.metrics.timelines import judge_timelines
from marey.runs import RunFolder
from marey.training.log import RunLog
from marey.types import VideoTimeline
from marey.video.packed.names import is_there
from marey.work import progress

if TYPE_CHECKING:
    from marey.localize.thresholds import Thresholds
    from marey.predict.timeline import TimelineMaker

_FOLDER = "timelines"
_SHOWN = 20  # sentences about files on the terminal


@dataclass(frozen=True)
class Localized:
    """What `localize` leaves.

    Attributes:
        run: the run folder.
        found: what was found in each video that could be read, by path, in the order asked for.
        failures: (video, error) of what could not be read.
        metrics: every evaluator's results where a manifest says what is true, or None.
        report: the page that shows them, or None.
        protocol: how, in words.
    """

    run: Path
    found: dict[str, Found]
    failures: tuple[tuple[str, str], ...]
    metrics: dict[str, Any] | None
    report: Path | None
    protocol: str

    @property
    def exit_code(self) -> int:
        """0 where every video could be read, 1 where one could not."""
        return 1 if self.failures else 0


def resume_localize_config(run: str | Path) -> LocalizeConfig:
    """The configuration that a run was started with."""
    path = Path(run) / "config.yaml"
    if not path.is_file():
        raise CheckpointError("this is not the folder of a run: it has no config.yaml.", where=str(run))
    return read_yaml(LocalizeConfig, path)


def localize(config: LocalizeConfig, *, resume: str | Path | None = None, quiet: bool = False) -> Localized:
    """Localize, and judge where a manifest says what is true. With `config.fit`, thresholds are fitted first.

    A video's files are written as soon as it is done, so that a run that was cut off goes on with the next.

    Args:
        config: what to do; it names videos.
        resume: the folder of a run that was cut off; `config` must be the one it was started with.
        quiet: print nothing.

    Raises:
        CheckpointError: weights, network or thresholds that are missing or do not fit.
        UsageError: flags that do not go together, or no videos. ManifestError: rows that cannot be used.
        VideoError, DataError: a video that cannot be read, under the policy `error`.
    """
    from marey.jobs.localize_model import load_maker
    from marey.predict.load import find_weights

    weights = find_weights(config.weights)
    if config.fit is not None:
        if resume is None:
            fit_thresholds(config, quiet=quiet)
        config = replace(config, fit=None)
    maker, least, about, said = load_maker(config, weights)
    sources = find_sources(config, maker.class_names)
    if resume is None:
        run = RunFolder.create(config.out, "localize", config.name)
        run.describe(to_yaml(config))
    else:
        run = RunFolder(Path(resume))
    folder = run.path / _FOLDER
    folder.mkdir(exist_ok=True)
    names = file_names(sources.videos)
    failures: dict[str, str] = {}
    with RunLog(run.path, (), to_tree(config), quiet=quiet) as log:
        log.line(f"model: {about['name']}, {about['parameters'] / 1e6:.2f} M parameters; {maker.protocol}")
        for sentence in said:
            log.line(sentence)
        same = _fitted_on(about, sources.lines)
        if same:
            log.line(
                f"thresholds were fitted on {same} of these videos, by their names: numbers on them flatter"
            )
        log.line(f"run folder: {run.path}")
        found: dict[str, Found] = {}
        try:
            _every(config, maker, least, sources, names, folder, failures, log)
        finally:  # what was done before an interruption stands in the tables
            for video, name in names.items():
                if (one := read_video(folder, name, video)) is not None:
                    found[video] = one
            write_tables(run.path, found, maker.class_names)
        metrics = _judge(config, sources, found, maker, about, failures)
        report = None
        if metrics is not None:
            from marey.jobs.timelines import write_segments
            from marey.report.html import write_report

            write_segments(
                run.path, {v: f.segments for v, f in found.items()}, {v: f.truth or () for v, f in found.items()}
            )  # fmt: skip
            write_json(run.path / "metrics.json", metrics)
            report = write_report(run.path)
    return Localized(run.path, found, tuple(failures.items()), metrics, report, maker.protocol)


def fit_thresholds(config: LocalizeConfig, *, quiet: bool = False) -> Thresholds:
    """Fit a classifier's thresholds on `config.fit`, keep them beside its weights, and in a run folder of their own.

    Raises:
        as `marey.jobs.fit_thresholds.fit`; CheckpointError: the weights are a localizer.
    """
    from marey.jobs.fit_thresholds import fit
    from marey.jobs.localize_model import load_slider
    from marey.localize.saved import is_localizer
    from marey.predict.load import find_weights

    weights = find_weights(config.weights)
    if is_localizer(weights):
        raise CheckpointError(
            "a localizer has no thresholds to fit; --fit is for a classifier that slides in windows.",
            where=str(weights),
        )
    slider, _, said = load_slider(config, weights)
    run = RunFolder.create(config.out, "localize", f"{config.name}-fit")
    run.describe(to_yaml(config))
    with RunLog(run.path, (), to_tree(config), quiet=quiet) as log:
        for sentence in said:
            log.line(sentence)
        found = fit(config, weights, slider, log)
        found.write(run.path / "thresholds.json")
    return found


def _every(
    config: LocalizeConfig,
    maker: TimelineMaker,
    least: float,
    sources: Sources,
    names: dict[str, str],
    folder: Path,
    failures: dict[str, str],
    log: RunLog,
) -> None:
    """Every video that is not done yet; what fails is listed in `failures`."""
    todo = [video for video in sources.videos if not (folder / f"{names[video]}.json").is_file()]
    if len(todo) < len(sources.videos):
        log.line(f"{len(sources.videos) - len(todo)} of {len(sources.videos)} videos are done already")

    def failed(video: str, error: MareyError) -> None:
        if config.on_error == "error":
            raise error
        text = str(error)
        failures[video] = text if video in text else f"{video}: {text}"
        log.line(f"failed: {failures[video]}", shown=False)

    work: dict[str, int] = {}
    for video in todo:
        try:
            work[video] = maker.count(video) + count_forms(video, _forms(config, video))
        except MareyError as error:
            failed(video, error)
    say = (lambda text: None) if log.quiet else log.line
    left_out: list[str] = []

    def note(text: str) -> None:
        log.line(text, shown=False)
        left_out.append(text)

    with progress("localizing", sum(work.values()), "steps" if config.features else "frames", say) as bar:
        for video, amount in work.items():
            told = _Told(bar)
            try:
                made = _with_truth(maker.timeline(video, told), sources.lines.get(video))
                one = write_video(
                    folder, names[video], made, least=least, forms=_forms(config, video), embed=config.embed,
                    say=note, advance=told,
                )  # fmt: skip
                log.line(f"{video}: {len(one.told)} segments in {made.duration:.1f} s", shown=False)
            except MareyError as error:
                failed(video, error)
            told(amount - told.passed)  # of one that failed, or whose length was less than announced
    _show(left_out, log)


def _show(sentences: Sequence[str], log: RunLog) -> None:
    """What was left out of files for people, on the terminal, where the bar no longer stands in the way: log.txt has
    every sentence at its time."""
    for text in sentences[:_SHOWN]:
        log.show(text)
    if len(sentences) > _SHOWN:
        log.show(f"{len(sentences) - _SHOWN} more such sentences are in {log.folder / 'log.txt'}")


def _forms(config: LocalizeConfig, video: str) -> tuple[str, ...]:
    """The forms that can be made: where features stand in for a video that is not there, the picture alone."""
    if config.features is not None and not is_there(Path(video)):
        return tuple(form for form in config.forms if form == "picture")
    return config.forms


class _Told:
    """Passes on to the bar what a video has done, and remembers how much that was."""

    def __init__(self, bar: Any) -> None:
        self.bar, self.passed = bar, 0

    def __call__(self, n: int) -> None:
        if n > 0:
            self.passed += n
            self.bar(n)


def _with_truth(made: VideoTimeline, line: Timeline | None) -> VideoTimeline:
    """The timeline with what was annotated. A segment may reach over the end by a step, as in training."""
    from marey.jobs.timelines import true_segments

    if line is None:
        return made
    step = float(made.times[1] - made.times[0]) if len(made.times) > 1 else made.duration
    inside, _ = line.within(made.start, made.end, slack=step)
    return replace(made, truth=tuple(true_segments(inside, made.class_names)))


def _judge(
    config: LocalizeConfig,
    sources: Sources,
    found: dict[str, Found],
    maker: TimelineMaker,
    about: dict[str, Any],
    failures: dict[str, str],
) -> dict[str, Any] | None:
    """What metrics.json holds, or None where nothing is known to be true. Videos that could not be read are in no
    number."""
    truth = {video: one.truth for video, one in found.items() if one.truth is not None}
    if sources.manifest is None or not any(truth.values()):
        return None
    names = maker.class_names
    same = _fitted_on(about, truth)
    table = SegmentTable.from_segments({v: t for v, t in truth.items() if t is not None}, labels=names)
    groups = grouping(sources.manifest)
    of_video = [int(groups.ids[sources.lines[video].rows[0]]) for video in truth]
    return {
        "marey": marey.__version__,
        "task": "localize",
        "class_names": list(names),
        "model": {key: value for key, value in about.items() if key != "fitted_on"},
        "n": len(truth),
        "n_segments": len(table),
        **judge_timelines(
            SegmentTable.from_segments({v: found[v].segments for v in truth}, labels=names),
            table, groups=of_video, seed=config.seed,
        ),
        "protocol": {
            "split": sources.split,
            "rule": f"as the manifest says, {groups.rule}",
            "how": maker.protocol,
            "groups": len(set(of_video)),
            **({"thresholds_fitted_on": f"{same} of these videos"} if same else {}),
            "seed": config.seed,
        },
        "failures": [{"path": video, "error": error} for video, error in failures.items()],
    }  # fmt: skip


def _fitted_on(about: dict[str, Any], videos: Iterable[str]) -> int:
    """How many of the videos are named like one that thresholds were fitted on."""
    return sum(Path(video).name in about.get("fitted_on", ()) for video in videos)
