"""Gradients side by side: what is shared, what belongs to one loss, and what it costs."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from transfuse.balancing import Jacobian


class Model(nn.Module):
    """Two layers, a head for each loss, and a layer that only the first loss uses."""

    def __init__(self, tasks: int = 3, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, width))
        self.only_first = nn.Linear(width, width)
        self.heads = nn.ModuleList(nn.Linear(width, 1) for _ in range(tasks))
        self.unused = nn.Parameter(torch.ones(3))

    def losses(self, rows: torch.Tensor) -> list[torch.Tensor]:
        features = self.body(rows)
        found = [head(features).square().mean() for head in self.heads]
        found[0] = found[0] + self.only_first(features).sin().mean()
        return found


def by_autograd(model: Model, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return {name: each for name, each in zip(names, found, strict=True) if each is not None}


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.randn(32, 8)


def test_shared_parameters_are_found_and_the_others_keep_their_own_gradient(
    rows: torch.Tensor,
) -> None:
    model = Model()
    losses = model.losses(rows)
    truth = [by_autograd(model, loss) for loss in losses]
    jacobian = Jacobian(list(model.parameters()))
    jacobian.take(losses)
    shared = [name for name, _ in model.named_parameters() if name.startswith("body")]
    stacked = [torch.cat([each[name].reshape(-1) for name in shared]) for each in truth]
    expected = torch.stack(stacked).double()
    np.testing.assert_allclose(jacobian.gramian(), (expected @ expected.T).numpy(), rtol=1e-4)
    factors = np.array([0.5, -2.0, 3.0])
    jacobian.write(factors)
    for name, parameter in model.named_parameters():
        owners = [each for each in truth if name in each]
        if not owners:
            assert parameter.grad is None
            continue
        if name in shared:
            wanted = sum(float(f) * each[name] for f, each in zip(factors, truth, strict=True))
        else:
            (only,) = owners
            wanted = only[name]
        torch.testing.assert_close(parameter.grad, wanted, atol=1e-6, rtol=1e-4)


def test_factors_of_1_are_the_plain_backward_pass(rows: torch.Tensor) -> None:
    model = Model()
    sum(model.losses(rows)).backward()  # type: ignore[union-attr]
    wanted = {name: each.grad for name, each in model.named_parameters()}
    model.zero_grad()
    jacobian = Jacobian(list(model.parameters()))
    jacobian.take(model.losses(rows))
    jacobian.write(np.ones(3))
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], msg=name)


def test_rows_of_an_earlier_step_leave_no_trace(rows: torch.Tensor) -> None:
    model = Model()
    jacobian = Jacobian(list(model.parameters()))
    jacobian.take(model.losses(100 * rows))
    losses = model.losses(rows)
    # Fewer losses than before, and one that reaches nothing.
    jacobian.take([losses[1], torch.zeros(())])
    jacobian.write(np.ones(2))
    wanted = by_autograd(model, model.losses(rows)[1])
    for name, parameter in model.named_parameters():
        if name in wanted:
            torch.testing.assert_close(parameter.grad, wanted[name])
        else:
            assert parameter.grad is None
    assert not jacobian.gramian().any()


def test_parts_add_up(rows: torch.Tensor) -> None:
    model = Model()
    whole, parts = Jacobian(list(model.parameters())), Jacobian(list(model.parameters()))
    whole.take(model.losses(rows))
    for number, part in enumerate(rows.split(8)):
        parts.take([loss / 4 for loss in model.losses(part)], more=number > 0)
    width = sum(each.numel() for each in model.parameters())
    torch.testing.assert_close(parts.rows[:, :width], whole.rows[:, :width])
    np.testing.assert_allclose(parts.gramian(), whole.gramian(), rtol=1e-4)


@pytest.mark.parametrize("width", [16, 400])
def test_the_gramian_is_exact_whatever_products_the_run_allows(width: int) -> None:
    model = Model(width=width)
    jacobian = Jacobian(list(model.parameters()))
    jacobian.take(model.losses(torch.randn(32, 8)))
    begin = model.unused.numel()
    end = begin + sum(each.numel() for each in model.body.parameters())
    shared = jacobian.rows[:, begin:end].double()
    torch.set_float32_matmul_precision("medium")
    try:
        found = jacobian.gramian()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    scale = np.diagonal(found).max()
    np.testing.assert_allclose(found / scale, (shared @ shared.T).numpy() / scale, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-12, 1e12, 1e20, 1e30])
def test_losses_of_any_size_have_a_gramian(scale: float, rows: torch.Tensor) -> None:
    model = Model()
    plain, scaled = Jacobian(list(model.parameters())), Jacobian(list(model.parameters()))
    plain.take(model.losses(rows))
    first, *others = model.losses(rows)
    scaled.take([first, *(scale * loss for loss in others)])
    sizes = np.array([1, scale, scale])
    np.testing.assert_allclose(
        scaled.gramian() / np.outer(sizes, sizes), plain.gramian(), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("tasks", [2, 5])
def test_each_loss_costs_one_backward_pass(tasks: int, rows: torch.Tensor) -> None:
    passes = 0

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, given: torch.Tensor) -> torch.Tensor:
            return given.clone()

        @staticmethod
        def backward(ctx: object, *gradients: torch.Tensor) -> torch.Tensor:
            nonlocal passes
            passes += 1
            return gradients[0]

    model = Model(tasks)
    body = model.body.forward
    model.body.forward = lambda given: Counted.apply(body(given))  # type: ignore[method-assign]
    jacobian = Jacobian(list(model.parameters()))
    jacobian.take(model.losses(rows))
    jacobian.gramian()
    jacobian.write(np.ones(tasks))
    assert passes == tasks


@pytest.mark.parametrize("make", [torch.optim.AdamW, torch.optim.SGD])
def test_an_optimizer_may_use_gradients_that_are_views_of_the_buffer(
    make: Callable[..., torch.optim.Optimizer], rows: torch.Tensor
) -> None:
    ends = []
    options = {"momentum": 0.9} if make is torch.optim.SGD else {"fused": True}
    for views in (True, False):
        torch.manual_seed(5)
        model = Model()
        optimizer = make(model.parameters(), lr=0.01, **options)
        jacobian = Jacobian(list(model.parameters()))
        for _ in range(5):
            if views:
                jacobian.take(model.losses(rows))
                jacobian.write(np.ones(3))
            else:
                sum(model.losses(rows)).backward()  # type: ignore[union-attr]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        ends.append(model.state_dict())
    for name, weights in ends[0].items():
        torch.testing.assert_close(weights, ends[1][name], atol=1e-5, rtol=1e-4, msg=name)
