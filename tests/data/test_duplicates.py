"""Copies are found however they were made; what only looks alike is not joined."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from marey.data import laid
from marey.data.duplicates import Copies, clusters, compare, find_copies
from marey.data.fingerprint import PICTURES, SIDE, fingerprint
from marey.video import open_video
from marey.video.synthetic import render_motion, write_video
from tests.shared import SHARED, needs_shared


def print_of(path):
    with open_video(path) as video:
        return fingerprint(video, video.info.end)


def resized(frames, height, width):
    return np.stack([cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in frames])


COPIES = {
    "re-encoded": lambda f: (f, 12.0, 34),
    "scaled": lambda f: (resized(f, 64, 80), 12.0, 23),
    "cropped": lambda f: (f[:, 10:90, 4:84], 12.0, 23),
    "trimmed": lambda f: (f[4:22], 12.0, 23),
    "half the frames": lambda f: (f[::2], 6.0, 23),
    "faster": lambda f: (f, 19.0, 23),
    "dimmer": lambda f: ((f * 0.8 + 10).astype(np.uint8), 12.0, 23),
    "all of it": lambda f: ((resized(f[2:23, 8:92, :84], 72, 72) * 0.9).astype(np.uint8), 15.0, 30),
}


@pytest.fixture(scope="module")
def prints(tmp_path_factory):
    """Six videos, each with every kind of copy: `(N, 16, 32, 32)` and which of the six each shows."""
    folder, made, of = tmp_path_factory.mktemp("copies"), [], []
    for number in range(6):
        frames = render_motion(
            "left", np.random.default_rng([5, number]), size=96, frames=24, fps=12.0
        ).frames
        versions = [(frames, 12.0, 18), *(copy(frames) for copy in COPIES.values())]
        for kind, (pictures, fps, crf) in enumerate(versions):
            path = folder / f"{number}-{kind}.mp4"
            write_video(path, pictures, fps=fps, options={"crf": str(crf), "preset": "veryfast"})
            made.append(print_of(path))
            of.append(number)
    return np.stack(made), np.array(of)


@pytest.mark.parametrize("kind", range(1, len(COPIES) + 1), ids=list(COPIES))
def test_every_kind_of_copy_is_found(prints, kind):
    made, _ = prints
    step = len(COPIES) + 1
    assert all(compare(made[n * step], made[n * step + kind]) > 0 for n in range(6))


def test_recall_and_precision_over_all_pairs(prints):
    made, of = prints
    found = find_copies(made)
    assert all(pair.a < pair.b for pair in found)
    true = sum(of[pair.a] == of[pair.b] for pair in found)
    assert true / len(found) >= 0.95
    assert true / sum(a == b for a, b in itertools.combinations(of, 2)) >= 0.95
    assert len(set(clusters(len(made), found).tolist())) == 6


def test_two_recordings_of_one_fixed_camera_are_told_apart():
    """The same background, the same size of what moves; other movement."""
    rng = np.random.default_rng(3)
    scene = cv2.resize(
        rng.integers(40, 200, (7, 7)).astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )

    def recording(way):
        pictures = np.repeat(scene[None], PICTURES, axis=0)
        for t, (y, x) in enumerate(way):
            pictures[t, y : y + 7, x : x + 5] = 230
        return pictures

    across = [(12, 1 + t) for t in range(PICTURES)]
    down = [(1 + t, 20) for t in range(PICTURES)]
    one, other = recording(across), recording(down)
    assert compare(one, one) > 0.9
    assert compare(one, other) == 0
    assert find_copies(np.stack([one, other])) == []


def test_the_place_is_that_of_matching(prints):
    """All places of all sizes at once, against OpenCV's matching, one size after the other."""
    still = laid.median(prints[0])
    assert np.array_equal(still, np.median(prints[0], axis=1))
    inner, outer = np.array([[0, 3], [3, 0], [5, 5], [7, 2], [10, 40]]).T
    alike, box = laid._places(still, inner, outer)
    for b, a, got, (top, left, height, width) in zip(inner, outer, alike, box.tolist(), strict=True):

        def match(tall, wide, a=a, b=b):
            scaled = cv2.resize(still[b], (wide, tall), interpolation=cv2.INTER_AREA)
            return cv2.matchTemplate(still[a], scaled, cv2.TM_CCOEFF_NORMED)

        coarse = {(h, w): match(h, w).max() for h in range(32, 20, -2) for w in range(32, 20, -2)}
        tall, wide = max(coarse, key=coarse.__getitem__)
        near = [(tall + i, wide + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        best = max(match(h, w).max() for h, w in near if max(h, w) <= SIDE)
        assert got == pytest.approx(best, abs=1e-3)
        assert match(height, width)[top, left] == pytest.approx(best, abs=1e-3)


def test_nothing_to_see_is_no_copy_of_nothing():
    flat = np.full((3, PICTURES, SIDE, SIDE), 7, np.uint8)
    assert find_copies(flat) == []
    assert find_copies(flat[:1]) == []


def test_clusters_hang_together_by_copies_of_copies():
    assert clusters(5, [Copies(1, 3, 1.0), Copies(3, 4, 1.0)]).tolist() == [0, 1, 2, 1, 1]
    assert clusters(3, []).tolist() == [0, 1, 2]


@needs_shared
def test_clips_of_one_surveillance_camera_are_not_joined():
    clips = sorted((SHARED / "data" / "fight" / "clips").glob("*.mp4"))[:40]
    assert find_copies(np.stack([print_of(path) for path in clips])) == []
