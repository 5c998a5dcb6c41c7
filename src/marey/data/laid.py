"""One video laid into another: whether they show the same footage, and how alike they move. The third sieve of
`marey.data.duplicates`.

A video is laid where its still part fits best into the other's. Many pairs are looked at together, at all places of
all sizes: a few products of matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.data.fingerprint import PICTURES, SIDE
from marey.data.origin import Index
from marey.types import UInt8Array

Float32 = NDArray[np.float32]

MOVES = 0.40  # how alike they move, along the best straight line from one video's time to the other's
LOOKS = 1.03  # how alike the pictures are + a quarter of how alike they move
STILL = 0.985  # how alike the pictures are of two videos in which nothing moves
NOISE = 0.8  # grey levels: compression alone makes as much movement
_SMALLEST = 21  # pixels: a side is taken as two thirds of the other's or more
_FLAT = 1e-3  # grey levels times grey levels; below, there is nothing to correlate
_AT_ONCE = 128


def laid_into(prints: UInt8Array, still: Float32, inner: Index, outer: Index) -> Float32:
    """How alike each pair moves, `(P,)`, with the one laid into the other; 0 where they are no copies.

    Args:
        prints: uint8 `(N, 16, 32, 32)`.
        still: their medians over time, `(N, 32, 32)`.
        inner, outer: `(P,)`, the rows of each pair.
    """
    scores = np.zeros(len(inner), np.float32)
    alike, box = _places(still, inner, outer)
    for pairs in _groups(box[:, 2] * SIDE + box[:, 3] - 1):
        height, width = box[pairs[0], 2:].tolist()
        for begin in range(0, len(pairs), _AT_ONCE):
            few = pairs[begin : begin + _AT_ONCE]
            of, where = np.unique(inner[few], return_inverse=True)
            b = _scaled(prints[of].reshape(-1, SIDE, SIDE), height, width)
            b = b.reshape(len(of), PICTURES, height * width)
            moves_b, b = (b - median(b)[:, None])[where], b[where].astype(np.float32)
            cuts = [(n, slice(t, t + height), slice(x, x + width)) for n, t, x in
                    zip(outer[few].tolist(), *box[few, :2].T.tolist(), strict=True)]  # fmt: skip
            a = np.stack([prints[n, :, rows, columns] for n, rows, columns in cuts]).astype(np.float32)
            rest = np.stack([still[cut] for cut in cuts])
            moves_a = (a - rest[:, None]).reshape(len(few), PICTURES, -1)
            scores[few] = _scores(a.reshape(moves_a.shape), b, moves_a, moves_b, alike[few])
    return scores


def _scores(a: Float32, b: Float32, moves_a: Float32, moves_b: Float32, alike: Float32) -> Float32:
    """Of pictures and what moves in them, `(P, 16, H·W)` each, and how alike the still parts are."""
    size = moves_a[0].size
    quiet = np.ones(len(a), bool)
    for moves in (moves_a, moves_b):
        quiet &= np.sqrt(np.einsum("pit,pit->p", moves, moves) / size) < NOISE
    table = unit(moves_a) @ unit(moves_b).swapaxes(1, 2)
    ways = [x.reshape(len(x), -1) for x in (table, table.swapaxes(1, 2))]
    means = np.stack([way @ lines().T for way in ways], axis=2).reshape(len(a), -1)
    score = means.max(axis=1)
    found = np.where(quiet & (alike >= STILL), alike, 0).astype(np.float32)
    moved = np.flatnonzero(~quiet & (score >= MOVES))
    line, way = np.divmod(means[moved].argmax(axis=1), 2)
    pictures = unit(a[moved]) @ unit(b[moved]).swapaxes(1, 2)
    shown = np.where(way[:, None, None] == 1, pictures.swapaxes(1, 2), pictures).reshape(-1, PICTURES**2)
    looks = np.maximum(alike[moved], np.einsum("pt,pt->p", lines()[line], shown))
    good = looks + score[moved] / 4 >= LOOKS
    found[moved[good]] = score[moved[good]]
    return found


def median(x: NDArray[Any]) -> Float32:
    """Over the 16 pictures of axis 1 of `(N, 16, …)`. All pixels are sorted at once, by Batcher's network."""
    rows = [x[:, n] for n in range(PICTURES)]
    for low, high in _network(PICTURES):
        rows[low], rows[high] = np.minimum(rows[low], rows[high]), np.maximum(rows[low], rows[high])
    return (rows[PICTURES // 2 - 1].astype(np.float32) + rows[PICTURES // 2]) / 2


@lru_cache
def _network(size: int) -> list[tuple[int, int]]:
    """Comparisons that sort `size` numbers, a power of two (Batcher 1968, odd-even merging)."""
    found = []
    part = 1
    while part < size:
        step = part
        while step:
            for low in range(step % part, size - step, 2 * step):
                for number in range(low, min(low + step, size - step)):
                    if number // (2 * part) == (number + step) // (2 * part):
                        found.append((number, number + step))
            step //= 2
        part *= 2
    return found


def unit(x: NDArray[np.floating[Any]]) -> Float32:
    """Last axis centred and of length 1; what has no contrast is 0."""
    x = x - x.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.where(length > 1e-3, x / np.maximum(length, 1e-3), 0).astype(np.float32)


@lru_cache
def lines() -> Float32:
    """Straight maps of b's time to a's as a matrix `(L, 256)`: times a table of correlations `(16, 16)` of a's
    pictures with b's, it gives the mean along each of L lines, between two pictures of a in proportion.

    b covers half of a's length to all of it, and at least half of b lies inside.
    """
    share = (np.arange(PICTURES) + 0.5) / PICTURES
    maps = [
        offset + speed * share
        for speed in np.arange(0.5, 1.001, 0.05)
        for offset in np.arange(-0.5 * speed, 1 - 0.5 * speed + 1e-9, 0.025)
    ]
    place = np.array(maps) * PICTURES - 0.5
    before = np.clip(np.floor(place), 0, PICTURES - 2).astype(np.int64)
    on = np.clip(place - before, 0, 1)
    inside = (place > -0.51) & (place < PICTURES - 0.49)
    weight = inside / inside.sum(axis=1, keepdims=True)
    made = np.zeros((len(maps), PICTURES, PICTURES))
    line, j = np.indices(place.shape)
    made[line, before, j] += weight * (1 - on)
    made[line, before + 1, j] += weight * on
    return made.reshape(len(maps), -1).astype(np.float32)


def _places(still: Float32, inner: Index, outer: Index) -> tuple[Float32, Index]:
    """Where each fits best: the correlation there `(P,)`, and top, left, height, width `(P, 4)`. The best of sizes in
    steps of two pixels, then of one around it."""
    sizes, starts, _ = _placed()
    even = np.flatnonzero(sizes % 2 == 0)
    coarse = np.empty((len(inner), 2), np.int64)
    for few in _portions(np.arange(len(inner))):
        alike = _correlations(still, inner[few], outer[few], even, even)
        coarse[few] = sizes[even][_highest(alike)]
    best = np.empty(len(inner), np.float32)
    box = np.empty((len(inner), 4), np.int64)
    for pairs in _groups(coarse[:, 0] * (SIDE + 1) + coarse[:, 1]):
        rows, columns = (np.flatnonzero(abs(sizes - size) <= 1) for size in coarse[pairs[0]])
        for few in _portions(pairs):
            alike = _correlations(still, inner[few], outer[few], rows, columns)
            at = _highest(alike)
            best[few] = alike[np.arange(len(few)), at[:, 0], at[:, 1]]
            y, x = rows[at[:, 0]], columns[at[:, 1]]
            box[few] = np.stack([starts[y], starts[x], sizes[y], sizes[x]], axis=1)
    return best, box


def _highest(table_PRC: Float32) -> Index:
    """Row and column of the highest number of each table, `(P, 2)`."""
    return np.stack(
        np.divmod(table_PRC.reshape(len(table_PRC), -1).argmax(axis=1), table_PRC.shape[2]), axis=1
    )


def _portions(numbers: Index) -> Iterator[Index]:
    for begin in range(0, len(numbers), _AT_ONCE):
        yield numbers[begin : begin + _AT_ONCE]


def _correlations(still: Float32, inner: Index, outer: Index, rows: Index, columns: Index) -> Float32:
    """Of each pair, with the one at these of all places (`_placed`) down and across, scaled to it, in the other:
    `(P, R, C)`.

    With S_v the matrix that scales 32 pixels to those of place v and puts them there, the product of a with b laid at
    (v, u) is the sum over S_u ∘ (aᵀ S_v b): products of matrices for all places at once.
    """
    sizes, starts, places = _placed()
    down, across = places[rows], places[columns]
    of, which = np.unique(inner, return_inverse=True)
    around, where = np.unique(outer, return_inverse=True)
    b, a = (still[n] - still[n].mean(axis=(1, 2), keepdims=True) for n in (of, around))
    beside = (down.swapaxes(0, 1).reshape(-1, SIDE) @ b).reshape(
        len(of), SIDE, -1
    )  # rows of a, V · columns of b
    mixed = np.empty((len(inner), len(rows), SIDE, SIDE), np.float32)
    for place, n, k in zip(mixed, where.tolist(), which.tolist(), strict=True):
        place[:] = (a[n].T @ beside[k]).reshape(SIDE, len(rows), SIDE).swapaxes(0, 1)
    product = mixed.reshape(len(inner), len(rows), -1) @ across.reshape(len(columns), -1).T

    # what each window of a and each size of b has of its own
    pixel = np.arange(SIDE)
    inside = ((pixel >= starts[:, None]) & (pixel < (starts + sizes)[:, None])).astype(np.float64)
    area = np.outer(sizes[rows], sizes[columns])
    sums, squares = (inside[rows] @ x.astype(np.float64) @ inside[columns].T for x in (a, a * a))
    spread = np.sqrt(np.maximum(squares - sums * sums / area, 0))
    (tall, row_of), (wide, column_of) = (_firsts(sizes[n]) for n in (rows, columns))
    scaled = down[tall][:, None] @ b[:, None, None] @ across[wide].swapaxes(1, 2)
    total = scaled.sum(axis=(3, 4), dtype=np.float64)
    own = np.einsum("nhwij,nhwij->nhw", scaled, scaled, dtype=np.float64)
    own = np.sqrt(np.maximum(own - total * total / area[np.ix_(tall, wide)], 0))
    total, own = (x[:, row_of][:, :, column_of][which] for x in (total, own))
    length = spread[where] * own
    product = product - total * sums[where] / area
    return np.where(length > _FLAT, product / np.maximum(length, _FLAT), 0).astype(np.float32)


def _firsts(numbers: Index) -> tuple[Index, Index]:
    """Where each different number stands first, and which of them each is."""
    _, first, which = np.unique(numbers, return_index=True, return_inverse=True)
    return first, which


@lru_cache
def _placed() -> tuple[Index, Index, Float32]:
    """Every size and place of 32 pixels scaled down inside 32 others: sizes `(V,)`, where each begins, and the
    matrices `(V, 32, 32)` that scale and put them there."""
    import cv2

    made = []
    for size in range(SIDE, _SMALLEST - 1, -1):
        scaled = cv2.resize(np.eye(SIDE, dtype=np.float32), (SIDE, size), interpolation=cv2.INTER_AREA)
        for top in range(SIDE - size + 1):
            place = np.zeros((SIDE, SIDE), np.float32)
            place[top : top + size] = scaled
            made.append((size, top, place))
    sizes, tops, places = zip(*made, strict=True)
    return np.array(sizes), np.array(tops), np.stack(places)


def _groups(of: Index) -> Iterator[Index]:
    """The places of each number, ascending."""
    order = np.argsort(of, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(of[order])) + 1) if len(of) else ()


def _scaled(pictures: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    import cv2

    return np.stack([cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures])
