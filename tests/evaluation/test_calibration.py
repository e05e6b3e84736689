"""Reliability bins and temperature scaling: known answers and promises that could break."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from transfuse.evaluation import (
    METRICS,
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability,
)

seeds = st.integers(0, 2**32 - 1)


def drawn(seed, rows, classes=3, temperature=1.0):
    """Labels drawn from softmax(logits), and probabilities that are off by a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2.0, size=(rows, classes))
    true = softmax(logits, axis=1)
    labels = (rng.random((rows, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(0, classes - 1)
    return softmax(logits * temperature, axis=1), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature):
    probabilities, labels = drawn(0, 20_000, temperature=temperature)
    assert fit_temperature(probabilities, labels) == pytest.approx(temperature, rel=0.04)


def test_scaling_undoes_overconfidence():
    probabilities, labels = drawn(1, 10_000, temperature=4.0)
    scaled = apply_temperature(probabilities, fit_temperature(probabilities, labels))
    assert expected_calibration_error(probabilities, labels) > 0.1
    assert expected_calibration_error(scaled, labels) < 0.02


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 30), st.integers(1, 4), st.sampled_from([0.1, 1.0, 10.0, 200.0]))
def test_fitting_never_raises_the_log_loss_of_its_own_rows(seed, rows, classes, temperature):
    rng = np.random.default_rng(seed)
    probabilities = softmax(rng.normal(size=(rows, classes)) * temperature, axis=1)
    labels = rng.integers(classes, size=rows)
    found = fit_temperature(probabilities, labels)
    assert 0.05 <= found <= 20.0001
    before = METRICS["log_loss"](probabilities, labels)
    after = METRICS["log_loss"](apply_temperature(probabilities, found), labels)
    assert after <= before + 1e-9


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0.05, 20.0))
def test_scaling_keeps_the_decision_and_the_sum(seed, temperature):
    probabilities, _ = drawn(seed, 20)
    scaled = apply_temperature(probabilities, temperature)
    assert scaled.sum(axis=1) == pytest.approx(np.ones(20))
    assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()


def test_scaling_probabilities_is_scaling_logits():
    logits = np.random.default_rng(0).normal(size=(10, 4))
    scaled = apply_temperature(softmax(logits, axis=1), 2.5)
    assert scaled == pytest.approx(softmax(logits / 2.5, axis=1))
    assert apply_temperature(scaled, 1.0) == pytest.approx(scaled)


def test_validation_rows_that_are_all_right_leave_probabilities_alone():
    # Every smaller temperature would look better, without end.
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]])
    assert fit_temperature(probabilities, [0, 1]) == 1.0
    assert fit_temperature(probabilities[:1], [0]) == 1.0
    assert fit_temperature(np.ones((5, 1)), np.zeros(5, dtype=int)) == 1.0


def test_validation_rows_that_are_all_wrong_flatten_to_the_bound():
    assert fit_temperature([[0.9, 0.1]] * 5, [1] * 5) == pytest.approx(20.0)


def test_certainty_that_is_wrong_stays_finite():
    probabilities, labels = np.eye(2)[[0, 0, 1, 1]], np.array([0, 1, 1, 1])
    found = fit_temperature(probabilities, labels)
    assert found > 1
    assert np.isfinite(apply_temperature(probabilities, found)).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_a_senseless_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="positive finite temperature"):
        apply_temperature([[0.5, 0.5]], temperature)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 60), st.integers(1, 20))
def test_reliability_equals_a_loop_over_bins(seed, rows, bins):
    probabilities, labels = drawn(seed, rows)
    # Some confidences exactly on an edge: they belong to the bin below.
    probabilities[0] = [1.0, 0.0, 0.0]
    curve = reliability(probabilities, labels, bins)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    error = 0.0
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        assert curve.share[number] == pytest.approx(inside.mean())
        if inside.any():
            assert curve.confidence[number] == pytest.approx(confidence[inside].mean())
            assert curve.accuracy[number] == pytest.approx(right[inside].mean())
            error += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
        else:
            assert np.isnan(curve.confidence[number])
            assert np.isnan(curve.accuracy[number])
    assert curve.error == pytest.approx(error)


def test_the_metric_and_the_curve_are_one_number():
    probabilities, labels = drawn(5, 300)
    assert METRICS["ece"](probabilities, labels) == pytest.approx(
        expected_calibration_error(probabilities, labels), abs=1e-12
    )


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="at least 1 bin"):
        reliability([[0.5, 0.5]], [0], bins=0)
