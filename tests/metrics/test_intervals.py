from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from marey.errors import UsageError
from marey.metrics import judge
from marey.metrics.intervals import Resampling, bootstrap, paired_difference, wilson


@given(st.integers(1, 5000), st.data())
def test_wilson_agrees_with_scipy(n, data):
    k = data.draw(st.integers(0, n))
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    low, high = wilson(k, n)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= k / n <= high <= 1


def test_wilson_of_nothing_is_the_whole_range():
    assert wilson(0, 0) == (0, 1)


def test_alone_is_wilson_and_groups_are_bootstrap():
    hits = np.arange(100) % 4 > 0
    alone = Resampling.of(100).proportion(hits)
    assert alone.method == "95%, Wilson"
    assert Resampling.of(100, list(range(100))).proportion(hits) == alone
    grouped = Resampling.of(100, [i // 5 for i in range(100)]).proportion(hits)
    assert grouped.method == "95%, cluster bootstrap by group, 2000 draws"


def test_a_missing_group_stands_alone():
    made = Resampling.of(5, ["a", None, "a", "", None])
    assert made.groups == 4
    assert made.codes.tolist() == [0, 1, 0, 2, 3]


def test_groups_that_rise_and_fall_together_widen_the_interval():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 50)
    hits = (rng.random(20) < 0.6)[groups]  # whole groups right or wrong
    wide = Resampling.of(1000, groups).proportion(hits)
    narrow = Resampling.of(1000).proportion(hits)
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)


def test_cluster_bootstrap_matches_the_plain_loop():
    rng = np.random.default_rng(5)
    groups = rng.integers(0, 12, 200)
    values = rng.normal(size=200).clip(-1, 1)
    made = Resampling.of(200, groups, draws=300, seed=9)
    looped = []
    for weights in made.weights():
        for w in weights:
            chosen = np.concatenate(
                [np.repeat(values[made.codes == g], int(w[g])) for g in range(made.groups)]
            )
            looped.append(chosen.mean())
    interval = made.mean(values, low=-1, high=1)
    assert interval.pair() == pytest.approx(np.quantile(looped, [0.025, 0.975]).tolist())
    totals = made.totals((groups % 3, 3, values), (np.where(values > 0, 0, -1), 1, None))
    by_weight = bootstrap(
        made, lambda w: np.stack([(w * values)[:, groups % 3 == c].sum(axis=1) for c in range(3)], 1)
    )
    np.testing.assert_allclose(totals[0], by_weight)
    np.testing.assert_allclose(totals[1][:, 0], bootstrap(made, lambda w: w[:, values > 0].sum(axis=1)))
    columns = np.stack([values * (groups % 3 == c) for c in range(3)], axis=1)
    np.testing.assert_allclose(made.column_totals(columns), by_weight)


def test_every_resample_draws_as_many_groups_as_there_are():
    made = Resampling.of(10, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], draws=50)
    weights = np.concatenate(list(made.weights()))
    assert weights.shape == (50, 5)
    assert (weights.sum(axis=1) == 5).all()
    np.testing.assert_array_equal(weights, np.concatenate(list(made.weights())))


def test_coverage_of_the_cluster_bootstrap():
    """Of 300 worlds with 40 groups, the 95% interval holds the true share in most; the naive one in far fewer."""
    rng = np.random.default_rng(1)
    held = naive = 0
    for world in range(300):
        rate = rng.beta(2, 1, 40)
        groups = np.repeat(np.arange(40), 20)
        hits = rng.random(800) < rate[groups]
        interval = Resampling.of(800, groups, draws=400, seed=world).proportion(hits)
        held += interval.low <= 2 / 3 <= interval.high
        low, high = wilson(hits.sum(), 800)
        naive += low <= 2 / 3 <= high
    assert held / 300 > 0.89
    assert naive / 300 < 0.75


def test_all_right_keeps_a_width_by_groups():
    interval = Resampling.of(60, [i // 10 for i in range(60)]).proportion(np.ones(60))
    assert interval.high == 1
    assert interval.low == pytest.approx(wilson(6, 6)[0])
    assert "6 groups" in interval.method
    got = judge(
        np.eye(3)[[0, 1, 2] * 20], [0, 1, 2] * 20, class_names="abc", groups=[i // 10 for i in range(60)]
    )
    for name in ("top1", "macro_f1", "mean_class_accuracy"):
        assert got["intervals"][name] == pytest.approx([wilson(6, 6)[0], 1])


def test_one_group_gives_the_whole_range():
    interval = Resampling.of(30, ["x"] * 30).proportion(np.arange(30) % 2)
    assert interval.pair() == [0, 1]
    assert "one group only" in interval.method


def test_wrong_number_of_groups():
    with pytest.raises(UsageError, match="3 groups for 4 samples"):
        Resampling.of(4, [1, 2, 3])


def test_pairing_sees_what_two_intervals_do_not():
    rng = np.random.default_rng(0)
    b = rng.random(200) < 0.5
    a = b.copy()
    a[np.flatnonzero(~b)[:14]] = True  # 14 more right, none lost
    made = Resampling.of(200)
    difference, interval = paired_difference(a, b, made)
    assert difference == pytest.approx(0.07)
    assert interval.low > 0
    assert made.proportion(a).low < made.proportion(b).high


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 6)), min_size=1, max_size=60))
def test_paired_difference_is_antisymmetric_and_holds_its_estimate(rows):
    a, b, groups = (np.array(x) for x in zip(*rows, strict=True))
    made = Resampling.of(len(a), groups, draws=200)
    d, there = paired_difference(a, b, made)
    e, back = paired_difference(b, a, made)
    assert d == pytest.approx(-e)
    assert there.low <= d <= there.high
    assert there.low >= -1
    assert there.high <= 1
    if made.groups > 1 and np.ptp(a.astype(int) - b) == 0:
        assert there.high - there.low > 0
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-9)


def test_a_hundred_thousand_samples_take_seconds():
    """Not a time: the loop over draws in Python would not end within the suite."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 30, 100_000)
    z = rng.normal(size=(100_000, 30)).astype(np.float32)
    z[np.arange(len(y)), y] += 2
    got = judge(z, y, class_names=[str(i) for i in range(30)], groups=rng.integers(0, 5000, len(y)))
    low, high = got["intervals"]["top1"]
    assert low < got["top1"] < high < low + 0.02


def test_a_class_of_two_samples_has_a_wide_interval():
    """What bears on a class is the samples that hold it, however many others there are."""
    y = np.array([0, 0, *[1] * 300])
    guess = np.array([0, 0, *[1] * 300])
    for groups in (None, [i // 2 for i in range(2, 304)], [0, 1, *[2 + i // 3 for i in range(300)]]):
        row = judge(np.eye(2)[guess], y, class_names="ab", groups=groups)["per_class"][0]
        for key in ("precision", "recall", "f1"):
            low, high = row[f"{key}_interval"]
            assert low < 0.5
            assert high == 1
    one_group = judge(np.eye(2)[guess], y, class_names="ab", groups=[0, 0, *range(1, 301)])["per_class"][0]
    assert one_group["recall_interval"] == [0, 1]


def test_support_counts_groups_by_class():
    made = Resampling.of(6, ["a", "a", "b", "b", "c", "c"])
    holds = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0]], bool)
    assert made.support(holds).tolist() == [2, 2, 0]
