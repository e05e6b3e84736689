"""Label efficiency: read off a curve, never beyond it."""

from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.errors import DataError
from transfuse.evaluation import labels_needed

BUDGETS = [50, 200, 1000]


def test_between_two_budgets_the_line_runs_over_the_logarithm():
    assert labels_needed([100, 10_000], [0.6, 0.8], 0.7) == pytest.approx(1000)
    assert labels_needed([100, 10_000], [0.8, 0.6], 0.7, higher_is_better=False) == pytest.approx(
        1000
    )


@pytest.mark.parametrize(
    ("target", "labels"), [(0.5, 50), (0.6, 50), (0.7, 200), (0.8, 1000), (0.801, inf)]
)
def test_at_the_measured_points_and_beyond_them(target, labels):
    assert labels_needed(BUDGETS, [0.6, 0.7, 0.8], target) == pytest.approx(labels)


def test_a_dip_is_levelled_and_not_believed():
    # 0.8 and 0.6 pool to 0.7, reached first at 200.
    assert labels_needed(BUDGETS, [0.5, 0.8, 0.6], 0.7) == pytest.approx(200)
    assert labels_needed(BUDGETS, [0.5, 0.8, 0.6], 0.6) == pytest.approx(sqrt(50 * 200))
    assert labels_needed(BUDGETS, [0.5, 0.8, 0.6], 0.71) == inf


def test_a_flat_stretch_is_reached_at_its_start():
    assert labels_needed([10, 100, 1000], [0.5, 0.7, 0.7], 0.7) == pytest.approx(100)


def test_one_budget_is_a_curve():
    assert labels_needed([100], [0.7], 0.7) == 100
    assert labels_needed([100], [0.7], 0.71) == inf


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
    st.floats(0, 1),
    st.floats(0, 1),
    st.randoms(),
)
def test_a_higher_target_never_needs_fewer_labels_and_order_is_free(scores, one, other, random):
    budgets = [10 * 2**i for i in range(len(scores))]
    pairs = list(zip(budgets, scores, strict=True))
    random.shuffle(pairs)
    shuffled = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    low, high = sorted((one, other))
    assert labels_needed(budgets, scores, low) <= labels_needed(budgets, scores, high) + 1e-6
    assert labels_needed(*shuffled, one) == labels_needed(budgets, scores, one)
    found = labels_needed(budgets, scores, one)
    assert found == inf or budgets[0] <= found <= budgets[-1]


@pytest.mark.parametrize(
    ("budgets", "scores", "target", "message"),
    [
        ([0, 50], [0.5, 0.6], 0.5, "positive"),
        ([50, 50], [0.5, 0.6], 0.5, "once"),
        ([50], [0.5, 0.6], 0.5, "one score for each budget"),
        ([], [], 0.5, "one score for each budget"),
        ([50], [np.nan], 0.5, "finite"),
        ([50], [0.5], np.nan, "finite"),
    ],
)
def test_a_curve_that_is_none_is_refused(budgets, scores, target, message):
    with pytest.raises(DataError, match=message):
        labels_needed(budgets, scores, target)
