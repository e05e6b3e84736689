"""Weights on the simplex: the least loss there is, by the conditions that a least loss meets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from transfuse.fusion.answers.simplex import TOLERANCE, least_log_loss, least_squares

TRUTHS = st.integers(1, 5).flatmap(
    lambda members: arrays(np.float64, (20, members), elements=st.floats(1e-6, 1.0))
)


def log_loss(truths: np.ndarray, weights: np.ndarray) -> float:
    return float(-np.log(truths @ weights).mean())


@given(TRUTHS)
def test_the_log_loss_meets_the_conditions_of_a_least_one(truths: np.ndarray) -> None:
    weights, gap = least_log_loss(truths)
    members = truths.shape[1]
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()
    assert gap <= TOLERANCE
    # Karush, Kuhn and Tucker: no member would gain weight, and those that have any are level.
    slopes = (truths / (truths @ weights)[:, None]).mean(axis=0)
    assert slopes.max() <= 1 + TOLERANCE * 1.01
    assert (weights * (1 - slopes)).sum() == pytest.approx(0, abs=1e-9)
    found = log_loss(truths, weights)
    for other in (*np.eye(members), np.full(members, 1 / members)):
        assert found <= log_loss(truths, other) + TOLERANCE


@given(TRUTHS, st.randoms(use_true_random=False))
def test_the_order_of_members_changes_nothing(truths: np.ndarray, random: object) -> None:
    order = np.random.default_rng(random.randint(0, 2**31)).permutation(truths.shape[1])
    one, other = least_log_loss(truths)[0], least_log_loss(truths[:, order])[0]
    assert log_loss(truths, one) == pytest.approx(
        log_loss(truths[:, order], other), abs=2 * TOLERANCE
    )


@given(
    arrays(np.float64, (15, 3), elements=st.floats(-10, 10)),
    arrays(np.float64, 15, elements=st.floats(-10, 10)),
)
def test_squares_are_as_small_as_another_solver_makes_them(
    values: np.ndarray, targets: np.ndarray
) -> None:
    targets = targets + np.linspace(-1, 1, 15)
    if targets.std() < 0.1:
        targets = np.linspace(-1, 1, 15)

    def loss(weights: np.ndarray) -> float:
        return float(((values @ weights - targets) ** 2).mean() / targets.var())

    weights, gap = least_squares(values, targets)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()
    assert gap <= TOLERANCE
    other = minimize(
        loss,
        np.full(3, 1 / 3),
        method="SLSQP",
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
    )
    inside = np.clip(other.x, 0, 1)
    assert loss(weights) <= loss(inside / inside.sum()) + 2 * TOLERANCE
    for single in np.eye(3):
        assert loss(weights) <= loss(single) + TOLERANCE


def test_a_useless_member_gets_exactly_nothing_and_twins_are_one() -> None:
    rng = np.random.default_rng(0)
    good = rng.uniform(0.5, 1.0, size=200)
    weights, _ = least_log_loss(np.stack([good, good * 0.5, good], axis=1))
    assert weights[1] == 0.0
    truths = rng.uniform(0.1, 1.0, size=(500, 2))
    two, _ = least_log_loss(truths)
    three, _ = least_log_loss(truths[:, [0, 1, 1]])
    np.testing.assert_allclose([three[0], three[1:].sum()], two, atol=1e-3)


def test_nearly_the_same_members_are_solved_in_time() -> None:
    rng = np.random.default_rng(1)
    common = rng.uniform(0.05, 0.95, size=(1000, 1))
    truths = np.clip(common + rng.normal(scale=0.01, size=(1000, 12)), 1e-6, 1.0)
    weights, gap = least_log_loss(truths)
    assert gap <= TOLERANCE
    assert (weights >= 0).all()
