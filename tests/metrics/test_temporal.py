from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marey.errors import UnknownNameError, UsageError
from marey.metrics import KINDS, audit, perturb

MASKS = st.lists(st.booleans(), min_size=1, max_size=12)


@given(MASKS, st.sampled_from(KINDS), st.integers(0, 99), st.integers(1, 4))
def test_padding_stays_and_frames_are_only_moved(mask, kind, seed, different):
    mask = np.array(mask)
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, different, (len(mask), 1, 1, 1)) + np.zeros((1, 2, 3, 1), int)
    frames = frames.astype(np.uint8)
    before = frames.copy()
    out = perturb(frames, mask, kind, np.random.default_rng(seed))
    np.testing.assert_array_equal(frames, before)
    assert out.dtype == frames.dtype
    np.testing.assert_array_equal(out[~mask], frames[~mask])
    real, moved = frames[mask], out[mask]
    if kind == "ordered":
        np.testing.assert_array_equal(moved, real)
    elif kind == "reversed":
        np.testing.assert_array_equal(moved, real[::-1])
    elif kind == "frozen" and mask.any():
        assert (moved == real[len(real) // 2]).all()
    elif kind == "shuffled":
        assert sorted(moved[:, 0, 0, 0]) == sorted(real[:, 0, 0, 0])
        if len(np.unique(real)) > 1:
            assert not np.array_equal(moved, real)


def test_shuffling_draws_every_other_order_alike():
    frames, mask = np.arange(3)[:, None], np.ones(3, bool)
    rng = np.random.default_rng(0)
    drawn = [tuple(perturb(frames, mask, "shuffled", rng)[:, 0]) for _ in range(2000)]
    assert (0, 1, 2) not in drawn
    counts = [drawn.count(order) for order in set(drawn)]
    assert len(counts) == 5
    assert min(counts) > 320


def test_shuffling_is_reproducible():
    frames, mask = np.arange(9)[:, None], np.ones(9, bool)
    one, two = (perturb(frames, mask, "shuffled", np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_wrong_calls():
    frames, mask = np.zeros((4, 1)), np.ones(4, bool)
    with pytest.raises(UnknownNameError, match="Did you mean 'reversed'"):
        perturb(frames, mask, "reverse")
    with pytest.raises(UsageError, match="random generator"):
        perturb(frames, mask, "shuffled")
    with pytest.raises(UsageError, match="mask of 3 for 4"):
        perturb(frames, mask[:3], "frozen")
    with pytest.raises(UsageError, match="'frozen'"):
        audit({k: np.zeros((2, 2)) for k in KINDS[:3]}, [0, 1], class_names="ab")


def logits_with(right: np.ndarray, targets: np.ndarray, classes: int, noise: int) -> np.ndarray:
    """Logits that are right exactly where `right` says, else the next class's; different for each `noise`."""
    answer = np.where(right, targets, (targets + 1) % classes)
    return np.eye(classes)[answer] * 3 + np.random.default_rng(noise).random((len(targets), classes))


def made(n=400, classes=8, groups=None, baseline=None, seed=0, **shares):
    """An audit in which the first `share` of a fixed random order is right under each condition."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % classes
    place = rng.permutation(n) / n
    conditions = {k: logits_with(place < shares[k], targets, classes, i) for i, k in enumerate(KINDS)}
    base = None if baseline is None else logits_with(place < baseline, targets, classes, 9)
    names = [f"class {i}" for i in range(classes)]
    return audit(conditions, targets, class_names=names, groups=groups, baseline=base)


def test_uses_order():
    got = made(ordered=0.97, shuffled=0.56, reversed=0.0, frozen=0.125, baseline=0.14)
    assert got["verdict"] == "order"
    assert got["sentence"].startswith(
        "This model uses order: shuffling costs 41 points (95%: 36 to 46), reversing 97 "
    )
    assert (
        "Reversed clips fall below chance (0% against 12.5%): it reads the reverse as another class."
        in got["sentence"]
    )
    assert "frame-averaging baseline reaches 14% on the same clips, 83 points" in got["sentence"]
    assert got["shuffled"]["cost"] == pytest.approx(0.41, abs=0.005)
    low, high = got["shuffled"]["cost_interval"]
    assert 0.35 < low < 0.41 < high < 0.47
    assert got["chance"] == 0.125
    assert got["n"] == 400


def test_perfect_and_thrown_keeps_a_width():
    got = made(ordered=1.0, shuffled=0.0, reversed=0.0, frozen=0.0)
    assert got["verdict"] == "order"
    low, high = got["shuffled"]["cost_interval"]
    assert 0.98 < low < 1 == high
    assert got["baseline"] is None
    assert "baseline" not in got["sentence"]


def test_uses_order_but_reversing_costs_nothing():
    got = made(ordered=0.9, shuffled=0.5, reversed=0.9, frozen=0.2)
    assert "while reversing costs nothing that can be shown" in got["sentence"]
    assert got["verdict"] == "order"


def test_uses_order_shown_by_reversing_alone():
    got = made(ordered=0.9, shuffled=0.9, reversed=0.3, frozen=0.9)
    assert got["sentence"].startswith("This model uses order: reversing costs 60 points")
    assert "though shuffling only 0 (" in got["sentence"]


def test_hardly_uses_order():
    got = made(n=4000, ordered=0.9, shuffled=0.885, reversed=0.885, frozen=0.6)
    assert got["sentence"].startswith("This model hardly uses order: shuffling costs 1.5 points")
    assert got["verdict"] == "order"


def test_uses_order_yet_not_above_the_most_frequent_class():
    n = 200
    targets = (np.arange(n) < 130).astype(int)
    place = np.random.default_rng(0).permutation(n) / n
    shares = {"ordered": 0.6, "shuffled": 0.2, "reversed": 0.2, "frozen": 0.6}
    got = audit(
        {k: logits_with(place < shares[k], targets, 2, i) for i, k in enumerate(KINDS)},
        targets,
        class_names="ab",
    )
    assert got["verdict"] == "order"
    assert (
        "Yet in order it is not clearly better than always answering the most frequent class: 60%"
        in got["sentence"]
    )
    assert got["sentence"].endswith("against 65%.")


def test_several_frames_but_not_their_order():
    got = made(n=2000, ordered=0.8, shuffled=0.8, reversed=0.795, frozen=0.4)
    # 0.5 points of reversing are few, but all one way: the bootstrap shows them
    assert got["verdict"] == "order"
    assert "hardly" in got["sentence"]
    got = made(n=2000, ordered=0.8, shuffled=0.8, reversed=0.8, frozen=0.4)
    assert got["verdict"] == "frames"
    assert got["sentence"].startswith(
        "This model uses several frames but not their order: a frozen frame costs 40 points (95%: 38 to 42), "
        "shuffling costs nothing that can be shown ("
    )


def test_several_frames_order_unknown():
    rng = np.random.default_rng(3)
    n, targets = 60, np.arange(60) % 2
    right = {"ordered": rng.random(n) < 0.9, "shuffled": rng.random(n) < 0.86, "reversed": rng.random(n) < 0.86,
             "frozen": rng.random(n) < 0.3}  # fmt: skip
    got = audit(
        {k: logits_with(right[k], targets, 2, i) for i, k in enumerate(KINDS)}, targets, class_names="ab"
    )
    assert got["verdict"] == "frames-order-unknown"
    assert "whether it uses their order cannot be told from 60 clips: shuffling costs" in got["sentence"]


def test_does_not_use_time():
    n, classes = 2000, 4
    targets = np.arange(n) % classes
    right = np.random.default_rng(0).random(n) < 0.6
    same = logits_with(right, targets, classes, 0)
    frozen = logits_with(right, targets, classes, 1)
    frozen[:5], frozen[5:10] = 0, 0
    rounding = same + 1e-7 * np.random.default_rng(5).normal(size=same.shape)
    got = audit(
        {"ordered": same, "shuffled": rounding, "reversed": same, "frozen": frozen},
        targets,
        class_names="abcd",
    )
    assert got["verdict"] == "single-frame"
    assert got["sentence"].startswith("This model does not use time: a single frame does as well (")
    assert got["sentence"].endswith("and neither shuffling nor reversing changes any answer.")
    assert got["shuffled"]["cost_interval"] == [0, 0]
    assert got["shuffled"]["cost_method"] == "exact: no logit changes"


def test_no_better_than_chance():
    got = made(ordered=0.13, shuffled=0.13, reversed=0.13, frozen=0.13)
    assert got["verdict"] == "no-better-than-chance"
    assert got["sentence"].startswith("This model is not clearly better than chance: 13% (95%: 10")
    assert "against 12.5%, so there is nothing that time could add to" in got["sentence"]


def test_no_better_than_chance_and_exactly_without_order():
    targets = np.arange(80) % 8
    z = logits_with(np.arange(80) < 10, targets, 8, 0)
    got = audit(dict.fromkeys(KINDS, z), targets, class_names="abcdefgh")
    assert got["sentence"].startswith(
        "This model does not use order (no shuffle changes its answer), and it is not clearly"
    )


def test_inconclusive_says_the_numbers():
    rng = np.random.default_rng(1)
    n = 69
    targets = np.arange(n) % 2
    conditions = {
        k: logits_with(rng.random(n) < share, targets, 2, i)
        for i, (k, share) in enumerate(zip(KINDS, (0.75, 0.7, 0.7, 0.68), strict=True))
    }
    got = audit(conditions, targets, class_names="ab", groups=[i // 4 for i in range(n)])
    assert got["verdict"] == "inconclusive"
    assert got["sentence"].startswith("Inconclusive: on 69 clips of 18 groups shuffling costs ")
    assert "more clips are needed to tell" in got["sentence"]
    assert got["shuffled"]["cost_interval"][0] <= 0 < 0.05 < got["shuffled"]["cost_interval"][1]


def test_no_order_but_perhaps_several_frames():
    rng = np.random.default_rng(2)
    n, targets = 60, np.arange(60) % 4
    same = logits_with(rng.random(n) < 0.8, targets, 4, 0)
    frozen = logits_with(rng.random(n) < 0.78, targets, 4, 1)
    got = audit(
        {"ordered": same, "shuffled": same, "reversed": same, "frozen": frozen}, targets, class_names="abcd"
    )
    assert got["verdict"] == "inconclusive"
    assert got["sentence"].startswith(
        "This model does not use order: neither shuffling nor reversing changes any"
    )
    assert "Whether several frames help it cannot be told from 60 clips: freezing costs" in got["sentence"]


def test_a_baseline_that_does_as_well_or_better():
    got = made(ordered=0.8, shuffled=0.2, reversed=0.2, frozen=0.2, baseline=0.8)
    assert (
        "A frame-averaging baseline reaches 80% on the same clips: the difference of 0 points ("
        in got["sentence"]
    )
    assert got["sentence"].endswith("may be none.")
    got = made(ordered=0.5, shuffled=0.2, reversed=0.2, frozen=0.2, baseline=0.8)
    assert "30 points (" in got["sentence"]
    assert got["sentence"].endswith(" more.")


def test_multi_label_is_hit_at_one():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (200, 5))
    y[np.arange(200), rng.integers(0, 5, 200)] = 1
    good, bad = y + rng.random(y.shape) * 0.5, rng.random(y.shape)
    got = audit(
        {"ordered": good, "shuffled": bad, "reversed": bad, "frozen": bad},
        y, class_names="abcde", multi_label=True,
    )  # fmt: skip
    assert got["ordered"]["top1"] == 1
    assert got["chance"] == pytest.approx(y.mean())
    assert got["verdict"] == "order"
