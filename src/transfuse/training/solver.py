"""The exact way to fit a probe: full-batch L-BFGS over features that are already there."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from transfuse.models import Batch, Head
from transfuse.objectives import StreamTask
from transfuse.objectives.logistic import choose_penalty
from transfuse.training.step import TrainModule

__all__ = ["PENALTIES", "solve", "solve_best"]

PENALTIES = tuple(float(10.0**power) for power in np.arange(-5, 0, 0.5))
"""The grid that a penalty is chosen from by validation log-loss."""

_FALLBACK_PENALTY = 1e-2
_MANY_ROWS = 20_000


def solve(
    module: TrainModule,
    batches: Mapping[str, Batch],
    parameters: Sequence[nn.Parameter],
    penalty: float,
    *,
    warm: bool = False,
) -> float:
    """Minimise the weighted sum of losses plus an L2 penalty over the given parameters.

    The penalty on a matrix W is penalty / 2 * m * |W|^2 with m the mean squared length of the
    features, so that it means the same whatever the scale of the encoder's output.

    Args:
        module: The network and its objectives; all but `parameters` is frozen.
        batches: All rows of each stream, with `pooled` features.
        parameters: What moves.
        penalty: Strength of the penalty.
        warm: Whether to begin from the parameters as they are. Default: from zeros.

    Returns:
        The value reached.
    """
    scale = float(
        np.mean([batch["pooled"].float().square().sum(1).mean() for batch in batches.values()])
    )
    matrices = [weight for weight in parameters if weight.ndim > 1]
    with _conditioned(module, batches, parameters) as (batches, size):
        scale /= size**2

        def value_and_gradient(
            vector: NDArray[np.float64],
        ) -> tuple[float, NDArray[np.float64]]:
            vector_to_parameters(torch.from_numpy(vector).float(), parameters)
            losses = module(batches, 0.0)
            weights = module.weights(losses, 0.0)
            total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
            total = total + penalty / 2 * scale * sum(weight.square().sum() for weight in matrices)
            gradients = torch.autograd.grad(total, parameters)
            return total.item(), parameters_to_vector(gradients).double().numpy()

        threads = torch.get_num_threads()
        rows = sum(len(batch["pooled"]) for batch in batches.values())
        if rows < _MANY_ROWS:
            # Handing products this small to other threads takes longer than computing them.
            torch.set_num_threads(1)
        start = parameters_to_vector(parameters).detach() * (1.0 if warm else 0.0)
        found = minimize(
            value_and_gradient,
            start.double().numpy(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 500, "gtol": 1e-5},
        )
        torch.set_num_threads(threads)
        vector_to_parameters(torch.from_numpy(found.x).float(), parameters)
    return float(found.fun)


@contextmanager
def _conditioned(
    module: TrainModule, batches: Mapping[str, Batch], parameters: Sequence[nn.Parameter]
) -> Iterator[tuple[Mapping[str, Batch], float]]:
    """The same problem on features around 0 and of size 1, and the size that they had.

    Features far from 0 make a long narrow valley of the loss, and short ones a flat one. Linear
    heads can take up mean and size, so that the solution is the same; before and after they answer
    the features as they are. Where other parameters move, nothing is changed.
    """
    heads = [head.linear for head in module.network.heads.values() if isinstance(head, Head)]
    moving = {id(weight) for weight in parameters}
    linear = [each for each in heads if each is not None and id(each.weight) in moving]
    held = {id(weight) for each in linear for weight in each.parameters()}
    if held != moving or any(each.bias is None for each in linear):
        yield batches, 1.0
        return
    features = torch.cat([batch["pooled"].float() for batch in batches.values()])
    middle = features.mean(0)
    size = float((features - middle).square().sum(1).mean().sqrt()) or 1.0
    with torch.no_grad():
        for head in linear:
            head.bias.add_(head.weight @ middle.to(head.weight.dtype))
            head.weight.mul_(size)
    yield (
        {
            name: {**batch, "pooled": (batch["pooled"].float() - middle) / size}
            for name, batch in batches.items()
        },
        size,
    )
    with torch.no_grad():
        for head in linear:
            head.weight.div_(size)
            head.bias.sub_(head.weight @ middle.to(head.weight.dtype))


def solve_best(
    module: TrainModule,
    batches: Mapping[str, Batch],
    parameters: Sequence[nn.Parameter],
    penalty: float | None,
    validation: tuple[Batch, StreamTask] | None,
) -> float:
    """Solve with the given penalty, or with the one of the grid that validates best.

    Args:
        module: As for `solve`.
        batches: As for `solve`.
        parameters: As for `solve`.
        penalty: The penalty; None to choose.
        validation: Labelled rows with `pooled` features, and their task. Without them the penalty
            is chosen by cross-validation where one stream of classes is learnt from; else 0.01.

    Returns:
        The penalty used.
    """
    if penalty is None and validation is None:
        penalty = _cross_validated(module, batches)
    if penalty is not None:
        solve(module, batches, parameters, penalty)
        return penalty
    assert validation is not None
    batch, known = validation
    best: tuple[float, float, torch.Tensor] | None = None
    # From the strongest, whose solution is near that of the next.
    for candidate in reversed(PENALTIES):
        solve(module, batches, parameters, candidate, warm=best is not None)
        with torch.no_grad():
            logits = module.network(batch, module.frozen).logits[known.head]
            loss = known.task.loss(logits, batch["targets"]).item()
        if best is None or loss <= best[0]:
            best = (loss, candidate, parameters_to_vector(parameters).detach().clone())
    assert best is not None
    vector_to_parameters(best[2], parameters)
    return best[1]


def _cross_validated(module: TrainModule, batches: Mapping[str, Batch]) -> float:
    """The penalty that the rows themselves choose, in the units of `solve`."""
    (name, batch), *others = batches.items()
    known = module.tasks.get(name)
    plain = "targets" in batch and "weights" not in batch
    if others or known is None or known.task.kind != "classification" or not plain:
        return _FALLBACK_PENALTY
    features = batch["pooled"].double().numpy()
    chosen = choose_penalty(features, batch["targets"].numpy(), known.task.outputs)
    # There the features' size is measured around their mean, here from 0.
    around = np.square(features - features.mean(0)).sum(1).mean()
    return float(chosen * max(around / np.square(features).sum(1).mean(), 1e-3))
