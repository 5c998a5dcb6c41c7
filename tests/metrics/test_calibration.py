from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from marey.metrics import calibration as cal
from marey.metrics import judge


def test_probabilities_agree_with_scipy_and_do_not_overflow():
    z = np.random.default_rng(0).normal(size=(50, 7)) * 30
    np.testing.assert_allclose(cal.probabilities(z, temperature=2.5), softmax(z / 2.5, axis=1))
    np.testing.assert_allclose(
        cal.probabilities(z, temperature=0.1, multi_label=True), expit(z / 0.1), atol=1e-300
    )
    assert np.isfinite(cal.probabilities([[1e5, -1e5]])).all()


def test_ece_by_hand():
    # two bins of fifteen are hit: 0.9 (2 of 4 right), 0.6 (1 of 1 right)
    confidence, outcome = [0.9, 0.9, 0.9, 0.9, 0.6], [1, 1, 0, 0, 1]
    assert cal.expected_calibration_error(confidence, outcome) == pytest.approx(0.8 * 0.4 + 0.2 * 0.4)
    curve = cal.reliability_curve(confidence, outcome)
    assert [(row["n"], row["accuracy"]) for row in curve] == [(1, 1.0), (4, 0.5)]


def test_bins_are_closed_above_and_the_first_holds_zero():
    assert cal.bin_of([0, 0.1, 0.2, 0.21, 0.8, 0.81, 1], 5).tolist() == [0, 0, 0, 1, 3, 4, 4]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80), st.integers(1, 20))
def test_ece_is_the_weighted_gap_of_its_curve(rows, bins):
    c, y = (np.array(x, dtype=float) for x in zip(*rows, strict=True))
    curve = cal.reliability_curve(c, y, bins=bins)
    assert sum(row["n"] for row in curve) == len(c)
    gap = sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in curve) / len(c)
    error = cal.expected_calibration_error(c, y, bins=bins)
    assert error == pytest.approx(gap, abs=1e-12)
    assert 0 <= error <= 1
    for row in curve:
        assert row["low"] - 1e-12 <= row["confidence"] <= row["high"] + 1e-12


def test_curve_agrees_with_scikit_learn():
    rng = np.random.default_rng(1)
    c = rng.random(500)
    y = rng.random(500) < c
    accuracy, confidence = calibration_curve(y, c, n_bins=15)
    curve = cal.reliability_curve(c, y)
    np.testing.assert_allclose([row["accuracy"] for row in curve], accuracy)
    np.testing.assert_allclose([row["confidence"] for row in curve], confidence)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("true_temperature", [0.3, 1.0, 4.0])
def test_temperature_is_found_and_agrees_with_scipy(multi_label, true_temperature):
    rng = np.random.default_rng(2)
    z = rng.normal(size=(4000, 5)) * 2
    p = cal.probabilities(z, multi_label=multi_label)
    if multi_label:
        y = (rng.random(p.shape) < p).astype(float)
    else:
        y = (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1)
    z = z * true_temperature  # too sure, or not sure enough
    found = cal.fit_temperature(z, y, multi_label=multi_label)
    assert found == pytest.approx(true_temperature, rel=0.1)
    loss = lambda t: cal.negative_log_likelihood(z, y, temperature=t, multi_label=multi_label)  # noqa: E731
    assert found == pytest.approx(minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x, rel=1e-3)
    before, after = (cal.probabilities(z, temperature=t, multi_label=multi_label) for t in (1, found))
    if true_temperature != 1:
        error = [
            cal.expected_calibration_error(*cal.confidence_and_outcome(x, y, multi_label=multi_label))
            for x in (before, after)
        ]
        assert error[1] < error[0] / 2


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(2, 6), st.integers(0, 10_000), st.booleans())
def test_no_temperature_beats_the_fitted_one(n, k, seed, multi_label):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * rng.choice([0.1, 1, 20])
    y = rng.integers(0, 2, (n, k)) if multi_label else rng.integers(0, k, n)
    found = cal.fit_temperature(z, y, multi_label=multi_label)
    assert 0.05 <= found <= 20
    best = cal.negative_log_likelihood(z, y, temperature=found, multi_label=multi_label)
    for t in np.geomspace(0.05, 20, 41):
        assert best <= cal.negative_log_likelihood(z, y, temperature=t, multi_label=multi_label) + 1e-7


def test_nll_agrees_with_scikit_learn():
    rng = np.random.default_rng(3)
    z, y = rng.normal(size=(80, 4)), rng.integers(0, 4, 80)
    assert cal.negative_log_likelihood(z, y) == pytest.approx(
        log_loss(y, softmax(z, axis=1), labels=range(4))
    )
    w = rng.integers(0, 2, (80, 4))
    expected = np.mean([log_loss(w[:, k], expit(z[:, k]), labels=[0, 1]) for k in range(4)])
    assert cal.negative_log_likelihood(z, w, multi_label=True) == pytest.approx(expected)


def test_temperatures_without_a_minimum():
    assert cal.fit_temperature(np.zeros((0, 3)), []) == 1
    assert cal.fit_temperature(np.zeros((5, 3)), [0] * 5) == 1
    assert cal.fit_temperature(np.eye(3) * 5, [0, 1, 2]) == 0.05  # all right: the surer the better
    assert cal.fit_temperature(np.eye(3) * 5, [1, 2, 0]) == 20  # all wrong: the less sure the better


def test_a_temperature_for_each_sample():
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=(6, 3)), np.array([1, 2, 3, 1, 2, 3.0])
    for multi_label in (False, True):
        together = cal.probabilities(z, temperature=t, multi_label=multi_label)
        one_by_one = [
            cal.probabilities(z[i : i + 1], temperature=t[i], multi_label=multi_label)[0] for i in range(6)
        ]
        np.testing.assert_allclose(together, one_by_one)
    got = judge(z, [0, 1, 2, 0, 1, 2], class_names="abc", temperature=t)
    assert got["temperature"] == 2
    plain = judge(z, [0, 1, 2, 0, 1, 2], class_names="abc")
    assert got["ece_before_calibration"] == plain["ece"]
    assert got["ece"] != plain["ece"]
