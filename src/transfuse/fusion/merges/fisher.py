"""The mean of weights in which each counts by how much its model's answers depend on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.data import Preprocessed, seed_for
from transfuse.fusion.merges.base import Merge, Solution
from transfuse.fusion.merges.family import Weights, parameters_of
from transfuse.fusion.merges.work import Work
from transfuse.models import Network
from transfuse.tasks import Task

__all__ = ["Fisher", "fisher_mean"]


@dataclass(frozen=True)
class Fisher(Merge):
    """The mean of the weights, each weighed by the Fisher information of its own model.

    The information is estimated by its diagonal, on rows that the model learnt from and labels
    that are drawn from its own answers. Matena and Raffel (2022), 'Merging models with
    Fisher-weighted averaging' (arXiv:2111.09832).
    """

    rows: int = 200
    """Rows that each model's information is estimated on, each a backward pass. Default: 200."""

    floor: float = 1e-6
    """The least information of a weight, over the mean of its model. Default: 1e-6."""

    def __post_init__(self) -> None:
        if self.rows < 1 or not self.floor > 0:
            raise ValueError("rows is at least 1 and floor above 0")

    def solve(self, work: Work) -> Solution:
        """See `Merge.solve`."""
        found, used = [], []
        for number, network in enumerate(work.family.networks):
            rows = work.inputs(self.rows, number)
            used.append(len(rows))
            found.append(self._information(work, number, network, rows))
        told = {"rows": dict(zip(work.family.names, used, strict=True))}
        return Solution(fisher_mean(work.family.weights, found, self.floor), told=told)

    def _information(
        self, work: Work, number: int, network: Network, rows: Preprocessed
    ) -> Weights:
        """The diagonal of the Fisher information of a model's backbone."""
        parameters = parameters_of(network)
        task = work.family.members[number].task
        (head,) = network.heads
        sums = {name: torch.zeros_like(value) for name, value in parameters.items()}
        draw = torch.Generator().manual_seed(seed_for(work.seed, "fisher labels"))
        # One row at a time: the square of a batch's mean gradient is not the mean of squares.
        for done, batch in enumerate(work.batches(rows, tokens=1), start=1):
            logits = network(batch).logits[head]
            loss = _drawn_loss(task, logits, draw)
            found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            for total, gradient in zip(sums.values(), found, strict=True):
                if gradient is not None:
                    total.addcmul_(gradient, gradient)
            work.tell(f"Fisher information of {work.family.names[number]}", done, len(rows))
        return {name: total / len(rows) for name, total in sums.items()}


def fisher_mean(
    weights: Sequence[Weights], information: Sequence[Weights], floor: float = 1e-6
) -> Weights:
    """Σ F_i θ_i / Σ F_i, entry by entry.

    Each model's information is divided by its mean first, so that a model with larger gradients
    does not count more everywhere.

    Args:
        weights: The weights of each model.
        information: The diagonal Fisher information of each.
        floor: The least information of a weight after that. Default: 1e-6.
    """
    means = []
    for each in information:
        total = sum(float(value.double().sum()) for value in each.values())
        means.append(max(total / sum(value.numel() for value in each.values()), 1e-30))
    merged = {}
    for name in weights[0]:
        top, bottom = torch.zeros_like(weights[0][name]), torch.zeros_like(weights[0][name])
        for own, each, mean in zip(weights, information, means, strict=True):
            share = (each[name] / mean).clamp(min=floor)
            top.addcmul_(share, own[name])
            bottom += share
        merged[name] = top / bottom
    return merged


def _drawn_loss(task: Task, logits: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Minus the log-likelihood of labels that the model itself would give."""
    plain = logits.detach().float()
    match task.kind:
        case "classification":
            targets = torch.multinomial(plain.softmax(-1), 1, generator=draw)[:, 0]
            return nn.functional.cross_entropy(logits, targets)
        case "multilabel":
            drawn = torch.bernoulli(plain.sigmoid(), generator=draw)
            return nn.functional.binary_cross_entropy_with_logits(logits, drawn, reduction="sum")
        case _:
            noise = torch.randn(plain.shape, generator=draw)
            return 0.5 * (logits - plain - noise).square().sum()
