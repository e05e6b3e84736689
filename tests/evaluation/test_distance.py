"""Distances between domains: zero for equals, growing with the gap, no NaN, no leak of groups."""

import numpy as np
import pytest

from transfuse.errors import DataError
from transfuse.evaluation import coral_distance, domain_distances, mmd, proxy_a_distance

ALL = {"proxy_a_distance": proxy_a_distance, "mmd": mmd, "coral": coral_distance}


def normal(seed, rows, width=8, mean=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(mean, scale, size=(rows, width))


def test_proxy_a_distance_runs_from_nothing_to_two():
    same = proxy_a_distance(normal(0, 600), normal(1, 400))
    some = proxy_a_distance(normal(0, 600), normal(1, 400, mean=0.3))
    whole = proxy_a_distance(normal(0, 600), normal(1, 400, mean=10.0))
    assert same < 0.25
    assert 0.3 < some < 1.8
    assert whole == 2.0


def test_proxy_a_distance_does_not_take_documents_for_domains():
    # Documents differ, domains do not: a classifier that saw the document knows its domain.
    rng = np.random.default_rng(0)
    documents = np.repeat(np.arange(20), 15)
    sides = [
        3 * rng.normal(size=(20, 64))[documents] + rng.normal(size=(300, 64)) for _ in range(2)
    ]
    alone = proxy_a_distance(*sides)
    grouped = proxy_a_distance(*sides, source_groups=documents, target_groups=list(documents))
    assert alone > 1.5
    assert grouped < 0.6


def test_proxy_a_distance_of_unequal_sizes_is_not_the_share_of_the_larger():
    assert proxy_a_distance(normal(0, 1000), normal(1, 50)) < 0.5


def test_the_unbiased_mmd_is_zero_on_average_for_one_distribution():
    # The biased estimate reads 0.06 here at every draw.
    values = [mmd(normal(2 * i, 32), normal(2 * i + 1, 32)) for i in range(100)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0 < max(values)
    assert error < 0.002


def test_mmd_grows_with_the_gap_and_takes_different_sizes():
    gaps = [mmd(normal(0, 200), normal(1, 77, mean=mean)) for mean in (0.0, 0.5, 1.0, 3.0)]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 0.5


def test_mmd_equals_its_definition():
    a, b = normal(0, 7, width=3), normal(1, 5, width=3, mean=1.0)
    rows = np.concatenate([a, b])
    square = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    width = np.median([square[i, j] for i in range(12) for j in range(12) if i != j])
    kernel = np.mean([np.exp(-square / (s * width)) for s in (0.25, 0.5, 1, 2, 4)], axis=0)
    within_a = np.mean([kernel[i, j] for i in range(7) for j in range(7) if i != j])
    within_b = np.mean([kernel[i, j] for i in range(7, 12) for j in range(7, 12) if i != j])
    expected = within_a + within_b - 2 * kernel[:7, 7:].mean()
    assert mmd(a, b) == pytest.approx(expected)


def test_zeros_on_the_diagonal_do_not_count_in_the_median():
    # Two rows a side: 6 pairs and 4 zeros. Counting the zeros would move the width.
    a, b = np.array([[0.0], [1.0]]), np.array([[2.0], [4.0]])
    squares = np.array([1.0, 4.0, 16.0, 1.0, 9.0, 4.0])
    width = np.median(squares)

    def kernel(square):
        return np.mean([np.exp(-square / (s * width)) for s in (0.25, 0.5, 1, 2, 4)])

    cross = np.mean([kernel(square) for square in (4.0, 16.0, 1.0, 9.0)])
    assert mmd(a, b) == pytest.approx(kernel(1.0) + kernel(4.0) - 2 * cross)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e6, 0.1])
def test_collapsed_features_are_no_distance(value):
    same = np.full((10, 4), value)
    for name, found in domain_distances(same, same[:6]).items():
        assert found == pytest.approx(0.0, abs=1e-12), name


def test_features_collapsed_up_to_float32_rounding_are_no_distance():
    noise = np.random.default_rng(0).normal(scale=1e-8, size=(40, 4))
    same = (np.full((40, 4), 0.3) + noise).astype(np.float32)
    assert mmd(same[:20], same[20:]) == 0.0


def test_two_collapsed_domains_are_far_apart():
    a, b = np.zeros((10, 4)), np.ones((6, 4))
    assert proxy_a_distance(a, b) == 2.0
    assert mmd(a, b) > 1
    # Nearly all rows coincide, so that the median distance is 0.
    assert np.isfinite(mmd(a, np.concatenate([a[:5], b[:1]])))


def test_a_common_shift_far_from_the_origin_changes_nothing():
    a, b = normal(0, 50), normal(1, 60, mean=0.5)
    for name, distance in ALL.items():
        assert distance(a + 1e4, b + 1e4) == pytest.approx(distance(a, b), rel=1e-6), name


def test_coral_is_the_covariance_term_alone():
    a, b = normal(0, 300, width=5), normal(1, 200, width=5, scale=2.0)
    gap = np.cov(a, rowvar=False) - np.cov(b, rowvar=False)
    assert coral_distance(a, b) == pytest.approx((gap**2).sum() / (4 * 25))
    assert coral_distance(a, a + 7.0) == pytest.approx(0.0, abs=1e-20)
    assert coral_distance(a[:, :1], b[:, :1]) == pytest.approx(gap[0, 0] ** 2 / 4)


def test_the_same_seed_gives_the_same_number_and_inputs_stay():
    a, b = normal(0, 300), normal(1, 300, mean=0.2)
    before = a.copy(), b.copy()
    small = {"max_rows": 100, "seed": 3}
    assert mmd(a, b, **small) == mmd(a, b, **small)
    assert proxy_a_distance(a, b, **small) == proxy_a_distance(a, b, **small)
    assert mmd(a, b, **small) != mmd(a, b, max_rows=100, seed=4)
    assert (a == before[0]).all()
    assert (b == before[1]).all()


@pytest.mark.parametrize("distance", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (np.ones((1, 2)), np.ones((5, 2)), "source: 1 rows"),
        (np.ones((5, 2)), np.ones((5, 3)), "target: 3 features"),
        (np.ones(5), np.ones((5, 3)), "source: shape"),
        (np.ones((2, 2)), np.array([[1.0, 2.0], [np.nan, 0.0]]), "target: row 1 is not finite"),
    ],
)
def test_features_that_cannot_be_compared_are_refused(distance, source, target, message):
    with pytest.raises(DataError, match=message):
        distance(source, target)


def test_groups_must_fit_the_rows():
    a, b = normal(0, 6), normal(1, 6)
    with pytest.raises(DataError, match="all rows belong to one group"):
        proxy_a_distance(a, b, source_groups=["x"] * 6)
    with pytest.raises(DataError, match="5 groups for 6 rows"):
        proxy_a_distance(a, b, target_groups=range(5))
