"""ELAN's `.eaf`: one file a video, annotations on tiers, times in milliseconds.

https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

from __future__ import annotations

import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

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

    Times are ELAN's, moved by the `TIME_ORIGIN` of the video. Annotations that hang on others and have no times of
    their own are passed over; a time slot without a value is a fault.
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
        every = [tier.attributes.get("TIER_ID", "") for tier in root.all("TIER")]
        if rows.how.label not in every:
            near = did_you_mean(rows.how.label, every)
            rows.fault(
                file, root.line, f"there is no tier {rows.how.label!r}.{near}", f"tiers: {', '.join(every)}"
            )
        return [tier for tier, name in zip(timed, names, strict=True) if name == rows.how.label]
    if len(timed) > 1:
        rows.fault(
            file, root.line, f"{len(timed)} tiers have annotations with times: {', '.join(names)}.",
            "say which holds the classes: --label TIER",
        )  # fmt: skip
        return []
    return timed


def write(manifest: Manifest, out: Path, how: How) -> list[Path]:
    """One `.eaf` a video, with one tier. Times are rounded to milliseconds, which is said where it changes them."""
    going = Outgoing(manifest, how, "ELAN", segments=True, several=True)
    moved = 0
    texts: dict[str, str] = {}
    for path, segments in going.by_video().items():
        slots: list[str] = []
        annotations: list[str] = []
        for row in segments:
            if row["start"] is None or row["end"] is None:
                going.refuse(row, "an annotation has a start and an end.")
            times = [round(row[name] * 1000) for name in ("start", "end")]
            moved += any(abs(t / 1000 - row[n]) > 1e-9 for t, n in zip(times, ("start", "end"), strict=True))
            for name in row["label"].split("|"):
                first = len(slots) + 1
                slots += [
                    f'<TIME_SLOT TIME_SLOT_ID="ts{first + n}" TIME_VALUE="{t}"/>' for n, t in enumerate(times)
                ]
                annotations.append(
                    f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{len(annotations) + 1}"'
                    f' TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{first + 1}">'
                    f"<ANNOTATION_VALUE>{escape(name)}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
                )
        stem = PurePosixPath(path).stem
        if stem in texts:
            raise ManifestError(
                f"two videos are called {stem!r}, and each has a file of its name.",
                where=manifest.origin.name,
            )
        texts[stem] = _document(path, how.label or "class", slots, annotations)
    if moved:
        warnings.warn(
            f"ELAN counts milliseconds: {moved} segments were moved by less than one.",
            DataWarning,
            stacklevel=4,
        )
    return [put(out / f"{stem}.eaf", text) for stem, text in texts.items()]


def _document(path: str, tier: str, slots: list[str], annotations: list[str]) -> str:
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">',
        '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">',
        f'<MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(path)} MIME_TYPE="video/*" RELATIVE_MEDIA_URL={quoteattr(path)}/>',
        "</HEADER>", "<TIME_ORDER>", *slots, "</TIME_ORDER>",
        f'<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID={quoteattr(tier)}>', *annotations, "</TIER>",
        '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>',
        "</ANNOTATION_DOCUMENT>",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


LAYOUT = Layout("elan", "ELAN", ".eaf files, a tier of annotations", found, read, write, takes=("label",))
