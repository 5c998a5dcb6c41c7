"""What lies in a pack: which videos are there, which of them are damaged, and the removal of damaged ones."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from marey.errors import DataError
from marey.files import plain_stem
from marey.video.packed.names import FRAMES, TAR
from marey.video.packed.shard import Shard, ShardWriter
from marey.video.packed.tar import TarWriter, damage, members, read_member
from marey.video.packed.work import Form

_KEY = 16  # digits


def found_videos(out: Path, form: Form) -> dict[str, str]:
    """The place inside the pack of every whole video, by its key. A shard that cannot be read counts as absent."""
    places: dict[str, str] = {}
    if form == "mp4":
        for path in sorted((out / "videos").glob("*-*-*.mp4")):
            places[path.stem.split("-")[-2]] = f"videos/{path.name}"
        return places
    for path in sorted((out / "shards").glob(f"*{FRAMES if form == 'shards' else TAR}")):
        try:
            for key, name in _content(path):
                places[key] = f"shards/{path.name}/{name}"
        except DataError:
            continue
    return places


def _content(path: Path) -> Iterator[tuple[str, str]]:
    if path.suffix == TAR:
        for name in members(path):
            if name.endswith(".mp4"):
                yield name.removesuffix(".mp4")[-_KEY:], name
        return
    held = Shard(path)
    for number, entry in enumerate(held.entries):
        source = held.video(number).about["source"]
        yield entry["key"].decode(), f"{number}-{plain_stem(Path(source))}"


def mend(out: Path, form: Form, say: Callable[[str], None]) -> int:
    """Read all of a pack, name what is damaged, and take it out, so that packing puts it in anew.

    The sound videos of a damaged shard move into a new one, as they are: nothing is decoded for them.

    Returns:
        how many videos were damaged.
    """
    bad = 0
    if form == "mp4":
        for path in sorted((out / "videos").glob("*-*-*.mp4")):
            if f"{zlib.crc32(path.read_bytes()):08x}" != path.stem.split("-")[-1]:
                say(f"damaged: {path}: the movie is not what its name says.")
                path.unlink()
                bad += 1
        return bad
    for path in sorted((out / "shards").glob(f"*{FRAMES if form == 'shards' else TAR}")):
        bad += _mend_tar(path, say) if path.suffix == TAR else _mend_shard(path, say)
    return bad


def _mend_shard(path: Path, say: Callable[[str], None]) -> int:
    try:
        held = Shard(path)
    except DataError as error:
        say(f"damaged: {error}")
        path.unlink()
        return 1
    damaged = dict(held.damage())
    for number, what in damaged.items():
        say(f"damaged: {path}/{number}: {what}.")
    if not damaged:
        return 0
    with ShardWriter(path.parent) as writer:
        for number, entry in enumerate(held.entries):
            if number not in damaged:
                video = held.video(number)
                writer.add(
                    entry["key"].decode(), times=video.times, keyframes=video.keyframes,
                    size=(int(entry["height"]), int(entry["width"])), chunks=[video.frames], about=video.about,
                )  # fmt: skip
        writer.finish()
    path.unlink()
    return len(damaged)


def _mend_tar(path: Path, say: Callable[[str], None]) -> int:
    import json

    try:
        damaged = dict(damage(path))
    except DataError as error:
        say(f"damaged: {error}")
        path.unlink()
        return 1
    for name, what in damaged.items():
        say(f"damaged: {path}/{name}: {what}.")
    if not damaged:
        return 0
    with TarWriter(path.parent) as writer:
        for name in members(path):
            if name.endswith(".mp4") and name not in damaged:
                stem = name.removesuffix(".mp4")
                writer.add(stem, read_member(path, name), json.loads(read_member(path, f"{stem}.json")))
        writer.finish()
    path.unlink()
    return len(damaged)
