"""What every way of merging weights is: options, and a function from tensors to a tensor."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from transfuse.errors import ModelError, Problem

__all__ = ["Floats", "Method"]

Floats = NDArray[np.float32]
"""Weights as every method sees them, whatever they are stored in."""


class Method(ABC):
    """A way to merge models; a subclass is a frozen dataclass of its options.

    It works on one tensor after another. Which tensor it is decides nothing but the stream of
    random numbers, so that neither the order of the work nor threads nor shards change a result.
    """

    needs_base: ClassVar[bool] = False
    """Whether the model that the others were tuned from is needed. Default: no."""

    least: ClassVar[int] = 2
    """Models that it needs, without the base. Default: 2."""

    most: ClassVar[int | None] = None
    """Models that it takes at the most, without the base. Default: any number."""

    @abstractmethod
    def combine(self, name: str, base: Floats | None, models: Sequence[Floats]) -> Floats:
        """One tensor of the merged model.

        Args:
            name: The tensor's name, which keys the randomness.
            base: The tensor of the base; None where there is no base.
            models: The tensor of each model, all of the base's shape. None is changed.

        Returns:
            A new array of the same shape.
        """

    def check(self, models: int, has_base: bool) -> None:
        """Say what does not fit before any weights are read.

        Args:
            models: How many models there are, without the base.
            has_base: Whether there is a base.

        Raises:
            ModelError: If the number of models does not suit, or the base is missing.
        """
        problems = []
        where = type(self).__name__
        if models < self.least or (self.most is not None and models > self.most):
            wanted = f"{self.least} to {self.most}" if self.most is not None else f"{self.least}+"
            if self.least == self.most:
                wanted = str(self.least)
            problems.append(Problem(where, f"got {models} models", f"{wanted} beside the base"))
        if self.needs_base and not has_base:
            problems.append(
                Problem(where, "no base", "the model that the others were tuned from", "Give it.")
            )
        if problems:
            raise ModelError(problems)
