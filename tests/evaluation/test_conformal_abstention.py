"""The risk of what is answered: its curve, and the promise of a threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfuse.errors import DataError
from transfuse.evaluation.abstention import fit_abstention, risk_coverage, upper_bound


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 5))
def test_the_curve_is_what_its_definition_says(seed: int, rows: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    sure, wrong = rng.integers(0, levels, rows) / levels, rng.random(rows) < 0.4
    curve = risk_coverage(sure, wrong)
    assert (np.diff(curve.threshold) < 0).all()
    for threshold, coverage, risk in zip(curve.threshold, curve.coverage, curve.risk, strict=True):
        kept = sure >= threshold
        assert coverage == pytest.approx(kept.mean())
        assert risk == pytest.approx(wrong[kept].mean())
    assert curve.coverage[-1] == 1.0
    assert curve.risk[-1] == pytest.approx(wrong.mean())
    per_row = [curve.risk[np.searchsorted(-curve.threshold, -each)] for each in sure]
    assert curve.area == pytest.approx(np.mean(per_row))


def test_the_excess_area_is_0_for_the_best_order_and_positive_else() -> None:
    wrong = np.array([0, 0, 0, 0, 1, 1])
    best = risk_coverage(np.linspace(1, 0.5, 6), wrong)
    assert best.excess == pytest.approx(0.0)
    assert best.area == pytest.approx(np.mean([0, 0, 0, 0, 1 / 5, 2 / 6]))
    assert risk_coverage(np.linspace(0.5, 1, 6), wrong).excess > 0.3
    assert risk_coverage(np.full(6, 0.7), wrong).area == pytest.approx(1 / 3)


@pytest.mark.parametrize(("rows", "risk"), [(1000, 0.15), (4000, 0.06)])
def test_the_risk_is_kept_as_often_as_promised(rows: int, risk: float) -> None:
    rng = np.random.default_rng(rows)
    grid = np.linspace(0.5, 1, 4001)
    broken = found = 0
    answered = []
    for _ in range(400):
        sure = rng.uniform(0.5, 1, rows)
        wrong = rng.random(rows) > sure
        try:
            rule = fit_abstention(sure, wrong, risk, certainty=0.9)
        except DataError:
            continue
        found += 1
        answered.append(rule.coverage)
        true = 1 - grid[grid >= rule.threshold].mean()
        broken += true > risk
        assert rule.bound <= risk
        assert rule.measured <= rule.bound
    # At most a tenth may break the promise, with three standard errors for the simulation.
    assert broken / 400 <= 0.1 + 3 * np.sqrt(0.09 / 400)
    assert found > 350
    # The best threshold answers a share 4 * risk of these rows.
    assert np.mean(answered) > 0.5 * 4 * risk


def test_all_rows_are_answered_where_the_model_is_good_enough() -> None:
    sure = np.random.default_rng(0).random(500)
    rule = fit_abstention(sure, np.zeros(500), 0.05)
    assert rule.threshold == sure.min()
    assert (rule.coverage, rule.measured) == (1.0, 0.0)


def test_what_cannot_be_promised_is_refused_with_what_could() -> None:
    with pytest.raises(DataError, match="cannot be promised on 20 rows") as caught:
        fit_abstention(np.random.default_rng(0).random(20), np.zeros(20), 0.01)
    assert "more rows" in str(caught.value)
    for risk, certainty in ((0.0, 0.9), (1.0, 0.9), (0.1, 1.0)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            fit_abstention([0.5], [0], risk, certainty=certainty)
    with pytest.raises(DataError, match="two arrays"):
        risk_coverage([0.5, 0.6], [1])
    with pytest.raises(DataError, match="not finite"):
        risk_coverage([np.nan], [1])


@pytest.mark.parametrize(("wrong", "rows"), [(0, 10), (3, 40), (40, 40), (7, 900)])
def test_the_bound_is_the_exact_binomial_one(wrong: int, rows: int) -> None:
    from scipy.stats import binom

    bound = upper_bound(wrong, rows, 0.05)
    if wrong == rows:
        assert bound == 1.0
    else:
        assert binom.cdf(wrong, rows, bound) == pytest.approx(0.05)
