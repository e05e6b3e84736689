"""The rules on losses: the weights that each gives, from losses that are known."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transfuse.balancing import DWA, FAMO, GLS, RLW, Balancer, Fixed, GradNorm, Passes, Uncertainty
from transfuse.errors import TrainingError

NAMES = ("a", "b", "c")


class Fake(Passes):
    """Losses that are given, and a record of the factors that came back."""

    def __init__(
        self,
        values: Sequence[float],
        weights: Sequence[float] | None = None,
        names: Sequence[str] = NAMES,
        gradients: np.ndarray | None = None,
    ) -> None:
        self._names = tuple(names)
        self._values = np.array(values, dtype=float)
        self._weights = np.ones(len(names)) if weights is None else np.array(weights, dtype=float)
        self.gradients = gradients
        self.used: np.ndarray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    @property
    def weights(self) -> np.ndarray:
        return self._weights

    @property
    def values(self) -> np.ndarray:
        return self._values

    def backward(self, factors: np.ndarray | Callable[[np.ndarray], np.ndarray]) -> None:
        self.used = np.array(factors(self._values) if callable(factors) else factors)

    def gramian(self) -> np.ndarray:
        assert self.gradients is not None
        scaled = self._weights[:, None] * self.gradients
        return scaled @ scaled.T

    def combine(self, factors: np.ndarray) -> None:
        self.used = np.array(factors)

    def agreed(self, numbers: np.ndarray) -> np.ndarray:
        return numbers


def run(rule: Balancer, *steps: Fake) -> list[np.ndarray]:
    module = rule.module(NAMES)
    found = []
    for passes in steps:
        factors = rule.backward(passes, module)
        assert passes.used is not None
        # What the log says is what was done.
        np.testing.assert_array_equal(factors, passes.used)
        found.append(passes.used)
    return found


losses = st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3)


@pytest.mark.parametrize("rule", [Fixed(), GLS(), RLW(), DWA(), FAMO()])
@given(values=losses, power=st.integers(-6, 6))
def test_scaling_all_losses_changes_no_factor(
    rule: Balancer, values: list[float], power: int
) -> None:
    ends = []
    for scale in (1.0, 10.0**power):
        torch.manual_seed(0)
        other = scale * np.array(values[::-1])
        ends.append(run(rule, Fake(scale * np.array(values)), Fake(other)))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-6)


@pytest.mark.parametrize("rule", [Fixed(), GLS(), DWA(), FAMO(), Uncertainty()])
def test_equal_losses_count_equally_and_sum_to_their_number(rule: Balancer) -> None:
    for factors in run(rule, *[Fake([0.5, 0.5, 0.5])] * 4):
        np.testing.assert_allclose(factors, factors[0])
        if not isinstance(rule, Uncertainty):
            assert factors.sum() == pytest.approx(3)


# GLS


@given(values=losses, weights=st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
def test_gls_has_the_gradient_of_the_weighted_geometric_mean(
    values: list[float], weights: list[float]
) -> None:
    tensors = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    exponents = torch.tensor(weights, dtype=torch.float64)
    mean = (exponents / exponents.sum() * tensors.log()).sum().exp() * exponents.sum()
    mean.backward()
    (factors,) = run(GLS(), Fake(values, weights))
    np.testing.assert_allclose(factors * weights, tensors.grad, rtol=1e-6)


@pytest.mark.parametrize("rule", [GLS(), FAMO()], ids=["gls", "famo"])
def test_a_loss_without_a_logarithm_is_named_and_a_shift_mends_it(rule: Balancer) -> None:
    with pytest.raises(TrainingError, match=r"'b'.*-0\.01[\s\S]*'c'.*0") as raised:
        run(rule, Fake([1.0, -0.01, 0.0]))
    assert len(raised.value.problems) == 2
    assert "shift above 0.01" in str(raised.value)
    (factors,) = run(type(rule)(shift=0.02), Fake([1.0, -0.01, 0.0]))  # type: ignore[call-arg]
    assert np.isfinite(factors).all()


# Uncertainty


def test_uncertainty_goes_to_the_minimum_of_its_sum() -> None:
    values, weights = np.array([0.1, 1.0, 4.0]), np.array([1.0, 2.0, 0.5])
    factors = run(Uncertainty(), *[Fake(values, weights)] * 3000)[-1]
    # d/ds of exp(-s) L + s / 2 is 0 at exp(-s) = 1 / (2 L).
    np.testing.assert_allclose(factors, 1 / (2 * values * weights), rtol=1e-3)


# DWA


def test_dwa_follows_the_rates_of_whole_windows() -> None:
    rule = DWA(temperature=2.0, window=2)
    early, late = [1.0, 2.0, 4.0], [0.5, 2.0, 1.0]
    steps = [Fake([0.5, 1.0, 2.0]), Fake([1.5, 3.0, 6.0]), Fake(late), Fake(late), Fake(late)]
    found = run(rule, *steps)
    for factors in found[:4]:
        np.testing.assert_allclose(factors, 1)
    powers = np.exp(np.array(late) / early / 2)
    np.testing.assert_allclose(found[4], 3 * powers / powers.sum())


def test_dwa_takes_losses_that_are_not_positive_as_standing_still() -> None:
    steps = [Fake([1.0, 0.0, -0.1]), Fake([1.0, 0.5, -0.2]), Fake([1.0, 1.0, 1.0])]
    np.testing.assert_allclose(run(DWA(window=1), *steps)[-1], 1)


# RLW


def test_rlw_is_positive_and_one_in_the_mean() -> None:
    found = np.array(run(RLW(), *[Fake([1.0, 1.0, 1.0])] * 2000))
    assert (found > 0).all()
    np.testing.assert_allclose(found.sum(1), 3)
    np.testing.assert_allclose(found.mean(0), 1, atol=0.06)
    assert found.std() > 0.3


# FAMO


def test_famo_begins_by_descending_the_sum_of_logarithms() -> None:
    values = np.array([0.1, 1.0, 5.0])
    (factors,) = run(FAMO(), Fake(values))
    np.testing.assert_allclose(factors * values, (factors * values)[0])
    assert factors.sum() == pytest.approx(3)


def test_famo_gives_to_the_loss_that_falls_least() -> None:
    steps = [Fake([0.9**number, 0.99**number, 0.999**number]) for number in range(60)]
    factors = run(FAMO(gamma=0.0), *steps)[-1]
    shares = factors * steps[-1].values
    assert shares[0] < shares[1] < shares[2]


def test_famo_is_pulled_back_to_equal_shares() -> None:
    steps = [Fake([0.9**number, 1.0, 1.0]) for number in range(60)]
    rest = [Fake(steps[-1].values)] * 400
    for gamma, equal in ((0.0, False), (0.1, True)):
        factors = run(FAMO(gamma=gamma), *steps, *rest)[-1] * rest[0].values
        assert (np.ptp(factors / factors.mean()) < 0.1) == equal


# GradNorm


def test_gradnorm_evens_the_lengths() -> None:
    gradients = np.array([[3.0, 0, 0], [0, 1.0, 0], [0, 0, 0.5]])
    steps = [Fake([1.0, 1.0, 1.0], gradients=gradients) for _ in range(600)]
    found = run(GradNorm(), *steps)
    np.testing.assert_allclose(np.sum(found, axis=1), 3)
    assert (np.array(found) > 0).all()
    lengths = found[-1] * np.diagonal(gradients)
    np.testing.assert_allclose(lengths, lengths.mean(), rtol=0.1)


def test_gradnorm_helps_what_lags() -> None:
    first = Fake([1.0, 10.0, 0.1], gradients=np.eye(3))
    later = Fake([0.5, 10.0, 0.05], gradients=np.eye(3))
    factors = run(GradNorm(alpha=1.0), first, *[later] * 400)[-1]
    # Left of each loss: a half, all, a half; so the lengths are to be as 1 : 2 : 1.
    np.testing.assert_allclose(factors, [0.75, 1.5, 0.75], atol=0.1)


@given(power=st.integers(-12, 12))
def test_gradnorm_does_not_see_the_scale_of_the_losses(power: int) -> None:
    ends = []
    for scale in (1.0, 10.0**power):
        gradients = scale * np.array([[3.0, 0, 0], [0, 1.0, 0], [0, 0, 0.5]])
        values = scale * np.array([1.0, 2.0, 3.0])
        steps = [Fake(values / (1 + number), gradients=gradients) for number in range(5)]
        ends.append(run(GradNorm(), *steps))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-6)


def test_gradnorm_survives_losses_and_gradients_of_nothing() -> None:
    gradients = np.array([[3.0, 0, 0], [0, 0, 0], [0, 0, 0.5]])
    steps = [Fake([0.0, 1.0, -1.0], gradients=gradients)] * 3
    for factors in run(GradNorm(), *steps):
        assert np.isfinite(factors).all()
        assert factors[1] == 1
        assert factors[[0, 2]].sum() == pytest.approx(2)
    nothing = [Fake([0.0, 0.0, 0.0], gradients=np.zeros((3, 3)))] * 2
    for factors in run(GradNorm(), *nothing):
        np.testing.assert_array_equal(factors, 1)


# Losses that sit out


@pytest.mark.parametrize("rule", [Uncertainty(), GLS(), DWA(window=1), RLW(), FAMO(), GradNorm()])
def test_a_loss_may_sit_out_and_come_back(rule: Balancer) -> None:
    two = np.array([[2.0, 0, 0], [0, 0, 1.0]])
    three = np.array([[2.0, 0, 0], [0, 3.0, 0], [0, 0, 1.0]])
    fewer = [Fake([1.0, 2.0], names=("a", "c"), gradients=two) for _ in range(3)]
    more = [Fake([1.0, 2.0, 2.0], gradients=three) for _ in range(3)]
    for factors in run(rule, *fewer, *more, *fewer, *more):
        assert np.isfinite(factors).all()
        assert (factors > 0).all()


@pytest.mark.parametrize("rule", [Uncertainty(), DWA(window=2), FAMO(), GradNorm()])
def test_what_a_rule_remembers_goes_through_a_checkpoint(rule: Balancer) -> None:
    gradients = np.array([[3.0, 0, 0], [0, 1.0, 0], [0, 0, 0.5]])
    steps = [Fake([1 / (1 + n), 1.0, 0.9**n], gradients=gradients) for n in range(12)]
    whole, first, second = (rule.module(NAMES) for _ in range(3))
    assert whole is not None
    assert first is not None
    assert second is not None
    assert not list(whole.parameters()), "an optimizer with weight decay would move it"
    expected = [rule.backward(each, whole) for each in steps]
    for each in steps[:7]:
        rule.backward(each, first)
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    found = [rule.backward(each, second) for each in steps[7:]]
    np.testing.assert_array_equal(found, expected[7:])
    assert not np.allclose(expected[-1], 1)
