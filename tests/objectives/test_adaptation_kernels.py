"""Distances between two clouds of vectors: what CORAL and MMD measure."""

from typing import Any

import numpy as np
import pytest
import torch
from adaptation_steps import small_network, step_of, three_streams
from hypothesis import given
from hypothesis import strategies as st

from transfuse.objectives import OBJECTIVES
from transfuse.objectives.kernels import bandwidth, mean_discrepancy, squared_distances
from transfuse.recipe import build

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 9), st.integers(1, 9), st.floats(-300, 300), st.integers(0, 99))
def test_distances_are_right_however_far_from_the_origin(
    n: int, m: int, offset: float, seed: int
) -> None:
    left, right = draws(n, 5, seed=seed) + offset, draws(m, 5, seed=seed + 1) + offset
    exact = torch.cdist(left.double(), right.double()).square().float()
    torch.testing.assert_close(squared_distances(left, right), exact, rtol=1e-3, atol=1e-4)


def test_the_discrepancy_of_equal_distributions_is_0_on_average_and_falls_below_it() -> None:
    estimates = torch.stack(
        [
            mean_discrepancy(draws(16, 6, seed=2 * k), draws(12, 6, seed=2 * k + 1), SCALES)
            for k in range(400)
        ]
    )
    # A biased estimate would stand at about 1/16 + 1/12 times the kernel's spread.
    assert abs(estimates.mean()) < 4 * estimates.std() / 20
    assert (estimates < 0).float().mean() > 0.25


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 99))
def test_the_discrepancy_is_symmetric_and_takes_batches_of_any_size(
    n: int, m: int, seed: int
) -> None:
    left, right = draws(n, 3, seed=seed), draws(m, 3, seed=seed + 1) + 1
    there, back = mean_discrepancy(left, right, SCALES), mean_discrepancy(right, left, SCALES)
    torch.testing.assert_close(there, back)
    torch.testing.assert_close(mean_discrepancy(left.flip(0), right.flip(0), SCALES), there)


def test_the_discrepancy_grows_with_the_distance() -> None:
    left, right = draws(40, 3), draws(40, 3, seed=1)
    estimates = [float(mean_discrepancy(left, right + shift, SCALES)) for shift in (0, 1, 3)]
    assert estimates == sorted(estimates)
    assert estimates[-1] > 0.3


@pytest.mark.parametrize("place", [0.0, 1.0, 1e4])
def test_collapsed_features_have_no_discrepancy_and_no_broken_gradient(place: float) -> None:
    left = torch.full((5, 3), place).requires_grad_()
    estimate = mean_discrepancy(left, torch.full((4, 3), place), SCALES)
    (gradient,) = torch.autograd.grad(estimate, left)
    assert abs(estimate.item()) < 1e-3
    assert gradient.isfinite().all()


def test_the_bandwidth_is_not_differentiated() -> None:
    left, right = draws(8, 3).requires_grad_(), draws(8, 3, seed=1) + 1
    width = bandwidth(left, squared_distances(left, left))
    assert not width.requires_grad
    # With a width that moved along, the estimate would not change when all features grow, and
    # by Euler's theorem their inner product with the gradient would be 0.
    both = torch.cat((left.detach(), right)).requires_grad_()
    estimate = mean_discrepancy(both[:8], both[8:], SCALES)
    (gradient,) = torch.autograd.grad(estimate, both)
    assert abs((gradient * both).sum().item()) > 1e-3
    torch.testing.assert_close(mean_discrepancy(3 * both[:8], 3 * both[8:], SCALES), estimate)


def test_the_zeros_of_the_diagonal_are_not_distances() -> None:
    points = torch.tensor([[0.0], [2.0]])
    assert float(bandwidth(points, squared_distances(points, points))) == pytest.approx(4.0)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 99))
def test_coral_is_the_distance_of_the_covariances(n: int, m: int, seed: int) -> None:
    network = small_network()
    step = step_of(network, three_streams(n, m, seed=seed))
    loss = build(OBJECTIVES, "coral", "learn").losses(step, None)["coral"]
    source, target = (
        np.cov(step.outputs[name].features.detach().double().numpy().T)
        for name in ("source", "unlabelled")
    )
    assert loss.item() == pytest.approx(np.sum((source - target) ** 2) / (4 * 4**2), rel=1e-4)


def test_coral_leaves_the_means_alone() -> None:
    network = small_network(body=torch.nn.Identity())
    cloud = draws(20, 4)
    step = step_of(network, {"source": cloud, "unlabelled": cloud.flip(0) + 50})
    assert build(OBJECTIVES, "coral", "learn").losses(step, None)["coral"].item() < 1e-8


@pytest.mark.parametrize("name", ["coral", "mmd", "deepjdot", "mcc"])
def test_autocast_does_not_touch_the_arithmetic_of_a_loss(name: str) -> None:
    network = small_network()
    objective: Any = build(OBJECTIVES, name, "learn")
    step = step_of(network, three_streams(), torch.arange(8) % 3)
    plain = objective.losses(step, None)[name]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(objective.losses(step, None)[name], plain)
