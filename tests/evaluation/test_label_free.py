"""Criteria without labels: their extremes, their estimates by simulation, what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.errors import DataError
from transfuse.evaluation import (
    LABEL_FREE,
    density_ratio,
    entropy,
    importance_weighted_risk,
    information_maximisation,
    regret,
)


def softmax(seed: int, rows: int = 30, classes: int = 4, sharpness: float = 1.0) -> np.ndarray:
    logits = sharpness * np.random.default_rng(seed).normal(size=(rows, classes))
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True)


def test_one_answer_for_all_rows_is_sure_but_says_nothing() -> None:
    # The known trap of selecting by entropy: a collapsed model has the least.
    collapsed = np.tile([1.0, 0.0, 0.0], (9, 1))
    sure = np.eye(3)[np.arange(9) % 3]
    assert entropy(collapsed) == entropy(sure) == 0.0
    assert information_maximisation(collapsed) == 0.0
    assert information_maximisation(sure) == pytest.approx(np.log(3))


def test_undecided_predictions_have_the_greatest_entropy_and_no_information() -> None:
    equal = np.full((5, 4), 0.25)
    assert entropy(equal) == pytest.approx(np.log(4))
    assert information_maximisation(equal) == pytest.approx(0.0, abs=1e-12)


@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(0.0, 20.0))
def test_information_and_entropy_stay_within_their_bounds(
    seed: int, classes: int, sharpness: float
) -> None:
    shares = softmax(seed, 12, classes, sharpness)
    most = np.log(classes) + 1e-9
    assert 0 <= entropy(shares) <= most
    assert 0 <= information_maximisation(shares) <= most - entropy(shares) + 1e-9
    order = np.random.default_rng(seed).permutation(classes)
    assert information_maximisation(shares[:, order]) == pytest.approx(
        information_maximisation(shares), abs=1e-12
    )


def test_a_confident_probability_of_zero_is_no_nan() -> None:
    assert entropy(np.array([[1.0, 0.0], [0.5, 0.5]])) == pytest.approx(np.log(2) / 2)


def test_weights_turn_the_source_risk_into_the_target_risk() -> None:
    # Loss x² under N(0, 1) has mean 1; under the target N(1, 1) it has mean 2.
    x = np.random.default_rng(0).normal(size=20_000)
    weights = np.exp(x - 0.5)
    assert importance_weighted_risk(x**2, np.ones_like(x)) == pytest.approx(1.0, abs=0.05)
    assert importance_weighted_risk(x**2, weights) == pytest.approx(2.0, abs=0.15)
    assert importance_weighted_risk(x**2, weights, control_variate=True) == pytest.approx(
        2.0, abs=0.15
    )


def test_the_control_variate_reduces_the_variance_of_the_plain_weighted_mean() -> None:
    plain, controlled = [], []
    for seed in range(200):
        x = np.random.default_rng(seed).normal(size=200)
        weights, losses = np.exp(x - 0.5), 1.0 + 0.1 * x**2
        plain.append((weights * losses).mean())
        controlled.append(importance_weighted_risk(losses, weights, control_variate=True))
    assert np.std(controlled) < 0.5 * np.std(plain)
    assert np.mean(controlled) == pytest.approx(1.2, abs=0.03)


def test_the_scale_of_the_weights_does_not_matter_to_the_self_normalised_risk() -> None:
    losses, weights = np.array([1.0, 2.0, 4.0]), np.array([0.2, 0.3, 0.5])
    expected = importance_weighted_risk(losses, weights)
    assert importance_weighted_risk(losses, 1e-6 * weights) == pytest.approx(expected)
    assert importance_weighted_risk(losses, np.ones(3), control_variate=True) == pytest.approx(
        7 / 3
    )


def test_the_ratio_is_one_between_equal_domains_and_follows_the_true_one() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(2000, 2))
    same, moved = rng.normal(size=(500, 2)), rng.normal([1.0, 0.0], 1.0, size=(500, 2))
    # Four times as many source rows are no more likely rows.
    assert density_ratio(source, same, strength=1.0).mean() == pytest.approx(1.0, abs=0.1)
    ratio = density_ratio(source, moved, strength=1.0)
    assert np.corrcoef(np.log(ratio), source[:, 0] - 0.5)[0, 1] > 0.98
    assert ratio.mean() == pytest.approx(1.0, abs=0.2)


def test_no_row_is_judged_by_a_classifier_that_was_fitted_on_it() -> None:
    # More columns than rows: a classifier knows the rows that it has seen by heart.
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(60, 200)), rng.normal(size=(60, 200))
    ratio = density_ratio(source, target, strength=100.0)
    assert np.median(ratio) > 0.05


def test_the_ratio_is_seeded_and_leaves_its_inputs_alone() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(50, 3)), rng.normal(size=(40, 3))
    before = source.copy(), target.copy()
    assert np.array_equal(density_ratio(source, target, 1), density_ratio(source, target, 1))
    assert not np.array_equal(density_ratio(source, target, 1), density_ratio(source, target, 2))
    assert np.array_equal(source, before[0])
    assert np.array_equal(target, before[1])


@pytest.mark.parametrize("value", [0.0, 1e6])
def test_the_ratio_of_far_or_constant_domains_is_finite(value: float) -> None:
    source, target = np.zeros((8, 3)), np.full((6, 3), value)
    ratio = density_ratio(source, target)
    assert np.isfinite(ratio).all()
    assert (ratio > 0).all()


def test_regret_is_what_the_selection_lost() -> None:
    assert regret(0.7, [0.5, 0.7, 0.9]) == pytest.approx(0.2)
    assert regret(0.9, [0.5, 0.7, 0.9]) == 0.0
    assert regret(0.7, [0.5, 0.7], higher_is_better=False) == pytest.approx(0.2)
    with pytest.raises(DataError, match="there are none"):
        regret(0.5, [])
    with pytest.raises(DataError, match="not finite"):
        regret(float("nan"), [0.5])


def test_every_criterion_prefers_the_better_model_in_its_own_direction() -> None:
    sure, unsure = softmax(0, sharpness=10.0), softmax(0, sharpness=0.1)
    evidence = [
        {"probabilities": shares, "source_losses": losses, "weights": np.ones(3)}
        for shares, losses in ((sure, np.full(3, 0.1)), (unsure, np.full(3, 2.0)))
    ]
    for name, criterion in LABEL_FREE.items():
        assert criterion.name == name
        good, bad = (
            criterion.measure(**{part: each[part] for part in criterion.reads}) for each in evidence
        )
        assert good > bad if criterion.higher_is_better else good < bad


@pytest.mark.parametrize(
    ("losses", "weights", "message"),
    [
        ([1.0, 2.0], [1.0], "1 weights for 2 losses"),
        ([1.0, np.nan], [1.0, 1.0], "source_losses: row 1 is not finite"),
        ([1.0, 2.0], [0.0, 0.0], "all 0"),
        ([1.0, 2.0], [2.0, -1.0], "negative"),
        ([], [], "0 rows"),
    ],
)
def test_a_risk_without_meaning_is_refused(losses: list, weights: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        importance_weighted_risk(losses, weights)


def test_what_is_no_probability_or_no_pair_of_domains_is_refused() -> None:
    for criterion in (entropy, information_maximisation):
        with pytest.raises(DataError, match="sums to"):
            criterion(np.array([[0.9, 0.9]]))
        with pytest.raises(DataError, match="no rows"):
            criterion(np.empty((0, 2)))
    with pytest.raises(DataError, match="target: 3 features"):
        density_ratio(np.ones((5, 2)), np.ones((5, 3)))
