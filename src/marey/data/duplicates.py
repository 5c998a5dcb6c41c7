"""Videos that show the same footage: copies re-encoded, scaled, cropped, trimmed, sped up or recoloured.

Three sieves over the fingerprints, each finer than the one before:

1. *Which videos look alike at all.* The still part (each pixel's median over time) and the moving part (its
   deviation from that) as 6×6 pictures; one video's whole frame is compared with sixteen cut-outs of the
   other's. Products of matrices: 10,000 videos are 1.6·10⁹ comparisons, and seconds.
2. *Whether the same things move.* What differs from the still part, picture by picture, correlated over all
   straight lines that could map one video's time to the other's. This is what tells two recordings of one fixed
   camera from two copies of one recording: their still parts are equal, their movements are not.
3. *The same once more at 32×32*, with the cut-out found by matching instead of taken from a list.

Every limit is stated below with what it was chosen by; `benchmarks/duplicates.py` measures the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marey.data.fingerprint import PICTURES, SIDE
from marey.data.origin import Index
from marey.types import FloatArray, UInt8Array

Float32 = NDArray[np.float32]

GRID = 6
_ALIKE = 1.55  # sum of two correlations; 99% of copies lie above, cropped and trimmed by up to a quarter
_BOTH = 1.93  # that sum + half of how alike they move at 6×6; 98.5% of copies lie above
_MOVES_ALIKE = 0.30  # at 6×6; two clips of one camera lie below 0.25 in 99 of 100 pairs
MOVES = 0.40  # the same at 32×32
LOOKS = 1.03  # how alike the pictures are + a quarter of how alike they move
STILL = 0.985  # how alike the pictures are of two videos in which nothing moves
_NOISE = 0.8  # grey levels: compression alone makes as much movement
_BLANK = 2.0  # grey levels of contrast; below, there is no picture to compare
_BLOCK = 2048
_PAIRS_AT_ONCE = 4096


@dataclass(frozen=True)
class Copies:
    """Two videos of the same footage: their rows among the fingerprints, `a < b`, and how alike they are, 0…1."""

    a: int
    b: int
    score: float


def find_copies(prints: UInt8Array, *, progress: Callable[[int, int], None] | None = None) -> list[Copies]:
    """All pairs of videos that show the same footage.

    Args:
        prints: uint8 `(N, 16, 32, 32)`, one `fingerprint` a video.
        progress: called with (videos compared, videos in all).
    """
    if len(prints) < 2:
        return []
    still, energy, blank = _taken_apart(prints)
    found: dict[tuple[int, int], float] = {}
    for pairs, done in _look_alike(prints, still, blank, energy):
        for a, b in pairs.tolist():
            pair = min(a, b), max(a, b)
            score = 0.0 if pair in found else _laid(prints[b], prints[a], still[b], still[a])
            if score > 0:
                found[pair] = score
        if progress is not None:
            progress(done, len(prints))
    return [Copies(a, b, score) for (a, b), score in sorted(found.items())]


def clusters(count: int, pairs: list[Copies]) -> Index:
    """Which videos hang together by copies of copies: int64 `(count,)`, numbered by first appearance."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = (np.array([getattr(pair, end) for pair in pairs], dtype=np.int64) for end in "ab")
    ties = coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count))
    _, parts = connected_components(ties, directed=False)
    _, first, ids = np.unique(parts, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[ids].astype(np.int64)


def compare(print_a: UInt8Array, print_b: UInt8Array) -> float:
    """How alike two videos of the same footage move, 0…1; 0 where they are no copies.

    One is laid over the other where their still parts fit best. The pictures must be alike there, and what
    differs from the still part must go along with the other's over at least half of the shorter video. Where
    nothing moves in either, the pictures alone decide.
    """
    still_a, still_b = (np.median(p, axis=0).astype(np.float32) for p in (print_a, print_b))
    return max(_laid(print_a, print_b, still_a, still_b), _laid(print_b, print_a, still_b, still_a))


def _laid(print_a: UInt8Array, print_b: UInt8Array, still_a: Float32, still_b: Float32) -> float:
    """The same with b laid into a."""
    import cv2

    placed = _place(still_a, still_b)
    alike, top, left, height, width = placed
    a = print_a[:, top : top + height, left : left + width].astype(np.float32).reshape(PICTURES, -1)
    b = np.stack([cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in print_b])
    b = b.astype(np.float32).reshape(PICTURES, -1)
    moves = [x - np.median(x, axis=0) for x in (a, b)]
    if all(float(np.sqrt(np.mean(move**2))) < _NOISE for move in moves):
        return alike if alike >= STILL else 0.0
    table, pictures = _unit(moves[0]) @ _unit(moves[1]).T, _unit(a) @ _unit(b).T
    means = _lines() @ np.stack([table.ravel(), table.T.ravel()], axis=1)
    line, way = np.unravel_index(int(means.argmax()), means.shape)
    score = float(means[line, way])
    alike = max(alike, float(_lines()[line] @ (pictures.T if way else pictures).ravel()))
    return score if score >= MOVES and alike + score / 4 >= LOOKS else 0.0


def _taken_apart(prints: UInt8Array) -> tuple[Float32, FloatArray, NDArray[np.bool_]]:
    """The still part `(N, 32, 32)`, how much moves `(N,)` in grey levels, and which videos show nothing."""
    still = np.empty((len(prints), SIDE, SIDE), np.float32)
    energy = np.empty(len(prints))
    for n, one in enumerate(prints):
        still[n] = np.median(one, axis=0)
        energy[n] = np.sqrt(np.mean((one - still[n]) ** 2))
    contrast = np.maximum(still.std(axis=(1, 2)), prints.reshape(len(prints), -1).std(axis=1))
    return still, energy, contrast < _BLANK


def _look_alike(
    prints: UInt8Array, still: Float32, blank: NDArray[np.bool_], energy: FloatArray
) -> Iterator[tuple[Index, int]]:
    """Pairs `(P, 2)` that pass the first two sieves, the one that lies in the other first, block by block; and at
    how many videos the block ends."""
    spread = _spread(prints, still)
    cuts = [_seen_through(still, spread, cut) for cut in _cut_outs()]
    whole = cuts[0]
    for begin in range(0, len(prints), _BLOCK):
        rows = whole[begin : begin + _BLOCK]
        passed = [np.empty((0, 2), np.int64)]
        for number, cut in enumerate(cuts):
            alike = rows @ cut.T
            a, b = np.nonzero(alike >= _ALIKE)
            alike = alike[a, b]
            a += begin
            good = (a != b) & ~blank[a] & ~blank[b] & ((number > 0) | (a < b))
            a, b, alike = a[good], b[good], alike[good]
            for at in range(0, len(a), _PAIRS_AT_ONCE):
                few = slice(at, at + _PAIRS_AT_ONCE)
                passed.append(_move_alike(prints, energy, a[few], b[few], alike[few], number))
        yield np.unique(np.concatenate(passed), axis=0), min(begin + _BLOCK, len(prints))


def appearance(prints: UInt8Array) -> Float32:
    """What each video looks like and where it moves, float32 `(N, 72)`: a dot product is a likeness, 2 at most."""
    still, _, _ = _taken_apart(prints)
    return _seen_through(still, _spread(prints, still), _cut_outs()[0])


def _spread(prints: UInt8Array, still: Float32) -> Float32:
    """Where things move, `(N, 32, 32)`: the logarithm of each pixel's deviation from the still part."""
    pairs = zip(prints, still, strict=True)
    return np.stack([np.log1p(np.sqrt(np.mean((p - s) ** 2, axis=0))) for p, s in pairs])


def _seen_through(still: Float32, spread: Float32, cut: Float32) -> Float32:
    """Both parts of each video in one cut-out, `(N, 72)`."""
    return np.concatenate([_unit(kind.reshape(len(kind), -1) @ cut.T) for kind in (still, spread)], axis=1)


def _move_alike(
    prints: UInt8Array, energy: FloatArray, a: Index, b: Index, alike: Float32, number: int
) -> Index:
    """Those of the pairs (whole frame of a, cut-out of b) in which the same things move, or nothing."""
    moves = []
    for rows, cut in ((a, _cut_outs()[0]), (b, _cut_outs()[number])):
        of, where = np.unique(rows, return_inverse=True)
        pictures = prints[of].reshape(-1, SIDE * SIDE).astype(np.float32) @ cut.T
        pictures = pictures.reshape(len(of), PICTURES, -1)
        moves.append(_unit(pictures - np.median(pictures, axis=1, keepdims=True))[where])
    score = _along_lines(np.einsum("pid,pjd->pij", *moves, optimize=True))
    both_still = (energy[a] < _NOISE) & (energy[b] < _NOISE)
    same = (score >= _MOVES_ALIKE) & (alike + score / 2 >= _BOTH)
    return np.stack([a, b], axis=1)[same | both_still]


@lru_cache
def _cut_outs() -> list[Float32]:
    """Matrices `(36, 1024)` that take a 32×32 picture to the 6×6 mean picture of a cut-out of it; whole first."""
    lengths = [(0, SIDE), *((start, 27) for start in (0, 2.5, 5))]
    sides = []
    for start, length in lengths:
        edges = start + np.arange(GRID + 1) * length / GRID
        pixel = np.arange(SIDE)
        covered = np.minimum(pixel + 1, edges[1:, None]) - np.maximum(pixel, edges[:-1, None])
        sides.append(np.clip(covered, 0, 1) / (length / GRID))
    return [np.kron(y, x).astype(np.float32) for y in sides for x in sides]


@lru_cache
def _lines() -> Float32:
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
    lines = np.zeros((len(maps), PICTURES, PICTURES))
    line, j = np.indices(place.shape)
    lines[line, before, j] += weight * (1 - on)
    lines[line, before + 1, j] += weight * on
    return lines.reshape(len(maps), -1).astype(np.float32)


def _along_lines(C_PIJ: Float32) -> Float32:
    """The best mean of correlations `(P, 16, 16)` of pictures along any line, either way round: `(P,)`."""
    both = (C.reshape(len(C_PIJ), -1) @ _lines().T for C in (C_PIJ, C_PIJ.swapaxes(1, 2)))
    return np.maximum(*(of.max(axis=1) for of in both))


def _place(a: Float32, b: Float32) -> tuple[float, int, int, int, int]:
    """Where b lies in a: the correlation there, top, left, height, width. Each side of b is taken as two thirds
    of a's or more; first in steps of two pixels, then of one."""
    best = (-1.0, 0, 0, SIDE, SIDE)
    for height in range(SIDE, 20, -2):
        for width in range(SIDE, 20, -2):
            best = max(best, _fit(a, b, height, width))
    _, _, _, height, width = best
    for near_height in range(height - 1, min(height + 1, SIDE) + 1):
        for near_width in range(width - 1, min(width + 1, SIDE) + 1):
            best = max(best, _fit(a, b, near_height, near_width))
    return best


def _fit(a: Float32, b: Float32, height: int, width: int) -> tuple[float, int, int, int, int]:
    """The same for b at one size."""
    import cv2

    scaled = cv2.resize(b, (width, height), interpolation=cv2.INTER_AREA)
    _, alike, _, (left, top) = cv2.minMaxLoc(cv2.matchTemplate(a, scaled, cv2.TM_CCOEFF_NORMED))
    return (float(alike) if np.isfinite(alike) else -1.0), top, left, height, width


def _unit(x: NDArray[np.floating[Any]]) -> Float32:
    """Last axis centred and of length 1; what has no contrast is 0."""
    x = x - x.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.where(length > 1e-3, x / np.maximum(length, 1e-3), 0).astype(np.float32)
