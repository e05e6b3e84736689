"""Canonical correlation analysis: against known answers, and under what must not matter."""

import numpy as np
import pytest

from transfuse.errors import DataError
from transfuse.evaluation.canonical import canonical


def views(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two views with two things in common among noise of their own."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(rows, 2))
    first = np.concatenate([common, rng.normal(size=(rows, 3))], 1) @ rng.normal(size=(5, 5))
    second = np.concatenate([common[:, ::-1], rng.normal(size=(rows, 2))], 1)
    return first, second @ rng.normal(size=(4, 4))


def test_it_finds_what_two_views_have_in_common() -> None:
    first, second = views()
    found = canonical(first, second, 4, (0.0, 0.0), 0.0)
    assert found.correlations[:2] == pytest.approx([1.0, 1.0], abs=1e-6)
    assert found.correlations[2:].max() < 0.3
    a = (first - found.first_mean) @ found.first
    b = (second - found.second_mean) @ found.second
    assert np.allclose(a[:, :2], b[:, :2], atol=1e-6)
    # Canonical variates have variance 1 and are uncorrelated.
    assert np.allclose(a.T @ a / len(a), np.eye(4), atol=1e-6)


def test_moving_and_stretching_a_view_changes_nothing_without_shrinkage() -> None:
    first, second = views()
    rng = np.random.default_rng(3)
    plain = canonical(first, second, 3, (0.0, 0.0), 1.0)
    moved = canonical(first @ rng.normal(size=(5, 5)) + 7, second, 3, (0.0, 0.0), 1.0)
    assert np.allclose(plain.correlations, moved.correlations, atol=1e-6)


def test_the_scale_of_a_view_changes_nothing_with_shrinkage() -> None:
    first, second = views()
    plain = canonical(first, second, 3, (0.5, None), 1.0)
    scaled = canonical(1000 * first, second, 3, (0.5, None), 1.0)
    assert np.allclose(plain.correlations, scaled.correlations, rtol=1e-6)


def test_directions_that_are_not_there_are_0() -> None:
    first, second = views()
    found = canonical(first, second, 9, (0.1, 0.1), 1.0)
    assert found.first.shape == (5, 9)
    assert found.second.shape == (4, 9)
    assert not found.first[:, 4:].any()
    assert np.isfinite(found.first).all()


def test_more_features_than_rows_and_a_constant_view_are_borne() -> None:
    rng = np.random.default_rng(0)
    found = canonical(rng.normal(size=(6, 20)), rng.normal(size=(6, 10)), 3, (0.5, 0.5), 1.0)
    assert np.isfinite(found.first).all()
    constant = canonical(np.ones((6, 4)), rng.normal(size=(6, 3)), 2, (0.5, 0.5), 1.0)
    assert np.isfinite(constant.first).all()
    assert constant.correlations.max() == pytest.approx(0)


def test_views_of_other_rows_are_refused() -> None:
    first, second = views()
    with pytest.raises(DataError, match="399 rows"):
        canonical(first, second[1:], 2, (0.1, 0.1), 1.0)
