"""Decode a data set once, small, and keep it where training reads it at memory speed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import tyro

from marey import __version__
from marey.data.manifest import Manifest
from marey.errors import ConfigError, DataError, NoRoomError
from marey.files import require_room, size_words, sweep_partials, write_json, write_text
from marey.video.packed.store import found_videos, mend
from marey.video.packed.work import (
    Form,
    GroupDone,
    Measured,
    PackPlan,
    PackSettings,
    measure,
    pack_group,
    plan_video,
)
from marey.work import cores, each, guarded, print_line, progress

_SHARD_BYTES = 256 << 20  # a shard: few files for a large set, and little lost by a kill
_TOLD = 10  # failures
_LEAST_BYTES = 8 << 20  # so that many workers share out a small set


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """Decode a data set once, small: training then takes the folder in place of the data, and reads frames
    instead of decoding. What is packed already is kept, so an interrupted call goes on where it stopped."""

    data: Annotated[str, tyro.conf.Positional]
    """Manifest or folder of class folders."""
    out: str
    """Folder of the pack."""
    form: Form = "shards"
    """shards: frames as they are, memory-mapped (fastest, largest). mp4: short-GOP H.264 that any tool reads
    (small, lossy). tar: the same MP4s in WebDataset tars, for object storage."""
    size: int = 128
    """Short side in pixels; make it what training scales to (--resize, by default size × 8/7)."""
    rate: float | None = None
    """Frames a second to keep, each with its own time (default: every frame)."""
    root: str | None = None
    """Folder that relative video paths start from."""
    workers: int | None = None
    """Processes (default: one a CPU core)."""
    verify: bool = False
    """First read all that is in the pack, name what is damaged, and pack it again."""

    def __post_init__(self) -> None:
        if self.size < 16 or (self.rate is not None and self.rate <= 0) or (self.workers or 1) < 1:
            raise ConfigError(
                f"packing needs a size of 16 or more, a rate above 0 and a worker at least; "
                f"got size {self.size}, rate {self.rate}, workers {self.workers}."
            )


@dataclass(frozen=True)
class PackReport:
    """What `pack` did.

    Attributes:
        out: the folder: give it as the data of a training.
        written, found: videos packed now, and videos that were there already.
        frames: frames packed now.
        bytes: what the whole pack takes on disk.
        unused: videos in the pack that this data does not name (it changed, or it is not all of the pack).
        damaged: videos that `verify` found damaged.
        failures: what could not be packed: (video, error) in words. Its rows are not in the manifest.
    """

    out: Path
    written: int
    found: int
    frames: int
    bytes: int
    unused: int
    damaged: int
    failures: tuple[tuple[str, str], ...]

    @property
    def exit_code(self) -> int:
        """0 where every video is packed, 1 where one is not."""
        return 1 if self.failures else 0

    def __str__(self) -> str:
        lines = [
            f"{self.written} videos packed ({self.frames} frames), {self.found} found, {len(self.failures)} failed; "
            f"{size_words(self.bytes)} in {self.out}"
        ]
        if self.unused:
            lines.append(f"{self.unused} videos of the pack are not of this data")
        lines += [f"failed: {video}: {error}" for video, error in self.failures[:_TOLD]]
        if len(self.failures) > _TOLD:
            lines.append(f"… all of them are in {self.out / 'failed.csv'}")
        return "\n".join(lines)


def pack(config: PackConfig, *, say: Callable[[str], None] | None = None) -> PackReport:
    """Pack a data set; see `PackConfig`.

    A video is known by its content and the settings: one that was moved is found again, one that changed is
    packed again, and nothing else is. More than one worker starts Python afresh in each: a script must guard
    its start by `__name__`.

    Args:
        config: what to do.
        say: takes lines for people; None prints them to standard error.

    Raises:
        ManifestError: data that cannot be used as it stands.
        ConfigError: the folder holds a pack of other settings.
        NoRoomError: the disk is too small, or filled up; what was packed until then stays.
    """
    say = say or print_line
    manifest = Manifest.read(config.data, root=config.root, files=False)
    settings = PackSettings(config.form, config.size, config.rate)
    out = Path(config.out)
    _claim(out, settings)
    for folder in (out, out / "shards", out / "videos"):
        sweep_partials(folder)
    damaged = mend(out, config.form, say) if config.verify else 0
    paths: list[str] = pc.unique(manifest.table["path"]).to_pylist()
    resolved = {path: manifest.resolve(path) for path in paths}
    workers = min(config.workers or cores(), len(paths))
    about = _rows(manifest) if config.form == "tar" else {}

    plans: dict[str, PackPlan] = {}
    failures: dict[str, str] = {}
    for path, outcome in each(list(resolved.values()), plan_video, (settings,), workers):
        if isinstance(outcome, PackPlan):
            plans[path] = outcome
        else:
            failures[path] = outcome
    places = found_videos(out, config.form)
    plans = {path: plans[path] for path in resolved.values() if path in plans}  # in the manifest's order
    todo: dict[str, PackPlan] = {}
    for plan in plans.values():
        if plan.key not in places:
            todo.setdefault(plan.key, plan)  # twins are packed once
    before = len({plan.key for plan in plans.values()} - todo.keys())
    names = {resolved[path]: path for path in paths}
    todo = {key: replace(plan, about={"rows": about.get(names[plan.path], [])}) for key, plan in todo.items()}
    _estimate(list(todo.values()), settings, out, workers, say)

    done = _pack_all(list(todo.values()), settings, out, workers, say)
    places.update(done.places)
    failures.update({path: done.errors[plan.key] for path, plan in plans.items() if plan.key in done.errors})
    if done.full:
        raise NoRoomError(
            done.full,
            f"{len(done.places)} of {len(todo)} videos were packed now and stay; the manifest is not written.",
            "make room and call again to go on.",
            where=str(out),
        )
    if len(failures) == len(paths):
        raise DataError(
            f"none of the {len(paths)} videos can be packed.",
            f"the first: {next(iter(failures.values()))}",
            where=str(out),
        )
    ours = {path: places[plans[resolved[path]].key] for path in paths if resolved[path] not in failures}
    _write(manifest, ours, out)
    _write_failures(out, failures)
    return PackReport(
        out=out,
        written=len(done.places),
        found=before,
        frames=sum(todo[key].frames for key in done.places),
        bytes=sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        unused=len(places) - len(set(ours.values())),
        damaged=damaged,
        failures=tuple(failures.items()),
    )


def _claim(out: Path, settings: PackSettings) -> None:
    """Make the folder, or see that the pack in it is of these settings."""
    file = out / "pack.json"
    if file.is_file():
        held = json.loads(file.read_text(encoding="utf-8"))
        wrong = [(k, held.get(k), v) for k, v in settings.describe().items() if held.get(k) != v]
        for name, there, asked in wrong:
            raise ConfigError(
                f"this folder holds a pack with {name} {there}; asked for {asked}.",
                "name another folder.",
                where=str(out),
            )
        return
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError("this folder holds something else.", "name a new or an empty one.", where=str(out))
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, {**settings.describe(), "marey": __version__})


def _rows(manifest: Manifest) -> dict[str, list[dict[str, Any]]]:
    """What the manifest says of each path, for the JSON beside a movie in a tar."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in manifest.table.to_pylist():
        found.setdefault(row.pop("path"), []).append({k: v for k, v in row.items() if v is not None})
    return found


def _estimate(
    todo: list[PackPlan], settings: PackSettings, out: Path, workers: int, say: Callable[[str], None]
) -> None:
    """Say what the work will take, measured on a few of the videos, and refuse it where there is no room."""
    if not todo:
        return
    measured = [
        outcome
        for i in sorted({0, len(todo) // 2, len(todo) - 1})
        if isinstance(outcome := guarded(measure, todo[i], (settings,)), Measured)
    ]
    pixels = sum(plan.pixels for plan in todo)
    need = 3 * pixels
    if settings.form != "shards" and measured:
        need = int(pixels * sum(m.bytes for m in measured) / sum(m.pixels for m in measured))
    frames = sum(plan.frames for plan in todo)
    each_frame = sum(m.seconds for m in measured) / max(1, sum(m.frames for m in measured))
    say(
        f"packing {len(todo)} videos, {frames} frames, at {settings.size} pixels: about {size_words(need)} in {out}"
        f" and {_minutes(frames * each_frame / workers)} (measured on {len(measured)} of them)"
    )
    require_room("the pack", need, out)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _pack_all(
    todo: list[PackPlan], settings: PackSettings, out: Path, workers: int, say: Callable[[str], None]
) -> GroupDone:
    """Groups of videos, each by one process; a group whose process was killed is done again one by one."""
    done = GroupDone()
    groups = _groups(todo, workers)
    with progress("pack", sum(plan.frames for plan in todo), "frames", say) as advance:
        for again in (False, True):
            broken: list[list[PackPlan]] = []
            for group, outcome in each(groups, pack_group, (settings, out), workers):
                if isinstance(outcome, str):
                    if len(group) > 1 and not again:
                        broken += [[plan] for plan in group]
                        continue
                    outcome = GroupDone(errors=dict.fromkeys((plan.key for plan in group), outcome))
                done.places.update(outcome.places)
                done.errors.update(outcome.errors)
                advance(sum(plan.frames for plan in group))
                if outcome.full:
                    done.full = outcome.full
                    return done
            groups = broken
    return done


def _groups(todo: list[PackPlan], workers: int) -> list[list[PackPlan]]:
    """Neighbours in the manifest share a shard."""
    total = 3 * sum(plan.pixels for plan in todo)
    limit = min(_SHARD_BYTES, max(_LEAST_BYTES, total // (4 * max(1, workers))))
    groups: list[list[PackPlan]] = []
    size = limit
    for plan in todo:
        if size + 3 * plan.pixels > limit:
            groups.append([])
            size = 0
        groups[-1].append(plan)
        size += 3 * plan.pixels
    return groups


def _write(manifest: Manifest, places: dict[str, str], out: Path) -> None:
    """The manifest of the pack: the same rows with paths inside it; where each came from stands in `packed_from`."""
    path = manifest.table["path"]
    known = pa.array(list(places), pa.string())
    kept = manifest.select(pc.indices_nonzero(pc.is_in(path, value_set=known)).to_numpy())
    index = pc.index_in(kept.table["path"], value_set=known)
    table = kept.table
    if "packed_from" not in table.column_names:  # a pack of a pack is still of the first
        table = table.append_column("packed_from", table["path"])
    table = table.set_column(0, "path", pc.take(pa.array(list(places.values()), pa.string()), index))
    replace(kept, table=table, root=out.resolve()).write(out / "manifest.csv")


def _write_failures(out: Path, failures: dict[str, str]) -> None:
    file = out / "failed.csv"
    if not failures:
        file.unlink(missing_ok=True)
        return
    text = io.StringIO()
    csv.writer(text).writerows([("path", "error"), *failures.items()])
    write_text(file, text.getvalue())
