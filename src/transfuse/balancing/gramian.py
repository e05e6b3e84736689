"""What the rules on gradients share.

Such a rule is a function from the Gramian of the losses' gradients on the shared parameters to one
factor for each loss; all its mathematics is T×T, in float64. The step is the sum of the gradients,
each times its factor. Factors are on the scale of a sum: where a paper takes a mean over the T
losses, they are T times the paper's, so that losses whose gradients are orthogonal and of one
length get the step of `fixed`, and a learning rate that is right for one rule is right for another.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn

from transfuse.balancing.base import Balancer, Matrix, Passes, Vector
from transfuse.errors import Problem, TrainingError

__all__ = ["NOISE", "GradientRule", "factors_of", "split", "unsolved"]

NOISE = float(np.finfo(np.float32).eps)
"""What gradients in 32 bits do not know, relative to what they are."""


@dataclass(frozen=True)
class GradientRule(Balancer):
    """A balancer that looks at the gradients of the losses on the shared parameters."""

    apart = True

    @abstractmethod
    def factors(self, gramian: Matrix) -> Vector:
        """The rule.

        Args:
            gramian: Inner products of T gradients, none of them 0, of mean square length 1.

        Returns:
            The factor of each gradient.
        """

    def backward(self, passes: Passes, module: nn.Module | None) -> Vector:
        """T backward passes, the rule, and the combination of the gradients."""
        factors = passes.agreed(factors_of(passes.gramian(), self.factors))
        passes.combine(factors)
        return factors


def factors_of(gramian: Matrix, rule: Callable[[Matrix], Vector]) -> Vector:
    """The factors that a rule gives, at any scale of the gradients.

    Args:
        gramian: Inner products of T gradients.
        rule: The rule.

    Returns:
        The factors. A loss whose gradient is 0 on the shared parameters is none of the rule's
        business and has 1; so has one that is left alone then.
    """
    squares = np.diagonal(gramian)
    there = squares > 0
    factors = np.ones(len(gramian))
    if there.sum() > 1:
        chosen = gramian[np.ix_(there, there)]
        # Symmetric to the last bit, whatever order the sums were done in.
        chosen = (chosen + chosen.T) / 2
        factors[there] = rule(chosen / squares[there].mean())
    return factors


def split(gramian: Matrix) -> tuple[Vector, Matrix]:
    """The lengths of the gradients, and the cosines between them; 0 for a gradient that is 0."""
    lengths = np.sqrt(np.maximum(np.diagonal(gramian), 0))
    ones = np.where(lengths > 0, lengths, 1.0)
    return lengths, gramian / np.outer(ones, ones)


def unsolved(rule: str, why: str) -> TrainingError:
    """The error for a rule whose solver has failed."""
    return TrainingError(
        Problem(
            f"balance.{rule}",
            f"its factors could not be computed ({why})",
            "gradients that can be told from each other",
            "Look for losses of very different size, or choose another balancer.",
        )
    )
