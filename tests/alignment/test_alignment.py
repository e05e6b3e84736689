"""Alignments: what each makes equal, what each leaves alone, and that nothing degenerate is NaN."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from transfuse.alignment import (
    ALIGNMENTS,
    Alignment,
    Coral,
    Discriminator,
    Kliep,
    LinearOT,
    Subspace,
)
from transfuse.errors import DataError

ALL = pytest.mark.parametrize("method", [kind() for kind in ALIGNMENTS.values()], ids=ALIGNMENTS)
MAPS = pytest.mark.parametrize(
    "method", [Coral(), LinearOT(), Subspace()], ids=["coral", "linear_ot", "subspace"]
)
WEIGHTS = pytest.mark.parametrize(
    "method",
    [Kliep(flatten=1.0), Discriminator(strength=1.0, flatten=1.0)],
    ids=["kliep", "discriminator"],
)


def gaussian(seed: int, rows: int, width: int = 4, mean: float = 0.0) -> np.ndarray:
    """Rows with a random full covariance."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, width)) @ rng.normal(size=(width, width)) + mean


def closeness(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


@ALL
def test_features_keep_their_shape_and_weights_their_mean(method: Alignment) -> None:
    source, target = gaussian(0, 60), gaussian(1, 45, mean=1.0)
    before = source.copy(), target.copy()
    aligned = method.align(source, target, seed=0)
    assert aligned.source.shape == source.shape
    assert aligned.source.dtype == aligned.weights.dtype == np.float32
    assert aligned.weights.shape == (60,)
    assert (aligned.weights >= 0).all()
    assert aligned.weights.mean() == pytest.approx(1.0, rel=1e-5)
    assert np.array_equal(source, before[0])
    assert np.array_equal(target, before[1])


@ALL
def test_the_same_seed_gives_the_same_answer(method: Alignment) -> None:
    source, target = gaussian(0, 60), gaussian(1, 300, mean=0.5)
    first, again = (method.align(source, target, seed=3) for _ in range(2))
    assert np.array_equal(first.source, again.source)
    assert np.array_equal(first.weights, again.weights)


@ALL
def test_two_samples_of_one_distribution_are_hardly_changed(method: Alignment) -> None:
    rows = gaussian(0, 3000)
    aligned = method.align(rows[:1500], rows[1500:], seed=0)
    if not isinstance(method, Subspace):
        assert np.abs(aligned.source - rows[:1500]).mean() < 0.2 * rows.std()
    assert aligned.weights.std() < 0.3


@given(st.integers(0, 1000), st.integers(1, 5), st.floats(0.01, 100.0))
def test_coral_and_transport_give_the_target_s_mean_and_covariance(
    seed: int, width: int, scale: float
) -> None:
    source = gaussian(seed, 40, width)
    target = scale * gaussian(seed + 1, 50, width, mean=2.0)
    for method in (Coral(shrinkage=0.0), LinearOT(shrinkage=0.0)):
        moved = method.align(source, target, seed=0).source.astype(np.float64)
        spread = np.cov(moved, rowvar=False, bias=True).reshape(width, width)
        goal = np.cov(target, rowvar=False, bias=True).reshape(width, width)
        assert closeness(spread, goal) < 1e-3
        assert np.allclose(moved.mean(axis=0), target.mean(axis=0), atol=1e-4 * scale * 10)


def test_the_transport_map_is_the_closed_form_in_one_dimension_and_the_shortest() -> None:
    source, target = gaussian(0, 50, 1), 3.0 + 2.0 * gaussian(1, 70, 1)
    moved = LinearOT(shrinkage=0.0).align(source, target, 0).source
    expected = target.mean() + (source - source.mean()) * target.std() / source.std()
    assert closeness(moved, expected) < 1e-5
    # Both give the same Gaussian; the transport moves the rows less on the way.
    source, target = gaussian(2, 200), gaussian(3, 200)
    lengths = [
        np.square(method(shrinkage=0.0).align(source, target, 0).source - source).sum()
        for method in (LinearOT, Coral)
    ]
    assert lengths[0] < lengths[1]


def test_coral_may_leave_the_mean() -> None:
    source, target = gaussian(0, 40), gaussian(1, 40, mean=5.0)
    moved = Coral(mean=False).align(source, target, 0).source
    assert np.allclose(moved.mean(axis=0), source.mean(axis=0), atol=1e-4)


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_the_unit_of_the_features_does_not_matter(seed: int, scale: float) -> None:
    # A constant added to the covariance would mean something else in every unit.
    source, target = gaussian(seed, 30, 3), gaussian(seed + 1, 25, 3, mean=1.0)
    for kind in (Coral, LinearOT, Subspace, Kliep):
        plain = kind().align(source, target, 0)
        scaled = kind().align(scale * source, scale * target, 0)
        assert closeness(scaled.source, scale * plain.source) < 1e-3
        assert np.allclose(scaled.weights, plain.weights, rtol=1e-2, atol=1e-3)


def test_subspace_puts_the_source_into_the_target_s_axes() -> None:
    rng = np.random.default_rng(0)
    # The source lives on the first two axes, the target on the last two.
    source, target = np.zeros((50, 4)), np.zeros((60, 4))
    source[:, :2] = rng.normal(size=(50, 2)) * [3.0, 1.0]
    target[:, 1:3] = rng.normal(size=(60, 2)) * [2.0, 1.0] + 5.0
    moved = Subspace(dimensions=2).align(source, target, 0).source
    assert np.allclose(moved[:, [0, 3]], 0.0, atol=1e-5)
    _, lengths, _ = np.linalg.svd(moved - moved.mean(axis=0))
    assert (lengths > 1e-4 * lengths[0]).sum() <= 2
    # Where the two already share their axes, nothing turns.
    same = Subspace(dimensions=4).align(source, source, 0).source
    assert closeness(same, source) < 1e-5


@pytest.mark.parametrize("method", [Coral(), LinearOT(), Subspace(dimensions=2)])
def test_a_head_fitted_on_the_aligned_source_answers_for_plain_target_rows(
    method: Alignment,
) -> None:
    # The target is the source, stretched and moved; labels go with it.
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    rows = rng.normal(size=(400, 2)) * [1.0, 0.3] + np.outer(labels * 2 - 1, [1.5, 0.0])
    source, known = rows[:200], labels[:200]
    target, asked = rows[200:] * [1.0, 4.0] + [4.0, -3.0], labels[200:]
    plain = LogisticRegression().fit(source, known).score(target, asked)
    aligned = method.align(source, target, 0)
    head = LogisticRegression().fit(aligned.source, known, sample_weight=aligned.weights)
    assert plain < 0.7
    assert head.score(target, asked) > 0.9


@WEIGHTS
def test_weights_follow_the_true_ratio_of_densities(method: Alignment) -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(800, 2)), rng.normal([0.8, 0.0], 1.0, size=(800, 2))
    aligned = method.align(source, target, 0)
    true = np.exp(0.8 * source[:, 0] - 0.32)
    assert np.array_equal(aligned.source, source.astype(np.float32))
    assert np.corrcoef(aligned.weights, true)[0, 1] > 0.8
    # The weighted source has about the target's mean.
    assert (aligned.weights @ source / 800)[0] == pytest.approx(0.8, abs=0.25)


@pytest.mark.parametrize("kind", [Kliep, Discriminator])
def test_flatter_weights_keep_their_order_and_none_at_all_are_equal(kind: type) -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(200, 2)), rng.normal(0.8, 1.0, size=(100, 2))
    full, half, none = (
        kind(flatten=share).align(source, target, 0).weights.astype(np.float64)
        for share in (1.0, 0.5, 0.0)
    )
    assert np.allclose(half, np.sqrt(full) / np.sqrt(full).mean(), rtol=1e-3)
    assert np.allclose(none, 1.0)


def test_kliep_beats_every_other_mixture_of_its_kernels() -> None:
    # Optimality itself: no step towards any single kernel raises the likelihood.
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(80, 2)), rng.normal(0.7, 0.6, size=(30, 2))
    method = Kliep(centres=30, width=0.7, flatten=1.0)
    own = np.square(target[:, None] - target[None]).sum(axis=2)
    near = np.square(source[:, None] - target[None]).sum(axis=2)
    unit = 2 * 0.7**2 * np.median(own[own > 0])
    near, own = np.exp(-near / unit), np.exp(-own / unit)
    weights = method.align(source, target, 0).weights.astype(np.float64)
    shares = np.linalg.lstsq(near, weights, rcond=None)[0]
    assert np.allclose(near @ shares, weights, atol=1e-4), "a mixture of these kernels"
    slopes = (own / near.mean(axis=0) / (own @ shares)[:, None]).mean(axis=0)
    assert slopes.max() < 1.02


@pytest.mark.parametrize("clip", [1.0, 1.5, 5.0])
def test_no_weight_of_the_discriminator_is_above_its_bound(clip: float) -> None:
    # A cut at a multiple of the plain mean, taken before the mean is 1 again, leaves far more.
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(300, 2)), rng.normal(3.0, 0.1, size=(300, 2))
    free = Discriminator(10.0, clip=1e9, flatten=1.0).align(source, target, 0).weights
    bound = Discriminator(10.0, clip=clip, flatten=1.0).align(source, target, 0).weights
    assert free.max() > 20
    assert bound.max() == pytest.approx(clip, rel=1e-3)
    # Rows that are not cut keep their order and their proportions.
    whole = bound < 0.99 * clip
    assert np.allclose(
        bound[whole] / bound[whole].sum(), free[whole] / free[whole].sum(), atol=1e-5
    )


@ALL
@pytest.mark.parametrize(
    "case", ["constant columns", "fewer rows than columns", "two rows", "all the same", "far"]
)
def test_degenerate_features_stay_finite(method: Alignment, case: str) -> None:
    source, target = gaussian(0, 30), gaussian(1, 20)
    match case:
        case "constant columns":
            source[:, 1] = 2.0
            target[:, 2] = -1.0
        case "fewer rows than columns":
            source, target = gaussian(0, 5, 40), gaussian(1, 4, 40)
        case "two rows":
            source, target = source[:2], target[:2]
        case "all the same":
            source, target = np.full((6, 3), 0.1), np.full((5, 3), 7.0)
        case "far":
            target = target * 1e-6 + 1e4
    for values in (source, source.astype(np.float32)):
        aligned = method.align(values, target, seed=0)
        assert np.isfinite(aligned.source).all()
        assert np.isfinite(aligned.weights).all()
        assert aligned.weights.mean() == pytest.approx(1.0, rel=1e-4)


@MAPS
def test_one_side_without_spread_is_only_moved(method: Alignment) -> None:
    source, target = np.full((5, 3), 2.0), gaussian(0, 9, 3, mean=1.0)
    moved = method.align(source, target, 0).source
    assert np.allclose(moved, target.mean(axis=0), atol=1e-5)


@ALL
@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (np.ones((1, 2)), np.ones((5, 2)), "source: 1 rows"),
        (np.ones((5, 2)), np.ones((1, 2)), "target: 1 rows"),
        (np.ones((5, 2)), np.ones((5, 3)), "target: 3 features"),
        (np.array([[1.0, np.nan], [0.0, 0.0]]), np.ones((5, 2)), "source: row 0 is not finite"),
    ],
)
def test_features_that_cannot_be_aligned_are_refused(
    method: Alignment, source: np.ndarray, target: np.ndarray, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        method.align(source, target, seed=0)


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        (Coral(), {"shrinkage": 1.5}),
        (LinearOT(), {"shrinkage": -0.1}),
        (Subspace(), {"dimensions": 0}),
        (Kliep(), {"centres": 0}),
        (Kliep(), {"width": 0.0}),
        (Discriminator(), {"strength": 0.0}),
        (Discriminator(), {"clip": 0.5}),
        (Discriminator(), {"flatten": 1.5}),
        (Kliep(), {"flatten": -0.5}),
    ],
)
def test_options_outside_their_range_are_refused(method: Alignment, wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(method, **wrong)
