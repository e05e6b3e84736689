"""Prediction sets and intervals cover as often as promised, whatever the model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from transfuse.errors import DataError
from transfuse.evaluation.conformal import Conformal, SetMethod, fit_conformal, fit_interval

METHODS: tuple[SetMethod, ...] = ("lac", "aps", "raps")


def rows(
    rng: np.random.Generator, count: int, classes: int, sharpness: float = 2.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities of a model that is too sure of itself, and labels."""
    logits = rng.normal(size=(count, classes))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (true.cumsum(1) < rng.random((count, 1))).sum(1).clip(max=classes - 1)
    told = np.exp(sharpness * logits)
    return told / told.sum(1, keepdims=True), labels


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("classes", "alpha"), [(2, 0.1), (3, 0.3), (12, 0.05), (40, 0.2)])
def test_coverage_lies_between_the_finite_sample_bounds(
    method: SetMethod, classes: int, alpha: float
) -> None:
    rng = np.random.default_rng(classes)
    held, tested, draws = 99, 200, 300
    covered = []
    for _ in range(draws):
        rule = fit_conformal(*rows(rng, held, classes), alpha, method, empty=True)
        scores, labels = rows(rng, tested, classes)
        covered.append(rule.sets(scores)[np.arange(tested), labels].mean())
    mean, error = np.mean(covered), np.std(covered) / np.sqrt(draws)
    assert 1 - alpha - 4 * error <= mean
    # The least probable class always has a mass of 1; such ties can only raise the coverage.
    if method == "lac" or classes > 3:
        assert mean <= 1 - alpha + 1 / (held + 1) + 4 * error


@pytest.mark.parametrize("method", METHODS)
def test_sets_are_never_empty_unless_asked(method: SetMethod) -> None:
    rng = np.random.default_rng(0)
    scores, labels = rows(rng, 300, 4, sharpness=6.0)
    full = fit_conformal(scores, labels, 0.6, method)
    sets = full.sets(scores)
    assert sets.any(axis=1).all()
    assert sets[np.arange(300), scores.argmax(1)].all()
    bare = fit_conformal(scores, labels, 0.6, method, empty=True).sets(scores)
    assert not bare.any(axis=1).all()
    assert not (bare & ~sets).any()


def test_the_promise_holds_for_each_class_when_asked() -> None:
    rng = np.random.default_rng(1)

    def skewed(count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        # The second class is rare and hard, which a promise over all rows may forget.
        labels = (rng.random(count) < 0.15).astype(np.int64)
        share = 1 / (1 + np.exp(-rng.normal(np.where(labels == 1, -0.3, -2.0), 1.0)))
        return np.stack([1 - share, share], axis=1), labels

    hidden, apart = [], []
    for _ in range(150):
        held, tested = skewed(600), skewed(600)
        rare = tested[1] == 1
        for by_class, found in ((False, hidden), (True, apart)):
            sets = fit_conformal(*held, 0.1, by_class=by_class).sets(tested[0])
            found.append(sets[rare, 1].mean())
    assert np.mean(hidden) < 0.8
    error = np.std(apart) / np.sqrt(len(apart))
    assert 0.9 - 4 * error <= np.mean(apart) <= 0.94


def test_a_class_with_too_few_rows_is_in_every_set() -> None:
    scores, labels = rows(np.random.default_rng(2), 200, 3)
    rare = np.flatnonzero(labels == 2)[4:]
    kept = np.setdiff1d(np.arange(200), rare)
    rule = fit_conformal(scores[kept], labels[kept], 0.1, by_class=True)
    assert rule.thresholds[2] == np.inf
    assert rule.sets(scores)[:, 2].all()
    assert np.isfinite(rule.thresholds[:2]).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 9),
    st.integers(1, 60),
    st.sampled_from(METHODS),
    st.floats(0.02, 0.9),
)
def test_properties_of_sets(
    seed: int, classes: int, held: int, method: SetMethod, alpha: float
) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rows(rng, held, classes)
    rule = fit_conformal(scores, labels, alpha, method)
    fresh, _ = rows(rng, 20, classes)
    sets = rule.sets(fresh)
    # The held-out rows themselves are covered at least as often as promised.
    covered = rule.sets(scores)[np.arange(held), labels].mean()
    assert covered >= min(1.0, np.ceil((held + 1) * (1 - alpha) - 1e-9) / held) - 1e-12
    if (held + 1) * (1 - alpha) > held + 1e-9:
        assert sets.all()
    # A set holds every class that is more probable than one it holds.
    order = np.argsort(-fresh, axis=1, kind="stable")
    along = np.take_along_axis(sets, order, axis=1)
    assert (along[:, 1:] <= along[:, :-1]).all()
    # A stronger promise takes no class away.
    wider = fit_conformal(scores, labels, alpha / 2, method).sets(fresh)
    assert not (sets & ~wider).any()
    # A row's set does not depend on the rows beside it.
    assert (rule.sets(fresh[:1]) == sets[:1]).all()


def test_aps_spends_its_classes_on_hard_rows() -> None:
    rng = np.random.default_rng(3)
    scores, labels = rows(rng, 4000, 10, sharpness=1.0)
    fresh, true = rows(rng, 4000, 10, sharpness=1.0)
    hard = fresh.max(1) < np.quantile(fresh.max(1), 0.2)

    def covered(method: SetMethod) -> float:
        sets = fit_conformal(scores, labels, 0.1, method).sets(fresh)
        return float(sets[np.flatnonzero(hard), true[hard]].mean())

    assert abs(covered("aps") - 0.9) < abs(covered("lac") - 0.9)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5])
def test_intervals_cover_as_promised(alpha: float) -> None:
    rng = np.random.default_rng(4)
    covered = []
    for _ in range(400):
        held = rng.normal(size=(79, 1))
        rule = fit_interval(held, held[:, 0] + rng.standard_t(3, 79), alpha)
        fresh = rng.normal(size=50)
        ends = rule.bounds(fresh)
        truth = fresh + rng.standard_t(3, 50)
        covered.append(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean())
    error = np.std(covered) / 20
    assert 1 - alpha - 4 * error <= np.mean(covered) <= 1 - alpha + 1 / 80 + 4 * error
    assert fit_interval([1.0, 2.0], [1.5, 2.5], 0.1).radius == np.inf


def test_what_cannot_be_is_refused() -> None:
    scores, labels = rows(np.random.default_rng(5), 30, 3)
    for alpha in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="alpha"):
            fit_conformal(scores, labels, alpha)
        with pytest.raises(ValueError, match="alpha"):
            fit_interval(scores[:, 0], labels, alpha)
    with pytest.raises(ValueError, match="one of lac"):
        fit_conformal(scores, labels, 0.1, "best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 0"):
        Conformal(np.ones(3), 0.1, penalty=-1.0)
    with pytest.raises(DataError, match=r"shape \(30, 2\)"):
        fit_conformal(scores, labels).sets(scores[:, :2])
    with pytest.raises(DataError, match="sums to"):
        fit_conformal(scores * 2 / 3, labels)
