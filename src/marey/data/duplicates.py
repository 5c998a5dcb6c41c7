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

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from marey.data.fingerprint import PICTURES, SIDE
from marey.data.laid import NOISE, laid_into, lines, median, unit
from marey.data.origin import Index
from marey.types import FloatArray, UInt8Array

Float32 = NDArray[np.float32]

GRID = 6
_ALIKE = 1.55  # sum of two correlations; 99% of copies lie above, cropped and trimmed by up to a quarter
_BOTH = 1.93  # that sum + half of how alike they move at 6×6; 98.5% of copies lie above
_MOVES_ALIKE = 0.30  # at 6×6; two clips of one camera lie below 0.25 in 99 of 100 pairs
_BLANK = 2.0  # grey levels of contrast; below, there is no picture to compare
_BLOCK = 2048
_FEW = 256
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
    still, spread, energy, blank = _taken_apart(prints)
    pairs = _look_alike(prints, still, spread, blank, energy, progress)
    found: dict[tuple[int, int], float] = {}
    scores = laid_into(prints, still, pairs[:, 0], pairs[:, 1])
    for (a, b), score in zip(pairs.tolist(), scores.tolist(), strict=True):
        if score > 0:
            found.setdefault((min(a, b), max(a, b)), score)
    if progress is not None:
        progress(len(prints), len(prints))
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
    prints = np.stack([print_a, print_b])
    still = median(prints)
    return float(laid_into(prints, still, np.array([1, 0]), np.array([0, 1])).max())


def _taken_apart(prints: UInt8Array) -> tuple[Float32, Float32, FloatArray, NDArray[np.bool_]]:
    """The still part `(N, 32, 32)`; where things move, `(N, 32, 32)`: the logarithm of each pixel's deviation from
    it; how much moves `(N,)` in grey levels; and which videos show nothing."""
    still = median(prints)
    spread = np.empty_like(still)
    energy = np.empty(len(prints))
    for begin in range(0, len(prints), _FEW):
        few = slice(begin, begin + _FEW)
        moved = np.mean((prints[few] - still[few, None]) ** 2, axis=1)
        energy[few] = np.sqrt(moved.mean(axis=(1, 2), dtype=np.float64))
        spread[few] = np.log1p(np.sqrt(moved))
    blank = still.std(axis=(1, 2)) < _BLANK
    blank[blank] = prints[blank].std(axis=(1, 2, 3)) < _BLANK
    return still, spread, energy, blank


def _look_alike(
    prints: UInt8Array,
    still: Float32,
    spread: Float32,
    blank: NDArray[np.bool_],
    energy: FloatArray,
    progress: Callable[[int, int], None] | None,
) -> Index:
    """Pairs `(P, 2)` that pass the first two sieves, the one that lies in the other first."""
    cuts = [_seen_through(still, spread, cut) for cut in _cut_outs()]
    whole = cuts[0]
    moves = _moves(prints, _cut_outs()[0])
    passed = [np.empty((0, 2), np.int64)]
    for number, cut in enumerate(cuts):
        others = moves if number == 0 else _moves(prints, _cut_outs()[number])
        for begin in range(0, len(prints), _BLOCK):
            alike = (whole[begin : begin + _BLOCK] @ cut.T).ravel()
            place = np.flatnonzero(alike >= _ALIKE)
            a, b = np.divmod(place, len(prints))
            a += begin
            good = (a != b) & ~blank[a] & ~blank[b] & ((number > 0) | (a < b))
            a, b, alike = a[good], b[good], alike[place[good]]
            for at in range(0, len(a), _PAIRS_AT_ONCE):
                few = slice(at, at + _PAIRS_AT_ONCE)
                score = _along_lines(moves[a[few]] @ others[b[few]].swapaxes(1, 2))
                both_still = (energy[a[few]] < NOISE) & (energy[b[few]] < NOISE)
                same = (score >= _MOVES_ALIKE) & (alike[few] + score / 2 >= _BOTH)
                passed.append(np.stack([a[few], b[few]], axis=1)[same | both_still])
        if progress is not None:
            progress(len(prints) * (number + 1) // (2 * len(cuts)), len(prints))
    return np.unique(np.concatenate(passed), axis=0)


def appearance(prints: UInt8Array) -> Float32:
    """What each video looks like and where it moves, float32 `(N, 72)`: a dot product is a likeness, 2 at most."""
    still, spread, _, _ = _taken_apart(prints)
    return _seen_through(still, spread, _cut_outs()[0])


def _seen_through(still: Float32, spread: Float32, cut: Float32) -> Float32:
    """Both parts of each video in one cut-out, `(N, 72)`."""
    return np.concatenate([unit(kind.reshape(len(kind), -1) @ cut.T) for kind in (still, spread)], axis=1)


def _moves(prints: UInt8Array, cut: Float32) -> Float32:
    """What moves in a cut-out of each video, picture by picture: `(N, 16, 36)`, each of length 1."""
    made = np.empty((len(prints), PICTURES, GRID**2), np.float32)
    for begin in range(0, len(prints), _FEW):
        few = slice(begin, begin + _FEW)
        pictures = (prints[few].reshape(-1, SIDE * SIDE).astype(np.float32) @ cut.T).reshape(made[few].shape)
        made[few] = unit(pictures - median(pictures)[:, None])
    return made


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


def _along_lines(C_PIJ: Float32) -> Float32:
    """The best mean of correlations `(P, 16, 16)` of pictures along any line, either way round: `(P,)`."""
    both = (C.reshape(len(C_PIJ), -1) @ lines().T for C in (C_PIJ, C_PIJ.swapaxes(1, 2)))
    return np.maximum(*(of.max(axis=1) for of in both))
