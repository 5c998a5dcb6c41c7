"""Features of many videos: planned, estimated, then computed one after the other, and resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from marey.data.clips import segment_of
from marey.data.features import (
    COLUMNS,
    FORMAT,
    INDEX,
    NETWORK,
    SETTINGS,
    FeatureGrid,
    FeatureWriter,
    is_whole,
)
from marey.data.manifest import Manifest
from marey.errors import ConfigError
from marey.files import (
    key_of,
    plain_stem,
    renew_table,
    require_room,
    size_words,
    sweep_partials,
    write_json,
)
from marey.predict.extract import Extractor
from marey.training.config import InputConfig, TrainConfig
from marey.video.packed.content import content_hash
from marey.video.reader import open_video
from marey.video.stretch import Place, Stretch, stretches
from marey.work import guarded, print_line, progress

if TYPE_CHECKING:
    from marey.models.base import VideoModel
    from marey.models.saved import SavedModel


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Compute a network's features over time of videos and keep them; what is there is kept.

    One folder is one network on one grid: an array (positions, numbers) and a JSON of its times for each video.
    """

    data: Annotated[str, tyro.conf.Positional]
    """Manifest, folder of class folders or of videos, or a video."""
    root: str | None = None
    """Folder that relative video paths of a manifest start from."""
    out: str
    """Folder for the features."""
    model: str | None = None
    """Name from `marey models`. Not needed where --weights is a run or a file that marey saved."""
    weights: str | None = None
    """A run folder, a weights file, `default`, or a hub or torchvision name."""
    backbone: str | None = None
    """timm backbone, for models that have one."""
    model_args: tuple[str, ...] = ()
    """Further keywords of the model, each as key=value."""
    fps: float = 8.0
    """Frames a second that are looked at, on the video's own clock, whatever its frame rate."""
    window: int | None = None
    """Frames that a position sees (default: 1 for frame_average, else the frames that the model takes)."""
    stride: int | None = None
    """Frames from one position to the next (default: half the window)."""
    segments: bool = False
    """Features of each sample's segment alone, in place of its whole video."""
    input: InputConfig = field(default_factory=InputConfig)
    batch: int = 16
    """Windows at once."""
    threads: int = 1
    """Decoder threads (0: one a core)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes a GPU where there is one."""

    def __post_init__(self) -> None:
        if self.batch < 1 or self.threads < 0:
            raise ConfigError(
                f"batch must be at least 1 and threads at least 0; got {self.batch}, {self.threads}."
            )
        if self.input.sampler is not None or self.input.frames is not None:
            raise ConfigError(
                "features lie on a grid of their own.", "choose it with --fps, --window and --stride"
            )


@dataclass(frozen=True)
class Extracted:
    """What `extract` did.

    Attributes:
        out: the folder; `features.csv` in it lists every video with its id or its error.
        written: videos computed now.
        found: videos that were there already.
        positions: positions computed now.
        failures: what could not be done: (video, error) in words.
        words: the grid and the width, for people.
    """

    out: Path
    written: int
    found: int
    positions: int
    failures: tuple[tuple[str, str], ...]
    words: str

    @property
    def exit_code(self) -> int:
        """0 where every video has its features, 1 where one has not."""
        return 1 if self.failures else 0

    def __str__(self) -> str:
        lines = [
            f"{self.written} videos computed ({self.positions} positions), {self.found} found, "
            f"{len(self.failures)} failed; {self.words} in {self.out}"
        ]
        return "\n".join(lines + [f"failed: {video}: {error}" for video, error in self.failures])


@dataclass(frozen=True)
class Plan:
    """What a video will give: the id of its features, how many positions, its content, whether it is there."""

    name: str
    positions: int
    content: str
    found: bool


def extract(config: ExtractConfig, *, say: Callable[[str], None] = print_line) -> Extracted:
    """Compute features over time and keep them in `config.out`.

    What is there already is found by the videos' content and the settings, and left as it is: to resume after
    an interruption, call again. A video that fails is listed, and the others go on.

    Raises:
        ConfigError: settings that cannot be, or a folder that holds features of another network or grid.
        CheckpointError: weights that are missing or do not fit.
        NoRoomError: not enough room on the disk; nothing was computed.
    """
    from marey.predict.device import choose_autocast, choose_device, use_channels_last

    videos, manifest = _videos(config)
    device = choose_device(config.device)
    saved = _network(config)
    model = saved.model.to(device).eval()
    use_channels_last(model)
    grid = _grid(config, model)
    extractor = Extractor(model, grid, device, choose_autocast("auto", device), config.batch)
    out = Path(config.out)
    settings = _settings(config, saved, extractor)
    _claim(out, settings, saved)
    sweep_partials(out)

    jobs = stretches(videos)
    plans: dict[Stretch, Plan] = {}
    failures: dict[Stretch, str] = {}
    for job in jobs:
        outcome = guarded(_plan, job, (settings, extractor, out))
        if isinstance(outcome, Plan):
            plans[job] = outcome
        else:
            failures[job] = outcome
    # two videos of the same content are one piece of work
    todo = {plan.name: job for job, plan in reversed(plans.items()) if not plan.found}
    positions = sum(plans[job].positions for job in todo.values())
    width = int(settings["feature_dim"])
    words = f"{width} numbers a position, {grid}"
    if todo:
        need = positions * width * 4
        say(f"features of {len(todo)} videos: {positions} positions, about {size_words(need)}; {words}")
        require_room("the array of features", need, out)
    written = 0
    try:
        with progress("features", positions, "positions", say) as advance:
            for job in [job for job in jobs if job in todo.values()]:
                error = guarded(_run, job, (plans[job], settings, extractor, config.threads, out, advance))
                if error is not None:
                    failures[job] = error
                else:
                    written += 1
    finally:
        for job in plans:  # the twin of a failed video has failed with it
            if (twin := todo.get(plans[job].name)) in failures:
                failures.setdefault(job, failures[twin])
        rows = [_row(job, plans.get(job), failures.get(job), out) for job in jobs]
        renew_table(out / INDEX, COLUMNS, [r for r in rows if r], ("path", "start", "end"))
    if manifest is not None:
        manifest.write(out / "manifest.csv")
    return Extracted(
        out=out,
        written=written,
        found=len(jobs) - len(failures) - written,
        positions=sum(plans[j].positions for j in todo.values() if j not in failures),
        failures=tuple((str(job), failures[job]) for job in jobs if job in failures),
        words=words,
    )


def _videos(config: ExtractConfig) -> tuple[Sequence[str | Place], Manifest | None]:
    """Videos or segments, and the manifest where there is one with labels."""
    from marey.jobs.predict import find_videos

    path = Path(config.data)
    table = path.suffix.lower() in (".csv", ".parquet", ".pq")
    held = any((path / f"manifest{suffix}").is_file() for suffix in (".csv", ".parquet"))
    classes = path.is_dir() and any(child.is_dir() for child in path.iterdir())
    if not (table or held or classes):
        if config.segments:
            raise ConfigError("--segments are those of a manifest; this names videos.", where=config.data)
        return find_videos((config.data,)), None
    # a file that is not there is one failure among the others, not the end of the work
    manifest = Manifest.read(path, root=config.root, files=False)
    samples = [manifest.sample(row) for row in range(len(manifest))]
    return (samples if config.segments else [sample.path for sample in samples]), manifest


def _network(config: ExtractConfig) -> SavedModel:
    """The network, in the form of a saved model: from a run or a file of ours, or made with public weights."""
    from marey.models.saved import SavedModel, load_model
    from marey.predict.load import find_weights
    from marey.training.build import build_model

    if config.weights is None:
        raise ConfigError(
            "features of a network with random weights say nothing.",
            "give --weights: a run folder, a file, a hub name, or `default` with --model",
        )
    if config.model is None:
        for name in ("backbone", "model_args"):
            if getattr(config, name):
                raise ConfigError(f"--{name.replace('_', '-')} needs --model, which is not given.")
        saved = load_model(find_weights(config.weights))
        from marey.training.build import chosen_spec

        saved.model.spec = chosen_spec(saved.model.spec, config.input)
        return saved
    model = build_model(
        TrainConfig(
            data=config.data,
            model=config.model,
            weights=config.weights,
            backbone=config.backbone,
            model_args=config.model_args,
            input=config.input,
        ),
        1,
    )
    return SavedModel(model, ("features",), False, model.spec)


def _grid(config: ExtractConfig, model: VideoModel) -> FeatureGrid:
    from marey.models.windows import check_windows

    window = config.window or (1 if model.sees_single_frames else model.spec.frames)
    stride = config.stride or max(1, window // 2)
    check_windows(model, window, stride)
    return FeatureGrid(config.fps, window, stride)


def _settings(config: ExtractConfig, saved: SavedModel, extractor: Extractor) -> dict[str, Any]:
    """What decides the numbers, beside the video; the contents of features.json."""
    import numpy as np

    from marey import __version__
    from marey.models.saved import fingerprint
    from marey.types import Clip

    model, grid = saved.model, extractor.grid
    blank = np.zeros((grid.num_frames, *model.spec.size, 3), np.uint8)
    times = np.arange(grid.num_frames) / grid.fps
    width = extractor.of_clip(Clip(blank, times, np.ones(grid.num_frames, bool))).shape[1]
    spec = model.spec.to_dict()
    return {
        "format": FORMAT,
        **asdict(grid),
        "feature_dim": int(width),
        "model": model.name,
        "model_kwargs": model.kwargs,
        "weights": config.weights,
        "network": fingerprint(model),
        "trained_on": saved.extra.get("data"),
        "input": {k: spec[k] for k in ("modalities", "size", "resize", "mean", "std")},
        "precision": extractor.autocast or "fp32",
        "marey": __version__,
    }


DECISIVE = ("format", "fps", "num_frames", "feat_stride", "feature_dim", "network", "input", "precision")


def _claim(out: Path, settings: dict[str, Any], saved: SavedModel) -> None:
    """Make the folder one of this network and grid, or refuse where it is one of another."""
    import json

    from marey.models.saved import save_model

    out.mkdir(parents=True, exist_ok=True)
    if (out / SETTINGS).is_file():
        before = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
        differs = [key for key in DECISIVE if before.get(key) != settings[key]]
        if differs:
            raise ConfigError(
                f"this folder holds other features: {differs[0]} is {before.get(differs[0])!r} there, "
                f"and {settings[differs[0]]!r} was asked for.",
                "one folder is one network on one grid: name another with --out",
                where=str(out),
            )
    else:
        write_json(out / SETTINGS, settings)
    if not (out / NETWORK).is_file():
        save_model(
            out / NETWORK, saved.model, class_names=saved.class_names, multi_label=saved.multi_label, extra=saved.extra
        )  # fmt: skip


def _plan(job: Stretch, settings: dict[str, Any], extractor: Extractor, out: Path) -> Plan:
    """Hash the file, count its positions (without decoding), and see whether the work is done already."""
    path = Path(job.path)
    with open_video(job.path) as reader:
        instants = extractor.instants(reader, segment_of(reader, job.start, job.end))
    content = content_hash(job.path)
    key = key_of(
        {"content": content, "start": job.start, "end": job.end} | {k: settings[k] for k in DECISIVE}
    )
    # Matching by key alone, not by the stem, finds what was computed under another name of the same file.
    here = [file.stem for file in sorted(out.glob(f"*-{key}.json")) if is_whole(out, file.stem)]
    name = here[0] if here else f"{plain_stem(path)}-{key}"
    return Plan(name, extractor.grid.positions(len(instants)), content, bool(here))


def _run(
    job: Stretch,
    plan: Plan,
    settings: dict[str, Any],
    extractor: Extractor,
    threads: int,
    out: Path,
    advance: Callable[[int], None],
) -> None:
    """Compute the features of one video and write them, whole or not at all."""
    done = 0
    try:
        with open_video(job.path, threads=threads) as reader:
            span = segment_of(reader, job.start, job.end)
            video = reader.info
            info = {
                **settings,
                "id": plan.name,
                "source": {"path": job.path, "sha256": plan.content, "start": job.start, "end": job.end},
                "start": span.start,
                "duration": span.end - span.start,
                "positions": plan.positions,
                "video": {
                    "frames": video.frames,
                    "fps": video.fps,
                    "variable_rate": video.variable_rate,
                    "width": video.width,
                    "height": video.height,
                },
            }
            shape = (plan.positions, int(settings["feature_dim"]))
            with FeatureWriter(out, plan.name, shape=shape, info=info) as writer:
                for part in extractor.features(reader, span):
                    writer.write(part)
                    done += len(part)
                    advance(len(part))
    except BaseException:
        advance(plan.positions - done)
        raise


def _row(job: Stretch, plan: Plan | None, error: str | None, out: Path) -> dict[str, str]:
    if error is not None:
        return {**job.cells(), "status": "failed", "error": error}
    if plan is None or not is_whole(out, plan.name):  # interrupted before its turn
        return {}
    return {**job.cells(), "status": "whole", "id": plan.name, "positions": str(plan.positions)}
