"""The sum of what all models have learnt, as far as it helps."""

import math
from dataclasses import dataclass

import torch

from transfuse.errors import ModelError, Problem
from transfuse.fusion.merges.base import Scaled
from transfuse.fusion.merges.family import Weights
from transfuse.fusion.merges.work import Work

__all__ = ["TaskArithmetic"]


@dataclass(frozen=True)
class TaskArithmetic(Scaled):
    """The ancestor plus λ times the sum of the deltas, with λ searched on validation rows.

    Ilharco et al. (2023), 'Editing models with task arithmetic' (arXiv:2212.04089). A negative
    weight makes the model forget.
    """

    weights: tuple[float, ...] = ()
    """Weight of each model's delta, in the order of the models. Default: all 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(math.isfinite(weight) for weight in self.weights):
            raise ValueError("weights are finite numbers")

    def direction(self, work: Work) -> Weights:
        """The sum of the deltas, each times its weight."""
        deltas = work.family.deltas
        weights = self.weights or (1.0,) * len(deltas)
        if len(weights) != len(deltas):
            raise ModelError(
                Problem(
                    "task_arithmetic.weights",
                    f"got {len(weights)} for {len(deltas)} models",
                    "one for each",
                )
            )
        return {
            name: torch.stack(
                [weight * delta[name] for weight, delta in zip(weights, deltas, strict=True)]
            ).sum(0)
            for name in deltas[0]
        }
