"""Gradients of one length, longer for losses that lag."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from transfuse.balancing.base import Balancer, Passes, Vector
from transfuse.balancing.memory import Learnt

__all__ = ["GradNorm"]


@dataclass(frozen=True)
class GradNorm(Balancer):
    """Learns weights that even the gradients' lengths, longer for losses that lag (GradNorm).

    How far a loss has come is its value over that of its first step. Chen et al. (2018),
    'GradNorm: gradient normalization for adaptive loss balancing in deep multitask networks'
    (arXiv:1711.02257), with lengths over all shared parameters. A loss that did not start above 0
    counts as one that has come as far as the others in the mean.
    """

    alpha: float = 1.5
    """How strongly losses that lag are helped; 0 makes all lengths equal. Default: 1.5."""

    learning_rate: float = 0.025
    """Rate of the weights, which have an optimizer of their own. Default: 0.025."""

    apart = True

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < math.inf:
            raise ValueError("alpha is 0 or above")
        if not self.learning_rate > 0:
            raise ValueError("learning_rate is above 0")

    def module(self, names: Sequence[str]) -> Learnt:
        """The weights, 1 at first, and each loss at its first step."""
        return Learnt(names, 1.0, reference=float("nan"))

    def backward(self, passes: Passes, module: nn.Module | None) -> Vector:
        """T backward passes, one step of the weights, and the weighted sum."""
        assert isinstance(module, Learnt)
        lengths = np.sqrt(np.maximum(np.diagonal(passes.gramian()), 0))
        names = passes.names
        reference = module.read("reference", names)
        reference = np.where(np.isnan(reference), passes.values, reference)
        module.write("reference", names, reference)
        factors = module.read("learnt", names)
        there = lengths > 0
        if there.sum() > 1:
            chosen = [name for name, shared in zip(names, there, strict=True) if shared]
            behind = _behind(passes.values[there], reference[there]) ** self.alpha
            self._learn(module, chosen, lengths[there], behind)
            factors[there] = module.read("learnt", chosen)
        # What has no gradient on the shared parameters has nothing to be weighed there.
        factors = passes.agreed(np.where(there, factors, 1.0))
        passes.combine(factors)
        return factors

    def _learn(self, module: Learnt, names: Sequence[str], lengths: Vector, behind: Vector) -> None:
        """One step down sum of |w_i |g_i| - goal_i|, the goals held; then the sum is T again."""
        lengths = lengths / lengths.mean()
        weights = module.read("learnt", names)
        now = weights * lengths
        module.descend(names, np.sign(now - now.mean() * behind) * lengths, self.learning_rate)
        # A weight that a step took below 0 would turn its loss uphill.
        weights = np.maximum(module.read("learnt", names), self.learning_rate * weights)
        module.write("learnt", names, len(names) * weights / weights.sum())


def _behind(values: Vector, reference: Vector) -> Vector:
    """What is left of each loss since its first step, relative to the mean."""
    known = reference > 0
    left = np.maximum(values, 0.0)
    left = np.divide(left, reference, out=np.ones_like(left), where=known)
    mean = left[known].mean() if known.any() else 1.0
    if mean == 0:
        return np.ones_like(left)
    behind: Vector = np.where(known, left / mean, 1.0)
    return behind
