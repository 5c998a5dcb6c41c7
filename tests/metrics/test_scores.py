"""Parity with scikit-learn, and what holds for any predictions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from marey.errors import DataError, UsageError
from marey.metrics import average_precision as ap
from marey.metrics import judge, scores


@st.composite
def predictions(draw, multi_label=False):
    """Logits with many ties (small integers), and targets."""
    n, k = draw(st.integers(1, 40)), draw(st.integers(2, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    z = rng.integers(-3, 4, size=(n, k)).astype(float)
    if draw(st.booleans()):
        z += rng.normal(size=(n, k))
    y = rng.integers(0, 2, size=(n, k)) if multi_label else rng.integers(0, k, size=n)
    return z, y


@given(predictions())
def test_counts_agree_with_scikit_learn(case):
    z, y = case
    k, guess = z.shape[1], z.argmax(axis=1)
    np.testing.assert_array_equal(
        scores.confusion_matrix(y, guess, k), sk.confusion_matrix(y, guess, labels=range(k))
    )
    assert scores.macro_f1(y, guess, k) == pytest.approx(
        sk.f1_score(y, guess, average="macro", zero_division=0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are predicted but not in the truth; one class only
        assert scores.mean_class_accuracy(y, guess, k) == pytest.approx(sk.balanced_accuracy_score(y, guess))
    assert scores.top_k_accuracy(z, y, 1) == pytest.approx(sk.accuracy_score(y, guess))


@settings(max_examples=40)
@given(predictions())
def test_judge_per_class_agrees_with_scikit_learn(case):
    z, y = case
    k = z.shape[1]
    got = judge(z, y, class_names=[f"c{i}" for i in range(k)])
    precision, recall, f1, n = sk.precision_recall_fscore_support(
        y, z.argmax(axis=1), labels=range(k), zero_division=0
    )
    for i, row in enumerate(got["per_class"]):
        assert row["n"] == n[i]
        assert (row["precision"] or 0) == pytest.approx(precision[i])
        assert (row["recall"] or 0) == pytest.approx(recall[i])
        assert (row["f1"] or 0) == pytest.approx(f1[i])
        assert (row["recall"] is None) == (n[i] == 0)
    assert got["top1"] == pytest.approx(scores.top_k_accuracy(z, y))
    assert sum(map(sum, got["confusion"])) == len(y)


def test_top_k_agrees_with_scikit_learn_without_ties():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(300, 9)), rng.integers(0, 9, 300)
    for k in (1, 2, 5):
        assert scores.top_k_accuracy(z, y, k) == pytest.approx(
            sk.top_k_accuracy_score(y, z, k=k, labels=range(9))
        )


@given(predictions())
def test_top_k_grows_with_k_and_ties_break_as_argmax(case):
    z, y = case
    k = z.shape[1]
    values = [scores.top_k_accuracy(z, y, i) for i in range(1, k + 1)]
    assert values == sorted(values)
    assert values[-1] == 1
    np.testing.assert_array_equal(scores.rank_of_truth(z, y) == 0, z.argmax(axis=1) == y)
    # Rank k is what a stable sort by falling logit says
    order = np.argsort(-z, axis=1, kind="stable")
    np.testing.assert_array_equal(scores.rank_of_truth(z, y), (order == y[:, None]).argmax(axis=1))


@given(predictions(multi_label=True))
def test_average_precision_agrees_with_scikit_learn(case):
    z, y = case
    each = ap.average_precisions(z, y)
    for i in range(z.shape[1]):
        if y[:, i].any():
            assert each[i] == pytest.approx(sk.average_precision_score(y[:, i], z[:, i]))
        else:
            assert np.isnan(each[i])


@settings(max_examples=30)
@given(predictions(multi_label=True), st.integers(0, 1000))
def test_weighted_average_precision_agrees_with_scikit_learn(case, seed):
    z, y = case
    w = np.random.default_rng(seed).integers(0, 4, size=(5, len(z))).astype(float)
    for i in range(z.shape[1]):
        got = ap.RankedClass(z[:, i], y[:, i] > 0).average_precision(w)
        for r in range(5):
            if (w[r] * y[:, i]).sum() == 0:
                assert np.isnan(got[r])
            else:
                assert got[r] == pytest.approx(
                    sk.average_precision_score(y[:, i], z[:, i], sample_weight=w[r])
                )


def test_multi_label_map_is_the_mean_over_classes_with_positives():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, size=(60, 6))
    y[:, 4] = 0
    z = rng.normal(size=y.shape) + 1.5 * y
    got = judge(z, y, class_names="abcdef", multi_label=True)
    kept = [0, 1, 2, 3, 5]
    assert got["map"] == pytest.approx(sk.average_precision_score(y[:, kept], z[:, kept], average="macro"))
    assert got["per_class"][4]["ap"] is None
    assert "1 of 6 classes have no sample" in got["definitions"]["map"]
    guess = z >= 0
    assert got["macro_f1"] == pytest.approx(sk.f1_score(y, guess, average="macro", zero_division=0))
    assert got["mean_class_accuracy"] is None
    assert got["confusion"] is None
    low, high = got["intervals"]["map"]
    assert low < got["map"] < high
    best = z.argmax(axis=1)
    assert got["top1"] == pytest.approx(y[np.arange(60), best].mean())
    assert got["chance"] == pytest.approx(y.mean())


def test_a_class_missing_from_the_samples_is_left_out_and_said():
    z = np.eye(3)[[0, 1, 0, 1, 1]]
    got = judge(z, [0, 1, 0, 1, 0], class_names=["a", "b", "c"])
    assert got["mean_class_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert "1 of 3 classes have no sample" in got["definitions"]["mean_class_accuracy"]
    assert got["per_class"][2] == {
        "class": "c", "n": 0, "predicted": 0, "precision": None, "recall": None, "f1": None, "ap": None
    }  # fmt: skip
    assert got["top5"] is None
    assert "more than 5 classes" in got["definitions"]["top5"]


def test_one_sample():
    got = judge([[2.0, 1.0]], [0], class_names=["a", "b"])
    assert got["top1"] == 1
    assert got["intervals"]["top1"][0] == pytest.approx(1 / (1 + 1.959963984540054**2))
    assert got["intervals"]["macro_f1"] == [0, 1]
    assert "one group" in got["interval_methods"]["macro_f1"]


def test_the_entry_is_plain_json():
    import json

    rng = np.random.default_rng(0)
    for multi in (False, True):
        y = rng.integers(0, 2, (20, 6)) if multi else rng.integers(0, 5, 20)
        got = judge(
            rng.normal(size=(20, 6)),
            y,
            class_names="abcdef",
            multi_label=multi,
            groups=[i // 3 for i in range(20)],
        )
        json.dumps(got, allow_nan=False)
        assert got["groups"] == 7
        assert set(got["intervals"]) == set(got["interval_methods"])
        for name in got["intervals"]:
            low, high = got["intervals"][name]
            assert low <= got[name] <= high


@pytest.mark.parametrize(
    ("logits", "targets", "error", "said"),
    [
        (np.zeros((0, 2)), [], DataError, "no sample"),
        ([[0.0, np.nan]], [0], DataError, "NaN"),
        ([[0.0, 1.0]], [2], DataError, "2 classes"),
        ([[0.0, 1.0, 2.0]], [0], UsageError, "2 classes"),
        ([[0.0, 1.0]], [[0, 1]], UsageError, "single-label"),
    ],
)
def test_what_does_not_fit_is_said(logits, targets, error, said):
    with pytest.raises(error, match=said):
        judge(logits, targets, class_names=["a", "b"])


def test_chance_and_majority():
    assert scores.chance_level([0, 0, 0, 1], 4) == 0.25
    assert scores.majority_share([0, 0, 0, 1], 4) == 0.75
    y = np.array([[1, 1, 0], [1, 0, 0]])
    assert scores.chance_level(y, 3, multi_label=True) == pytest.approx(1.5 / 3)
    assert scores.majority_share(y, 3, multi_label=True) == 1


@settings(max_examples=20)
@given(predictions(), st.floats(0.1, 10))
def test_temperature_changes_no_decision(case, temperature):
    z, y = case
    names = [str(i) for i in range(z.shape[1])]
    plain, warm = judge(z, y, class_names=names), judge(z, y, class_names=names, temperature=temperature)
    for key in ("top1", "mean_class_accuracy", "macro_f1", "confusion", "intervals"):
        if key == "intervals":
            assert plain[key]["top1"] == warm[key]["top1"]
            assert plain[key]["ece_before_calibration"] == warm[key]["ece_before_calibration"]
        else:
            assert plain[key] == warm[key]
    assert plain["ece"] == plain["ece_before_calibration"] == warm["ece_before_calibration"]
