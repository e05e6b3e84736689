"""A coefficient for each layer of each model, learnt by gradients."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.func import functional_call

from transfuse.data import seed_for
from transfuse.errors import ModelError, Problem
from transfuse.fusion.merges.base import Merge, Solution
from transfuse.fusion.merges.family import Weights, parameters_of
from transfuse.fusion.merges.linear_layers import names_by_layer
from transfuse.fusion.merges.work import HEAD, Work
from transfuse.models import Batch

__all__ = ["Layerwise", "mixed"]


@dataclass(frozen=True)
class Layerwise(Merge):
    """The ancestor plus every model's delta, with a coefficient for each layer of each model.

    The coefficients are learnt by gradients: until the merged model is sure of its answers, which
    needs no labels, or right on validation rows. Yang et al. (2024), 'AdaMerging: adaptive model
    merging for multi-task learning' (arXiv:2310.02575).
    """

    by: Literal["entropy", "labels"] = "entropy"
    """`entropy` makes answers to rows sure, without labels; `labels` makes those to validation
    rows right. Default: entropy."""

    start: float | None = None
    """Every coefficient at the start. Default: one over the number of models, their mean."""

    steps: int = 40
    """Steps of Adam. Default: 40."""

    rate: float = 0.02
    """Learning rate. Default: 0.02."""

    batch_size: int = 16
    """Rows of a step. Default: 16."""

    def __post_init__(self) -> None:
        if self.steps < 0 or not self.rate > 0 or self.batch_size < 1:
            raise ValueError("steps is at least 0, rate above 0 and batch_size at least 1")

    def solve(self, work: Work) -> Solution:
        """See `Merge.solve`."""
        family = work.family
        if self.by == "entropy" and family.task.kind == "regression":
            fix = "Learn the coefficients by labels."
            raise ModelError(Problem("layerwise.by", "numbers have no entropy", "labels", fix))
        count, layers = len(family.members), names_by_layer(family.encoder)
        first = 1 / count if self.start is None else self.start
        factors = torch.full((count, len(layers)), first, requires_grad=True)
        work.put(mixed(family.base, family.deltas, layers, factors.detach()))
        work.measure()
        adam = torch.optim.Adam([factors], lr=self.rate)
        losses = []
        for step, (batch, targets) in enumerate(self._batches(work), start=1):
            weights = mixed(family.base, family.deltas, layers, factors)
            loss = self._loss(work, weights, batch, targets)
            (factors.grad,) = torch.autograd.grad(loss, [factors])
            adam.step()
            losses.append(float(loss.detach()))
            work.tell("coefficients of layers", step, self.steps)
        found = factors.detach()
        told = {
            "coefficients": dict(zip(family.names, found.tolist(), strict=True)),
            "loss": [losses[0], losses[-1]] if losses else [],
        }
        return Solution(mixed(family.base, family.deltas, layers, found), told=told)

    def _batches(self, work: Work) -> Iterator[tuple[Batch, torch.Tensor | None]]:
        """Rows of each step, with their targets where labels are learnt from."""
        if self.by == "labels":
            targets, rows = work.targets, work.prepared(work.evidence.validation)
        else:
            targets, rows = None, work.inputs(max(1, self.steps * self.batch_size))
        draw = np.random.default_rng(seed_for(work.seed, "layerwise batches"))
        ahead: list[int] = []
        for _ in range(self.steps):
            while len(ahead) < self.batch_size:
                ahead += draw.permutation(len(rows)).tolist()
            some, ahead = ahead[: self.batch_size], ahead[self.batch_size :]
            own = None if targets is None else torch.from_numpy(targets[some])
            yield work.family.encoder.collate(rows.take(some)), own

    def _loss(
        self, work: Work, weights: Weights, batch: Batch, targets: torch.Tensor | None
    ) -> torch.Tensor:
        task, network = work.family.task, work.network
        own = {id(part): name for name, part in network.named_parameters()}
        parameters = parameters_of(network)
        placed = {own[id(parameters[name])]: value for name, value in weights.items()}
        logits: torch.Tensor = functional_call(network, placed, (batch,)).logits[HEAD]
        if targets is not None:
            return task.loss(logits, targets)
        if task.kind == "classification":
            return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean()
        chance = logits.sigmoid()
        logs = torch.nn.functional.logsigmoid
        return -(chance * logs(logits) + (1 - chance) * logs(-logits)).sum(-1).mean()


def mixed(
    base: Weights, deltas: tuple[Weights, ...], layers: list[list[str]], factors: torch.Tensor
) -> Weights:
    """The base plus every delta, layer by layer.

    Args:
        base: The ancestor's weights.
        deltas: What each model has learnt.
        layers: The names of each layer's weights.
        factors: The coefficient of each model's layers, [models, layers]; gradients pass.
    """
    return {
        name: base[name]
        + sum(factors[number, place] * delta[name] for number, delta in enumerate(deltas))
        for place, names in enumerate(layers)
        for name in names
    }
