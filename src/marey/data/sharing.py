"""Sharing groups out among parts: pure mathematics behind splits and multi-label folds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marey.data.origin import Index
from marey.errors import SplitError

FloatMatrix = NDArray[np.float64]


def share_out(ids: Index, counts: FloatMatrix, shares: FloatMatrix, seed: int, where: str) -> Index:
    """The part of every sample. Groups are dealt largest first, each to the part where it lowers the squared
    relative deviation from the wanted numbers most; then single groups are moved while that still helps.

    Args:
        ids: `(N,)` groups.
        counts: `(N, K)` what is to be balanced.
        shares: `(S,)`, sum 1.
    """
    size = int(ids.max()) + 1
    if size < len(shares):
        raise SplitError(
            f"{size} group{'s' * (size > 1)} cannot make {len(shares)} parts.",
            "a group is never divided",
            where=where,
        )
    held = np.zeros((size, counts.shape[1] + 1))  # the last column counts samples
    np.add.at(held, ids, np.hstack([counts, np.ones((len(ids), 1))]))
    total = held.sum(axis=0)
    held /= np.maximum(total, 1)  # every class has an equal say, however rare
    order = np.random.default_rng(seed).permutation(size)
    order = order[np.argsort(-held[order].max(axis=1), kind="stable")]
    lack = np.repeat(shares[:, None], held.shape[1], axis=1)  # wanted minus had
    part = np.full(size, -1, dtype=np.int64)
    members = np.zeros(len(shares), dtype=np.int64)
    for left, group in zip(range(size, 0, -1), order, strict=True):
        # what the sum of lack²/share would change by; the last groups go where there is none yet
        change = ((held[group] ** 2 - 2 * lack * held[group]).sum(axis=1)) / shares
        if left == int((members == 0).sum()):
            change[members > 0] = np.inf
        best = int(np.argmin(change))
        part[group], members[best] = best, members[best] + 1
        lack[best] -= held[group]
    for _ in range(20 if size <= 5000 else 0):
        moved = False
        for group in order:
            old = part[group]
            if members[old] == 1:
                continue
            lack[old] += held[group]
            change = ((held[group] ** 2 - 2 * lack * held[group]).sum(axis=1)) / shares
            best = int(np.argmin(change))
            best = best if change[best] < change[old] - 1e-12 else int(old)
            lack[best] -= held[group]
            members[old] -= 1
            members[best] += 1
            moved |= best != old
            part[group] = best
        if not moved:
            break
    return part[ids]
