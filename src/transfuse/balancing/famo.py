"""Equal relative progress, from the losses alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from transfuse.balancing.base import Balancer, Passes, Vector
from transfuse.balancing.memory import Learnt
from transfuse.balancing.positive import positive

__all__ = ["FAMO"]


@dataclass(frozen=True)
class FAMO(Balancer):
    """Lets every loss fall at the same relative rate, at the cost of one pass (FAMO).

    The weights are proportional to softmax(xi)_i / L_i, and xi moves against the losses that fell
    most since the step before. Liu et al. (2023), 'FAMO: fast adaptive multitask optimization'
    (arXiv:2306.03792), in the form that takes the losses after a step from the next batch. Losses
    have to stay above 0.
    """

    beta: float = 0.025
    """Rate of xi, which has an optimizer of its own. Default: 0.025."""

    gamma: float = 0.001
    """Pull of xi towards 0, which is equal shares. Default: 0.001."""

    shift: float = 0.0
    """Added to every loss before its logarithm, for losses that may be 0 or below. Default: 0."""

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ValueError("beta is above 0")
        if not 0 <= self.gamma < math.inf:
            raise ValueError("gamma is 0 or above")

    def module(self, names: Sequence[str]) -> Learnt:
        """xi, and the logarithms of the losses before."""
        return Learnt(names, 0.0, before=float("nan"))

    def backward(self, passes: Passes, module: nn.Module | None) -> Vector:
        """Learn from what the step before has changed, then one backward pass."""
        assert isinstance(module, Learnt)
        names = passes.names
        factors = np.ones(len(names))
        updated = False

        def weigh(values: Vector) -> Vector:
            nonlocal updated
            logs = self._logs(values, names)
            if not updated:
                self._learn(module, names, logs)
                updated = True
            # Relative to the least logarithm, nothing overflows.
            shares = _softmax(module.read("learnt", names)) * np.exp(logs.min() - logs)
            factors[:] = len(names) * shares / shares.sum()
            return factors

        passes.backward(weigh)
        module.write("before", names, self._logs(passes.values, names))
        return factors

    def _logs(self, values: Vector, names: Sequence[str]) -> Vector:
        logs: Vector = np.log(positive(values, self.shift, names, "famo"))
        return logs

    def _learn(self, module: Learnt, names: Sequence[str], logs: Vector) -> None:
        fallen = module.read("before", names) - logs
        # A loss that was not there before tells nothing yet.
        seen = np.isfinite(fallen)
        if not seen.any():
            return
        taught = [name for name, known in zip(names, seen, strict=True) if known]
        xi = module.read("learnt", taught)
        shares = _softmax(xi)
        fallen = fallen[seen]
        slope = shares * (fallen - shares @ fallen) + self.gamma * xi
        module.descend(taught, slope, self.beta)


def _softmax(numbers: Vector) -> Vector:
    powers = np.exp(numbers - numbers.max())
    shares: Vector = powers / powers.sum()
    return shares
