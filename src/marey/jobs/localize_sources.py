"""Which videos are asked for, and what is known to happen in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from marey.data.manifest import Manifest
from marey.data.timelines import Timeline, timelines
from marey.errors import ConfigError, UsageError
from marey.jobs.localize_config import LocalizeConfig
from marey.jobs.predict import find_videos

_TABLES = (".csv", ".parquet", ".pq")


@dataclass(frozen=True)
class Sources:
    """Videos in order, and where there is a manifest with segments, what is true in each.

    Attributes:
        videos: paths.
        lines: of each video by path; empty where nothing is known.
        manifest: the manifest behind them.
        split: which of its videos, in words.
    """

    videos: tuple[str, ...]
    lines: dict[str, Timeline]
    manifest: Manifest | None = None
    split: str = ""


def find_sources(config: LocalizeConfig, class_names: Sequence[str]) -> Sources:
    """Videos, folders and globs, or one manifest.

    Rows without start and end name videos and no segments: nothing is known of when.

    Raises:
        UsageError: a manifest among other things, or a pattern without videos.
        ManifestError: rows that cannot be used; a label that the model does not know.
        VideoNotFoundError: a name that is not there.
    """
    named = [_manifest_of(name) for name in config.videos]
    if not any(named):
        if config.split is not None:
            raise UsageError("--split chooses rows of a manifest; these are videos.")
        return Sources(tuple(find_videos(config.videos)), {})
    if len(named) > 1:
        table = next(name for name in named if name)
        raise UsageError(
            f"{table} is a manifest, and was named together with others.", "give a manifest alone, or videos"
        )
    assert named[0] is not None
    manifest = Manifest.read(named[0], root=config.root, files=False)
    split = config.split or next((s for s in ("test", "val") if s in manifest.splits), "all")
    if split != "all" and split not in manifest.splits:
        have = ", ".join(manifest.splits) or "none"
        raise ConfigError(f"no row has split {split!r}.", f"splits there: {have}", where=named[0])
    table = manifest.table
    if table["start"].null_count == len(manifest) and table["end"].null_count == len(manifest):
        samples = [manifest.sample(int(i)) for i in manifest.indices(None if split == "all" else split)]
        return Sources(tuple(dict.fromkeys(s.path for s in samples)), {}, manifest, split)
    _, lines = timelines(manifest, class_names=class_names, background=config.background)
    chosen = {line.path: line for line in lines if split in ("all", line.split)}
    return Sources(tuple(chosen), chosen, manifest, split)


def _manifest_of(name: str) -> str | None:
    """The manifest that a name means: a table, or a folder that holds manifest.csv or manifest.parquet."""
    path = Path(name)
    if path.suffix.lower() in _TABLES:
        return name
    held = any((path / f"manifest{suffix}").is_file() for suffix in (".csv", ".parquet"))
    return name if held else None
