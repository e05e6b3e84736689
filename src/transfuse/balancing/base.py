"""The interface of a balancer.

A balancer is a frozen dataclass of options. It turns the named losses of one step into gradients.
What it may ask for is in `Passes`: a backward pass of a weighted sum, or the gradient of each loss
on the parameters that several of them move. So it never knows whether one process or many are at
work, nor in how many parts a step is accumulated.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

__all__ = ["Balancer", "Matrix", "Passes", "Vector"]

Vector = NDArray[np.float64]
"""One number for each loss."""

Matrix = NDArray[np.float64]
"""One number for each pair of losses."""


class Passes(ABC):
    """The backward passes of one step that a balancer may run.

    It shows the losses that take part: those whose objective gives them a weight above 0 at this
    step, and that depend on anything that trains. Every vector has one entry for each of them, in
    this order. Either `backward` is called, or `gramian` and then `combine`; each once.
    """

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The losses that take part."""

    @property
    @abstractmethod
    def weights(self) -> Vector:
        """The weight of each loss's objective, above 0."""

    @property
    @abstractmethod
    def values(self) -> Vector:
        """The losses, not weighted, once a pass has been run: the mean over parts and processes."""

    @abstractmethod
    def backward(self, factors: Vector | Callable[[Vector], Vector]) -> None:
        """One backward pass of the sum of the losses, each times its weight and its factor.

        Args:
            factors: The factors; or what gives them from the losses of a part of the step, not
                weighted and averaged over the processes.
        """

    @abstractmethod
    def gramian(self) -> Matrix:
        """One backward pass for each loss, times its weight.

        Returns:
            The inner products of the losses' gradients on the shared parameters: those that more
            than one loss moves.
        """

    @abstractmethod
    def combine(self, factors: Vector) -> None:
        """Write `.grad` from the gradients that `gramian` took.

        Shared parameters get the sum of the losses' gradients, each times its factor; what one
        loss alone moves gets that loss's gradient, times its weight only.

        Args:
            factors: The factors.
        """

    @abstractmethod
    def agreed(self, numbers: Vector) -> Vector:
        """The first process's numbers, in every process."""


@dataclass(frozen=True)
class Balancer(ABC):
    """A rule that turns named losses into gradients."""

    apart: ClassVar[bool] = False
    """Whether it asks for the gradient of each loss."""

    def module(self, names: Sequence[str]) -> nn.Module | None:
        """What the balancer learns or remembers between steps, one entry per loss.

        Args:
            names: All losses of the run.
        """
        return None

    @abstractmethod
    def backward(self, passes: Passes, module: nn.Module | None) -> Vector:
        """Put the gradients of one step into `.grad`.

        It is asked where two or more losses take part; a loss alone is simply descended.

        Args:
            passes: The step's losses that take part, and the passes that may be run.
            module: What `module` built.

        Returns:
            The factor that each loss had besides its weight, for the log.
        """
