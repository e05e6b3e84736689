"""Random weights."""

from dataclasses import dataclass

import torch
from torch import nn

from transfuse.balancing.base import Balancer, Passes, Vector

__all__ = ["RLW"]


@dataclass(frozen=True)
class RLW(Balancer):
    """Random weights, drawn anew at each step: a softmax over normal numbers, times T (RLW).

    Lin et al. (2022), 'Reasonable effectiveness of random weighting: a litmus test for multi-task
    learning' (arXiv:2111.10603). A rule that does not beat it has not earned its cost.
    """

    def backward(self, passes: Passes, module: nn.Module | None) -> Vector:
        """One backward pass, with the weights of one draw."""
        tasks = len(passes.names)
        drawn = torch.randn(tasks, dtype=torch.float64).softmax(0).numpy()
        factors = passes.agreed(tasks * drawn)
        passes.backward(factors)
        return factors
