"""Weights from learned uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from transfuse.balancing.base import Balancer, Passes, Vector
from transfuse.balancing.memory import Learnt

__all__ = ["Uncertainty"]


@dataclass(frozen=True)
class Uncertainty(Balancer):
    """Homoscedastic uncertainty: the sum of exp(-s_i) * lambda_i * L_i + s_i / 2, with s_i learned.

    s_i is the logarithm of a variance. Kendall, Gal and Cipolla (2018), 'Multi-task learning using
    uncertainty to weigh losses for scene geometry and semantics' (arXiv:1705.07115), with their
    form for classification for every loss, so that each weight begins at 1.
    """

    learning_rate: float = 0.01
    """Rate of the log-variances, which have an optimizer of their own. Default: 0.01."""

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError("learning_rate is above 0")

    def module(self, names: Sequence[str]) -> Learnt:
        """The log-variances, 0 at first."""
        return Learnt(names, 0.0)

    def backward(self, passes: Passes, module: nn.Module | None) -> Vector:
        """One backward pass, then one step of the log-variances."""
        assert isinstance(module, Learnt)
        factors: Vector = np.exp(-module.read("learnt", passes.names))
        passes.backward(factors)
        slope = 0.5 - factors * passes.weights * passes.values
        module.descend(passes.names, slope, self.learning_rate)
        return factors
