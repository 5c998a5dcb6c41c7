"""The rules: what a manifest and the looks at its files say is wrong, one function a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marey.data.check.kinds import Finding
from marey.data.check.look import Look
from marey.data.clips import segment_of
from marey.data.directions import flip_map_from_names, flip_pairs, names_direction
from marey.data.duplicates import Copies, clusters
from marey.data.instants import ClipReader, Span
from marey.data.manifest import Manifest, Sample
from marey.errors import SegmentError
from marey.types import FloatArray
from marey.video.sampling import Sampler

IMBALANCE = 10
"""A class with this many times the samples of another is noted."""


@dataclass(frozen=True, eq=False)
class Checked:
    """What the rules look at.

    Attributes:
        manifest: the samples.
        files: the rows of each file, by its absolute path, in the order of the manifest.
        keys, looks: content key and look of each file, in the order of `files`.
        copies: pairs of files that show the same footage, by their place in `files`.
    """

    manifest: Manifest
    files: dict[str, list[int]]
    keys: list[str]
    looks: list[Look]
    copies: list[Copies]

    def finding(self, kind: str, row: int, got: str, rows: Sequence[int] | None = None) -> Finding:
        sample_path = self.manifest.table["path"][row].as_py()
        where = self.manifest.origin.where(row, sample_path)
        return Finding(kind, where, sample_path, got, tuple(rows if rows is not None else (row,)))

    def told(self, row: int) -> str:
        """A row as another one's finding names it: "m.csv line 5 (a.mp4, train)"."""
        table, origin = self.manifest.table, self.manifest.origin
        path, split = table["path"][row].as_py(), table["split"][row].as_py()
        if origin.unit == "file":
            return f"{path} ({split})" if split else str(path)
        return f"{origin.where(row, path)} ({path}{', ' + split if split else ''})"


def of_files(checked: Checked) -> Iterator[Finding]:
    """What is wrong with a file itself, once a file: at its first row, with all of its rows."""
    for rows, seen in zip(checked.files.values(), checked.looks, strict=True):
        more = f" ({len(rows)} samples lie in it)" if len(rows) > 1 else ""
        if seen.kind:
            yield checked.finding(seen.kind, rows[0], seen.got + more, rows)
        if seen.info is None:
            continue
        if seen.listed and seen.listed != seen.packets:
            got = f"the header names {seen.listed} frames; {seen.packets} are there.{more}"
            yield checked.finding("wrong count", rows[0], got, rows)
        if seen.info.variable_rate:
            gaps = np.diff(seen.times)
            got = f"frames are {gaps.min() * 1e3:.1f} to {gaps.max() * 1e3:.1f} ms apart."
            yield checked.finding("variable rate", rows[0], got, rows)
        if seen.info.rotation or seen.info.mirrored:
            how = [f"turned by {seen.info.rotation}°"] if seen.info.rotation else []
            how += ["mirrored"] if seen.info.mirrored else []
            yield checked.finding("rotation", rows[0], f"stored {' and '.join(how)}.", rows)


def of_segments(checked: Checked, sampler: Sampler | None) -> Iterator[Finding]:
    """Segments that do not lie in their file, and those with fewer frames than the sampler asks for; without
    one, those of a single frame."""
    for rows, seen in zip(checked.files.values(), checked.looks, strict=True):
        if seen.info is None:
            continue
        for row in rows:
            sample = checked.manifest.sample(row)
            try:
                span = _span(seen, sample)
            except SegmentError as error:
                yield checked.finding("outside", row, error.what)
                continue
            frames = (
                int(np.searchsorted(seen.times, span.end) - np.searchsorted(seen.times, span.start, "right"))
                + 1
            )
            if frames < 2:
                yield checked.finding("too short", row, "1 frame: a picture, in which nothing can move.")
            elif sampler is not None:
                asked, real = _asked(sampler, seen, span)
                if real < asked:
                    got = f"{frames} frames in {span.end - span.start:.2f} s; {sampler} asks for {asked}."
                    yield checked.finding("too short", row, got)


def of_duplicates(checked: Checked) -> Iterator[Finding]:
    """Files of the same bytes, and of the same footage; across splits that is a leak."""
    split = checked.manifest.table["split"].to_pylist()
    label = checked.manifest.table["label"].to_pylist()
    rows_of = list(checked.files.values())
    first: dict[str, int] = {}
    for number, key in enumerate(checked.keys):
        if not key:
            continue
        here = first.setdefault(key, number)
        if here != number:
            row, other = rows_of[number][0], rows_of[here][0]
            got = f"the same bytes as {checked.told(other)}."
            if label[row] != label[other]:
                got += f" Their labels differ: {label[row]!r} and {label[other]!r}."
            yield checked.finding("duplicate", row, got, rows_of[number])
    distinct = [pair for pair in checked.copies if checked.keys[pair.a] != checked.keys[pair.b]]
    told: set[int] = set()
    for pair in sorted(distinct, key=lambda pair: -pair.score):
        a, b = pair.a, pair.b
        sides = {split[row] for row in rows_of[a]}, {split[row] for row in rows_of[b]}
        crosses = len(sides[0] | sides[1]) > 1
        late = (
            b if (crosses and "train" in sides[1]) or not crosses else a
        )  # what training loses, judging keeps
        if late in told or not crosses:
            continue
        told.add(late)
        other = a if late == b else b
        got = f"the footage of {checked.told(rows_of[other][0])}, {100 * pair.score:.0f}% alike in movement."
        yield checked.finding("copy across splits", rows_of[late][0], got, rows_of[late])
    ids = clusters(len(rows_of), distinct)
    seen: dict[int, int] = {}
    for number, cluster in enumerate(ids.tolist()):
        here = seen.setdefault(cluster, number)
        if here != number and number not in told and here not in told:
            got = f"the footage of {checked.told(rows_of[here][0])}."
            yield checked.finding("copy", rows_of[number][0], got, rows_of[number])


def of_groups(checked: Checked) -> Iterator[Finding]:
    """Groups, and video files, with samples on both sides of the split."""
    table = checked.manifest.table
    found: set[int] = set()
    if not checked.manifest.splits:
        return
    for name in ("group", "path"):
        rows_of: dict[str, list[int]] = {}
        for row, cell in enumerate(table[name].to_pylist()):
            if cell is not None:
                rows_of.setdefault(cell, []).append(row)
        for cell, rows in rows_of.items():
            sides: dict[str, list[int]] = {}
            for row in rows:
                sides.setdefault(table["split"][row].as_py(), []).append(row)
            if len(sides) < 2 or found & set(rows):
                continue
            found |= set(rows)
            counted = ", ".join(f"{side} {len(of)}" for side, of in sides.items())
            least = min(sides.items(), key=lambda of: (len(of[1]), of[0] == "train"))[1]
            what = f"group {cell!r}" if name == "group" else "this video"
            yield checked.finding(
                "group across splits", least[0], f"{what} is on both sides: {counted}.", rows
            )


def of_classes(checked: Checked) -> Iterator[Finding]:
    """Classes that a split lacks, and classes with many times the samples of others."""
    manifest = checked.manifest
    name = manifest.origin.name
    for split in manifest.splits:
        counts = manifest.select(manifest.indices(split)).counts()
        for label, count in counts.items():
            if not count:
                yield Finding("class missing", name, "", f"{split} has no sample of {label!r}.")
    counts = {label: count for label, count in manifest.counts().items() if count}
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] >= IMBALANCE * counts[least]:
        got = f"{most!r} has {counts[most]:,} samples, {least!r} {counts[least]:,}."
        yield Finding("imbalance", name, "", got)


def of_directions(checked: Checked, flip_map: Sequence[str]) -> Iterator[Finding]:
    """Classes whose name a mirror makes wrong, and that no pair names."""
    names = checked.manifest.class_names
    mapping = flip_map_from_names(names) if tuple(flip_map) == ("auto",) else flip_pairs(flip_map, names)
    for name in names:
        if names_direction(name) and name not in mapping:
            row = int(pc.index(checked.manifest.table["label"], pa.scalar(name)).as_py())
            got = f"a mirrored clip of {name!r} shows another direction; its label would be wrong."
            if row < 0:
                yield Finding("direction", checked.manifest.origin.name, "", got)
            else:
                yield checked.finding("direction", row, got)


def _span(seen: Look, sample: Sample) -> Span:
    """The sample's stretch; segment_of needs no more of a reader than times, end and path."""
    assert seen.info is not None
    reader = SimpleNamespace(info=seen.info, times=seen.times)
    return segment_of(cast("ClipReader", reader), sample.start, sample.end, where=sample.where)


def _asked(sampler: Sampler, seen: Look, span: Span) -> tuple[int, int]:
    """Frames that the sampler asks for, and those it gets."""
    cues: FloatArray | None = None
    if sampler.cue is not None:  # which frames are chosen plays no part here, only how many there are
        cues = seen.times if sampler.cue == "keyframes" else np.ones(len(seen.times))
    _, mask = sampler.times(seen.times, span.start, span.end, cues=cues)
    return len(mask), int(mask.sum())


def all_of(
    checked: Checked, *, sampler: Sampler | None, flip_map: Sequence[str] | None, labelled: bool
) -> list[Finding]:
    """Every finding by every rule; `flip_map` None is a training without flips."""
    found = [*of_files(checked), *of_segments(checked, sampler), *of_duplicates(checked), *of_groups(checked)]
    if labelled:
        found += of_classes(checked)
    if labelled and flip_map is not None:
        found += of_directions(checked, flip_map)
    return found


def counted(findings: Sequence[Finding]) -> Mapping[str, Any]:
    """How many of each kind."""
    kinds: dict[str, int] = {}
    for finding in findings:
        kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
    return kinds
