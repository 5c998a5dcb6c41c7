"""The text of an ELAN file: a video, and tiers of annotations. On a tier annotations cannot overlap, so those that do
go to tiers of their own, "NAME 2", "NAME 3", which share the tier's type."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.sax.saxutils import escape, quoteattr

from marey.data.stacking import stacked

CLOCK = "marey:clock-at-first-frame"
"""A property of the document: what a video's own clock says where ELAN's says 0."""

Annotation = tuple[int, int, str]
"""Start and end in milliseconds of ELAN's clock, which begins with the file, and the value."""


@dataclass(frozen=True)
class Tier:
    """Annotations that may overlap, and the name that their tiers share as a type."""

    kind: str
    annotations: Sequence[Annotation]


def document(address: str, tiers: Mapping[str, Tier], *, clock: float = 0.0) -> str:
    """The whole file.

    Args:
        address: of the video, relative to the file, with `/`.
        tiers: by name.
        clock: seconds that the video's own clock says where ELAN's says 0.
    """
    slots: list[str] = []
    body: list[str] = []
    count = 0
    taken = set(tiers)
    for name, tier in tiers.items():
        spans = [(start, max(end, start + 1)) for start, end, _ in tier.annotations]
        rows = stacked(spans)
        for row in range(max(rows, default=0) + 1):
            body.append(
                f"<TIER LINGUISTIC_TYPE_REF={quoteattr(_legal(tier.kind))}"
                f" TIER_ID={quoteattr(_legal(_numbered(name, row, taken)))}>"
            )
            here = [i for i in range(len(spans)) if rows[i] == row]
            for i in sorted(here, key=lambda i: spans[i]):
                first, count = len(slots) + 1, count + 1
                slots += [
                    f'<TIME_SLOT TIME_SLOT_ID="ts{first + n}" TIME_VALUE="{t}"/>'
                    for n, t in enumerate(spans[i])
                ]
                body.append(
                    f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{count}"'
                    f' TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{first + 1}"><ANNOTATION_VALUE>'
                    f"{escape(_legal(tier.annotations[i][2]))}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
                )
            body.append("</TIER>")
    kinds = dict.fromkeys(tier.kind for tier in tiers.values())
    mime = mimetypes.guess_type(PurePosixPath(address).name)[0] or "video/*"
    link = quoteattr(_legal(address))
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">',
        '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">',
        f'<MEDIA_DESCRIPTOR MEDIA_URL={link} MIME_TYPE="{mime}" RELATIVE_MEDIA_URL={link}/>',
        *([f'<PROPERTY NAME="{CLOCK}">{clock!r}</PROPERTY>'] if clock else []),
        "</HEADER>", "<TIME_ORDER>", *slots, "</TIME_ORDER>", *body,
        *(
            f'<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID={quoteattr(_legal(kind))}'
            ' TIME_ALIGNABLE="true"/>'
            for kind in kinds
        ),
        "</ANNOTATION_DOCUMENT>",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def one_family(names: Sequence[str]) -> bool:
    """Whether the tiers are "NAME", "NAME 2", … of one name, as `document` makes them."""
    return not names or all(re.fullmatch(rf"{re.escape(names[0])} \d+", name) for name in names[1:])


def _numbered(name: str, row: int, taken: set[str]) -> str:
    """ "NAME", then "NAME 2" and so on, past names that are there already."""
    if not row:
        return name
    number = row + 1
    while f"{name} {number}" in taken:
        number += 1
    taken.add(f"{name} {number}")
    return f"{name} {number}"


def _legal(text: str) -> str:
    """Without the control characters that XML has no way to say."""
    return "".join(c if (c >= " " and c not in "\ufffe\uffff") or c in "\t\n" else " " for c in text)
