"""The geometric mean of the losses."""

from dataclasses import dataclass

import numpy as np
from torch import nn

from transfuse.balancing.base import Balancer, Passes, Vector
from transfuse.balancing.positive import positive

__all__ = ["GLS"]


@dataclass(frozen=True)
class GLS(Balancer):
    """The geometric mean of the losses, each with its objective's weight as exponent (GLS).

    Its gradient is that of the sum of the losses' logarithms, times the mean: each loss counts by
    its relative change. Chennupati et al. (2019), 'MultiNet++: Multi-stream feature aggregation and
    geometric loss strategy for multi-task learning' (arXiv:1904.08492). Losses have to stay above
    0.
    """

    shift: float = 0.0
    """Added to every loss before its logarithm, for losses that may be 0 or below. Default: 0."""

    def backward(self, passes: Passes, module: nn.Module | None) -> Vector:
        """One backward pass, with the weights that the losses of now give."""
        factors = np.ones(len(passes.names))
        shares = passes.weights / passes.weights.sum()

        def weigh(values: Vector) -> Vector:
            logs = np.log(positive(values, self.shift, passes.names, "gls"))
            factors[:] = np.exp(shares @ logs - logs)
            return factors

        passes.backward(weigh)
        return factors
