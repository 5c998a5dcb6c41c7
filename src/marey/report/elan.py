"""A timeline as an ELAN file, to look at it beside the video, correct it, and learn from it.

A tier a class. Found segments are on tiers of the type "found", annotated ones on tiers of the type "annotated":
`marey data import FOLDER --as elan --label found` reads the corrected file back.
"""

from __future__ import annotations

from collections.abc import Sequence

from marey.data.layouts.elan_document import Tier, document
from marey.types import Segment


def eaf(found: Sequence[Segment], true: Sequence[Segment] | None, *, address: str, begins: float) -> str:
    """The text of an `.eaf` file.

    Args:
        found, true: in seconds on the video's own clock; ELAN counts milliseconds.
        address: of the video, relative to the file.
        begins: where ELAN's clock begins on the video's own; written into the file, so that marey reads back
            the video's own times.
    """
    tiers: dict[str, Tier] = {}
    kinds = [("found", found, "{}")] + ([("annotated", true, "{} (annotated)")] if true is not None else [])
    for kind, segments, form in kinds:
        labels = list(dict.fromkeys(s.label for s in sorted(segments, key=lambda s: (s.start, s.end))))
        for label in labels or [kind]:
            name = form.format(label)
            while name in tiers:
                name += "′"
            tiers[name] = Tier(
                kind,
                [
                    (round(1000 * (s.start - begins)), round(1000 * (s.end - begins)), s.label)
                    for s in segments
                    if s.label == label
                ],
            )
    return document(address, tiers, clock=begins)
