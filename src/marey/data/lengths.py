"""How long samples are: what a classifier was trained on says in what windows it can be slid."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from marey.data.clips import opened
from marey.data.manifest import Manifest
from marey.errors import MareyError

_LOOKED_AT = 1000  # rows at most, evenly over all
_OPENED = 32  # files at most that are opened for their length


def median_length(manifest: Manifest, rows: Iterable[int]) -> float | None:
    """The median length in seconds of some samples; None where none can be told.

    Rows with start and end say it themselves; of the others up to 32, evenly over the rows, are opened, without
    decoding. One that cannot be is left out: nothing depends on it but a default.
    """
    rows = list(rows)
    if not rows:
        return None
    taken = np.unique(np.linspace(0, len(rows) - 1, _LOOKED_AT).astype(int))
    samples = [manifest.sample(int(rows[i])) for i in taken]
    lengths = [s.end - s.start for s in samples if s.start is not None and s.end is not None]
    open_ended = [s for s in samples if s.start is None or s.end is None]
    for i in np.unique(np.linspace(0, len(open_ended) - 1, _OPENED).astype(int)) if open_ended else []:
        try:
            with opened(open_ended[i]) as (_, span):
                lengths.append(span.end - span.start)
        except MareyError:
            continue
    return float(np.median(lengths)) if lengths else None
