"""ELAN's `.eaf`: one file a video, annotations on tiers, times in milliseconds.

https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

from __future__ import annotations

import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marey.data.layouts.elan_document import CLOCK, Annotation, Tier, document, one_family
from marey.data.layouts.gather import Gathered
from marey.data.layouts.layout import How, Layout, Source
from marey.data.layouts.media import find_media
from marey.data.layouts.raw import RawRows
from marey.data.layouts.stems import Stems
from marey.data.layouts.writing import Outgoing, put
from marey.data.layouts.xmlfile import Element, read_xml
from marey.data.origin import DataWarning
from marey.errors import ManifestError, did_you_mean

if TYPE_CHECKING:
    from marey.data.manifest import Manifest


def _files(source: Source) -> list[Path]:
    return source.ending(".eaf")


def found(source: Source) -> str:
    files = _files(source)
    return files[0].name if files else ""


def read(source: Source, how: How) -> RawRows:
    """A row is an annotation of a tier with times. Where several tiers have such, --label names the one meant.

    Tiers "NAME", "NAME 2", … hold what overlaps, and are one. Times are ELAN's, moved by the `TIME_ORIGIN` of the
    video and by where its own clock begins, if marey wrote that down. Annotations that hang on others and have no
    times of their own are passed over; a time slot without a value is a fault.
    """
    rows = Gathered(source, how)
    stems = Stems(rows)
    tiers_used: set[str] = set()
    for file in _files(source):
        root = read_xml(file)
        media = _video(rows, file, root)
        if media is None:
            continue
        path = find_media(rows, stems, file, media.line, _address(media))
        origin = rows.number(file, media.line, media.attributes.get("TIME_ORIGIN", "0"), "TIME_ORIGIN") or 0.0
        origin += 1000 * _clock(rows, file, root)
        slots = {
            slot.attributes.get("TIME_SLOT_ID", ""): slot.attributes.get("TIME_VALUE")
            for slot in (root.first("TIME_ORDER") or root).all("TIME_SLOT")
        }
        for tier in _tiers(rows, file, root):
            tiers_used.add(tier.attributes["TIER_ID"])
            for annotation in tier.all("ANNOTATION"):
                marked = annotation.first("ALIGNABLE_ANNOTATION")
                if marked is None:
                    continue
                label = marked.text_of("ANNOTATION_VALUE")
                times = [slots.get(marked.attributes.get(f"TIME_SLOT_REF{n}", "")) for n in (1, 2)]
                if not label or None in times:
                    what = "has a time slot without a value" if label else "is empty"
                    rows.fault(
                        file,
                        marked.line,
                        f"the annotation {marked.attributes.get('ANNOTATION_ID', '?')} {what}.",
                    )
                    continue
                start, end = (rows.number(file, marked.line, time, "a time") for time in times)
                if start is not None and end is not None:
                    rows.add(
                        file,
                        marked.line,
                        path,
                        label,
                        start=(start + origin) / 1000,
                        end=(end + origin) / 1000,
                    )
    return rows.done(f"ELAN, tier {' and '.join(sorted(tiers_used)) or 'none'}", root=stems.root)


def _video(rows: Gathered, file: Path, root: Element) -> Element | None:
    media = list((root.first("HEADER") or root).all("MEDIA_DESCRIPTOR"))
    videos = [m for m in media if not m.attributes.get("MIME_TYPE", "").startswith("audio")]
    if len(videos) == 1:
        return videos[0]
    names = ", ".join(_address(m) for m in videos)
    rows.fault(
        file,
        root.line,
        f"{len(videos)} videos belong to this file ({names})." if videos else "no video belongs to it.",
    )
    return None


def _address(media: Element) -> str:
    relative = media.attributes.get("RELATIVE_MEDIA_URL", "")
    return relative or media.attributes.get("MEDIA_URL", "")


def _tiers(rows: Gathered, file: Path, root: Element) -> list[Element]:
    """The tier that is meant."""
    timed = [t for t in root.all("TIER") if any(a.first("ALIGNABLE_ANNOTATION") for a in t.all("ANNOTATION"))]
    names = [tier.attributes.get("TIER_ID", "") for tier in timed]
    if rows.how.label is not None:
        asked = rows.how.label
        every = [tier.attributes.get("TIER_ID", "") for tier in root.all("TIER")]
        kinds = [tier.attributes.get("LINGUISTIC_TYPE_REF", "") for tier in root.all("TIER")]
        if asked in every:
            return [
                t for t, name in zip(timed, names, strict=True) if one_family([asked, name]) or name == asked
            ]
        if asked not in kinds:
            near = did_you_mean(asked, [*every, *kinds])
            rows.fault(file, root.line, f"there is no tier {asked!r}.{near}", f"tiers: {', '.join(every)}")
        return [tier for tier in timed if tier.attributes.get("LINGUISTIC_TYPE_REF") == asked]
    if not one_family(names):
        rows.fault(
            file, root.line, f"{len(timed)} tiers have annotations with times: {', '.join(names)}.",
            "say which holds the classes: --label TIER, or the type that several tiers have",
        )  # fmt: skip
        return []
    return timed


def _clock(rows: Gathered, file: Path, root: Element) -> float:
    for entry in (root.first("HEADER") or root).all("PROPERTY"):
        if entry.attributes.get("NAME") == CLOCK:
            return rows.number(file, entry.line, entry.text.strip(), CLOCK) or 0.0
    return 0.0


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    """One `.eaf` a video, with one tier, or several where segments overlap. Times are rounded to milliseconds, which
    is said where it changes them."""
    going = Outgoing(manifest, how, "ELAN", segments=True, several=True)
    moved = 0
    texts: dict[str, str] = {}
    tier = how.label or "class"
    for path, segments in going.by_video().items():
        annotations: list[Annotation] = []
        for row in segments:
            if row["start"] is None or row["end"] is None:
                going.refuse(row, "an annotation has a start and an end.")
            start, end = (round(row[name] * 1000) for name in ("start", "end"))
            moved += any(abs(t / 1000 - row[n]) > 1e-9 for t, n in ((start, "start"), (end, "end")))
            annotations += [(start, end, name) for name in row["label"].split("|")]
        stem = PurePosixPath(path).stem
        if stem in texts:
            raise ManifestError(
                f"two videos are called {stem!r}, and each has a file of its name.",
                where=manifest.origin.name,
            )
        texts[stem] = document(path, {tier: Tier(tier, annotations)})
    if moved:
        warnings.warn(
            f"ELAN counts milliseconds: {moved} segments were moved by less than one.",
            DataWarning,
            stacklevel=4,
        )
    return [put(out / f"{stem}.eaf", text) for stem, text in texts.items()]


LAYOUT = Layout("elan", "ELAN", ".eaf files, a tier of annotations", found, read, write, takes=("label",))
