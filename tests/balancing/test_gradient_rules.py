"""The rules on gradients as mathematics: each against its definition, on any Gramian."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from transfuse.balancing import IMTLG, MGDA, AlignedMTL, CAGrad, NashMTL, PCGrad, UPGrad
from transfuse.balancing.gramian import GradientRule, factors_of
from transfuse.balancing.pcgrad import project
from transfuse.balancing.quadratic import shortest
from transfuse.errors import TrainingError

RULES: dict[str, GradientRule] = {
    "mgda": MGDA(),
    "pcgrad": PCGrad(),
    "cagrad": CAGrad(),
    "cagrad-near-1": CAGrad(c=0.95),
    "imtl_g": IMTLG(),
    "nash_mtl": NashMTL(),
    "upgrad": UPGrad(),
    "aligned_mtl": AlignedMTL(),
    "aligned_mtl-median": AlignedMTL(scale_mode="median"),
    "aligned_mtl-rmse": AlignedMTL(scale_mode="rmse"),
}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


@st.composite
def gradients(draw: st.DrawFn, most: int = 6) -> np.ndarray:
    """Rows of very different lengths, with and without conflicts, in more dimensions than rows."""
    tasks = draw(st.integers(2, most))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    lean = draw(st.sampled_from([-0.3, 0.0, 0.5]))
    rows = random.standard_normal((tasks, tasks + 3)) + lean
    return rows * 10.0 ** random.uniform(-2, 2, (tasks, 1))


def step(rule: GradientRule, rows: np.ndarray) -> np.ndarray:
    torch.manual_seed(0)
    return factors_of(rows @ rows.T, rule.factors) @ rows


def near(one: np.ndarray, other: np.ndarray, rows: np.ndarray, tolerance: float = 1e-5) -> None:
    scale = np.linalg.norm(rows, axis=1).max() * len(rows)
    np.testing.assert_allclose(one / scale, other / scale, atol=tolerance)


@every_rule
@given(rows=gradients(), power=st.integers(-12, 12))
def test_scaling_all_losses_scales_the_step(
    rule: GradientRule, rows: np.ndarray, power: int
) -> None:
    scaled = step(rule, rows * 10.0**power)
    near(scaled / 10.0**power, step(rule, rows), rows, 1e-8)


@every_rule
@given(rows=gradients(), seed=st.integers(0, 1000))
def test_the_order_of_the_losses_does_not_matter(
    rule: GradientRule, rows: np.ndarray, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(rows))
    if isinstance(rule, PCGrad):
        # Its own order is random: the same one is given to both, in each one's numbering.
        orders = [list(range(len(rows)))] * len(rows)
        again = [[int(np.flatnonzero(order == each)[0]) for each in range(len(rows))]] * len(rows)
        one = project(rows @ rows.T, orders) @ rows
        other = project(rows[order] @ rows[order].T, again) @ rows[order]
    else:
        one, other = step(rule, rows), step(rule, rows[order])
    near(one, other, rows)


@every_rule
@pytest.mark.parametrize("tasks", [2, 3, 7])
def test_equal_losses_give_their_own_direction(rule: GradientRule, tasks: int) -> None:
    gradient = np.random.default_rng(0).standard_normal(11)
    rows = np.tile(gradient, (tasks, 1))
    found = step(rule, rows)
    length = found @ gradient / (gradient @ gradient)
    np.testing.assert_allclose(found, length * gradient, atol=1e-9)
    # Never more than their sum; CAGrad goes up to c beyond it by its definition.
    most = tasks * (1 + getattr(rule, "c", 0.0))
    assert 0.99 <= length <= most + 1e-6


@every_rule
def test_equal_losses_up_to_rounding_are_equal_losses(rule: GradientRule) -> None:
    random = np.random.default_rng(1)
    gradient = random.standard_normal(50)
    rows = gradient + 1e-8 * random.standard_normal((4, 50))
    near(step(rule, rows), step(rule, np.tile(gradient, (4, 1))), rows, 1e-3)


@every_rule
@pytest.mark.parametrize("other", [-1.0, -3.0, -1e-3])
def test_opposing_losses_give_a_finite_step_that_is_not_longer_than_their_sum(
    rule: GradientRule, other: float
) -> None:
    gradient = np.random.default_rng(0).standard_normal(11)
    rows = np.stack([gradient, other * gradient])
    found = step(rule, rows)
    assert np.isfinite(found).all()
    if isinstance(rule, CAGrad):
        # It stays within c of the mean, whatever the conflict.
        mean = 2 * np.linalg.norm(rows.mean(0))
        assert np.linalg.norm(found - 2 * rows.mean(0)) <= rule.c * mean * (1 + 1e-6)
    elif not isinstance(rule, AlignedMTL):
        np.testing.assert_allclose(found, 0, atol=1e-5 * max(1, -other) * 11)
    else:
        assert np.linalg.norm(found) <= 2 * np.linalg.norm(rows)


@every_rule
def test_losses_without_a_gradient_do_not_change_the_others(rule: GradientRule) -> None:
    rows = np.random.default_rng(0).standard_normal((3, 8))
    among = np.insert(rows, 1, 0.0, axis=0)
    torch.manual_seed(0)
    factors = factors_of(among @ among.T, rule.factors)
    assert factors[1] == 1
    np.testing.assert_allclose(factors @ among, step(rule, rows), rtol=1e-9)
    alone = np.zeros((3, 8))
    np.testing.assert_array_equal(factors_of(alone @ alone.T, rule.factors), np.ones(3))
    alone[1] = rows[1]
    np.testing.assert_array_equal(factors_of(alone @ alone.T, rule.factors), np.ones(3))


@every_rule
def test_orthogonal_losses_of_one_length_get_the_plain_sum(rule: GradientRule) -> None:
    rows = 7.0 * np.eye(4, 9)
    expected = 1 + getattr(rule, "c", 0.0)
    np.testing.assert_allclose(step(rule, rows), expected * rows.sum(0), rtol=1e-6)


# MGDA


def by_enumeration(gramian: np.ndarray) -> float:
    """The least square length in the hull: the best of all faces, each solved by itself."""
    tasks, best = len(gramian), np.diagonal(gramian).min()
    for size in range(2, tasks + 1):
        for face in map(list, combinations(range(tasks), size)):
            system = np.ones((size + 1, size + 1))
            system[:size, :size] = gramian[np.ix_(face, face)]
            system[size, size] = 0
            shares = np.linalg.lstsq(system, np.eye(size + 1)[size], rcond=None)[0][:size]
            if (shares >= -1e-12).all():
                best = min(best, shares @ gramian[np.ix_(face, face)] @ shares)
    return float(best)


@given(rows=gradients(5))
def test_mgda_is_the_shortest_of_the_hull(rows: np.ndarray) -> None:
    gramian = rows @ rows.T
    shares = shortest(gramian, "mgda")
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)
    square = shares @ gramian @ shares
    assert square == pytest.approx(by_enumeration(gramian), rel=1e-6, abs=1e-12 * gramian.max())
    # KKT: every gradient reaches at least as far along the step as the step itself.
    assert (gramian @ shares >= square - 1e-9 * gramian.max()).all()


# UPGrad


@given(rows=gradients(5))
def test_upgrad_is_the_sum_of_projections_on_the_cone_where_no_loss_rises(
    rows: np.ndarray,
) -> None:
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = np.zeros(rows.shape[1])
    for row in units * np.linalg.norm(rows, axis=1, keepdims=True):
        size = np.linalg.norm(row)
        found = minimize(
            lambda v, row=row, size=size: ((v - row / size) ** 2).sum() / 2,
            row / size,
            jac=lambda v, row=row, size=size: v - row / size,
            constraints={"type": "ineq", "fun": lambda v: units @ v, "jac": lambda v: units},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        expected += found.x * size
    near(step(UPGrad(), rows), expected, rows, 1e-5)


@pytest.mark.parametrize("rule", [MGDA(), UPGrad()], ids=["mgda", "upgrad"])
@given(rows=gradients(6))
def test_no_loss_rises(rule: GradientRule, rows: np.ndarray) -> None:
    along = rows @ step(rule, rows)
    lengths = np.linalg.norm(rows, axis=1)
    assert (along >= -1e-6 * lengths * lengths.max() * len(rows)).all()


# PCGrad


@given(rows=gradients())
def test_pcgrad_is_its_definition_on_vectors(rows: np.ndarray) -> None:
    random = np.random.default_rng(len(rows))
    orders = [random.permutation(len(rows)).tolist() for _ in rows]
    expected = np.zeros(rows.shape[1])
    for own, order in enumerate(orders):
        moved = rows[own].copy()
        for other in order:
            if other != own and moved @ rows[other] < 0:
                moved -= (moved @ rows[other]) / (rows[other] @ rows[other]) * rows[other]
        expected += moved
    near(project(rows @ rows.T, orders) @ rows, expected, rows, 1e-9)


def test_pcgrad_draws_its_order_anew_from_the_seeded_generator() -> None:
    rows = np.random.default_rng(3).standard_normal((6, 7)) - 0.3
    torch.manual_seed(1)
    drawn = [PCGrad().factors(rows @ rows.T) for _ in range(6)]
    torch.manual_seed(1)
    again = [PCGrad().factors(rows @ rows.T) for _ in range(6)]
    np.testing.assert_array_equal(drawn, again)
    assert len({tuple(each) for each in drawn}) > 1


def test_pcgrad_never_projects_a_loss_on_itself() -> None:
    rows = np.array([[3.0, 2.0, 1.0], [-3.0, -1.0, -2.0], [-3.0, -3.0, 0.0]])
    gramian = rows @ rows.T
    # What two projections leave of the first gradient points against what it was.
    left = np.array([1.0, 0, 0])
    for other in (1, 2):
        left[other] -= min(left @ gramian[:, other], 0) / gramian[other, other]
    assert left @ gramian[:, 0] < -1
    factors = project(gramian, [[1, 2, 0], [], []])
    np.testing.assert_allclose(factors, left + np.array([0, 1, 1]))


# CAGrad


@given(rows=gradients(5), c=st.sampled_from([0.1, 0.5, 0.9]))
def test_cagrad_serves_the_worst_served_loss_best(rows: np.ndarray, c: float) -> None:
    rows = rows / np.sqrt((rows**2).sum(1).mean())
    found = step(CAGrad(c=c), rows) / len(rows)
    mean = rows.mean(0)
    radius = c * np.linalg.norm(mean)
    assert np.linalg.norm(found - mean) <= radius * (1 + 1e-6)
    worst = (rows @ found).min()
    # Weak duality: no step in the ball serves the worst better than any w allows.
    best = np.inf
    for start in (np.full(len(rows), 1 / len(rows)), *np.eye(len(rows))):
        dual = minimize(
            lambda w: (w @ rows) @ mean + radius * np.linalg.norm(w @ rows),
            start,
            bounds=[(0, 1)] * len(rows),
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 500},
        )
        best = min(best, dual.fun)
    assert worst >= best - 1e-5


def test_cagrad_without_distance_is_the_sum() -> None:
    rows = np.random.default_rng(0).standard_normal((3, 5))
    np.testing.assert_allclose(step(CAGrad(c=0.0), rows), rows.sum(0))


def test_cagrad_stays_at_the_mean_where_nothing_serves_the_worst() -> None:
    rows = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0]])
    np.testing.assert_allclose(step(CAGrad(), rows), rows.sum(0), atol=1e-5)


# Nash-MTL


@given(rows=gradients())
def test_nash_solves_its_equation(rows: np.ndarray) -> None:
    gramian = rows @ rows.T
    factors = factors_of(gramian, NashMTL().factors)
    assert (factors > 0).all()
    gains = factors * (gramian @ factors)
    # G w = 1 / w on gradients of mean square length 1: every loss has the same share of the gain.
    np.testing.assert_allclose(gains / np.diagonal(gramian).mean(), 1.0, rtol=5e-3)


def test_nash_is_exact_where_gradients_are_well_apart() -> None:
    random = np.random.default_rng(0)
    for tasks in (2, 5, 10):
        rows = np.eye(tasks, 20) + 0.1 * random.standard_normal((tasks, 20))
        gramian = rows @ rows.T
        factors = factors_of(gramian, NashMTL().factors)
        gains = factors * (gramian @ factors) / np.diagonal(gramian).mean()
        np.testing.assert_allclose(gains, 1.0, rtol=1e-5)


@given(rows=gradients())
def test_nash_and_imtl_do_not_care_how_long_each_gradient_is(rows: np.ndarray) -> None:
    for rule in (NashMTL(), IMTLG()):
        one, other = step(rule, rows), step(rule, rows * np.linspace(0.1, 10, len(rows))[:, None])
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert cosine == pytest.approx(1, abs=1e-5)


# IMTL-G


@given(rows=gradients())
def test_imtl_makes_equal_progress_along_every_unit_gradient(rows: np.ndarray) -> None:
    factors = factors_of(rows @ rows.T, IMTLG().factors)
    assert np.abs(factors).mean() == pytest.approx(1)
    found = factors @ rows
    progress = rows @ found / np.linalg.norm(rows, axis=1)
    scale = np.abs(factors) @ np.linalg.norm(rows, axis=1)
    assert np.ptp(progress) <= 1e-6 * scale
    assert progress.mean() >= -1e-9 * scale


# Aligned-MTL


@given(rows=gradients())
def test_aligned_gradients_have_condition_number_1(rows: np.ndarray) -> None:
    gramian = rows @ rows.T
    values = np.linalg.eigvalsh(gramian)
    for mode, square in (
        ("min", values[0]),
        ("median", np.median(values)),
        ("rmse", values.mean()),
    ):
        if values[0] < 1e-5 * values[-1]:
            return
        rule = AlignedMTL(scale_mode=mode)  # type: ignore[arg-type]
        left, _, right = np.linalg.svd(rows, full_matrices=False)
        aligned = np.sqrt(square) * left @ right
        near(step(rule, rows), aligned.sum(0), rows, 1e-6)


# Solvers


@pytest.mark.parametrize(
    ("rule", "solver"),
    [
        (MGDA(), "transfuse.balancing.quadratic.nnls"),
        (UPGrad(), "transfuse.balancing.quadratic.nnls"),
        (CAGrad(), "transfuse.balancing.cagrad.brentq"),
    ],
    ids=["mgda", "upgrad", "cagrad"],
)
def test_a_solver_that_does_not_end_is_an_error(
    rule: GradientRule, solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: Any, **options: Any) -> Any:
        raise RuntimeError("too many iterations")

    monkeypatch.setattr(solver, never)
    rows = np.array([[1.0, 0, 0.2], [-0.5, 1.0, 0], [0.3, -0.6, 1.0]])
    with pytest.raises(TrainingError, match="too many iterations"):
        step(rule, rows)


def test_a_bargain_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfuse.balancing.nash_mtl._STEPS", 1)
    rows = np.random.default_rng(0).standard_normal((3, 5))
    with pytest.raises(TrainingError, match=r"balance\.nash_mtl"):
        step(NashMTL(), rows)


@pytest.mark.parametrize(
    "make",
    [lambda: CAGrad(c=1.0), lambda: CAGrad(c=-0.1), lambda: CAGrad(c=float("nan"))],
)
def test_options_out_of_range_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="c lies in"):
        make()
