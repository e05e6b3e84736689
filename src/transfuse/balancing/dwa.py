"""Weights by how slowly a loss has been falling."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from transfuse.balancing.base import Balancer, Passes, Vector
from transfuse.balancing.memory import Memory

__all__ = ["DWA"]


@dataclass(frozen=True)
class DWA(Balancer):
    """More weight for losses that fall slowly: a softmax over their rates (DWA).

    A rate is a loss's mean over the window before, divided by its mean over the window before
    that. Liu, Johns and Davison (2019), 'End-to-end multi-task learning with attention'
    (arXiv:1803.10704), whose windows are epochs. A loss that was not above 0 in the mean has no
    rate and counts as one that stands still.
    """

    temperature: float = 2.0
    """Temperature of the softmax; the higher, the more equal the weights. Default: 2."""

    window: int = 50
    """Steps over which losses are averaged. Default: 50."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError("temperature is above 0")
        if self.window < 1:
            raise ValueError("window is 1 or above")

    def module(self, names: Sequence[str]) -> Memory:
        """The sum over the window of now, and the means of the two before it."""
        nothing = float("nan")
        return Memory(names, total=0.0, count=0.0, last=nothing, earlier=nothing)

    def backward(self, passes: Passes, module: nn.Module | None) -> Vector:
        """One backward pass, with the weights that the windows before give."""
        assert isinstance(module, Memory)
        names = passes.names
        last, earlier = module.read("last", names), module.read("earlier", names)
        # What has not been seen twice is not a number, and so fails both comparisons.
        known = (last > 0) & (earlier > 0)
        rates = np.divide(last, earlier, out=np.ones_like(last), where=known) / self.temperature
        shares = np.exp(rates - rates.max(initial=0.0))
        factors: Vector = len(names) * shares / shares.sum()
        passes.backward(factors)
        self._remember(module, names, passes.values)
        return factors

    def _remember(self, module: Memory, names: Sequence[str], values: Vector) -> None:
        total = module.read("total", names) + values
        count = module.read("count", names) + 1
        full = count >= self.window
        last = module.read("last", names)
        module.write("earlier", names, np.where(full, last, module.read("earlier", names)))
        module.write("last", names, np.where(full, total / count, last))
        module.write("total", names, np.where(full, 0.0, total))
        module.write("count", names, np.where(full, 0.0, count))
