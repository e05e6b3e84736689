"""The interface of a balancer.

A balancer is a frozen dataclass of options. It turns the named losses of one step into gradients.
It is handed the function that runs a backward pass, so that it never knows whether one process or
many are at work.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["Balancer"]


@dataclass(frozen=True)
class Balancer(ABC):
    """A rule that turns named losses into gradients."""

    def module(self, names: Sequence[str]) -> nn.Module | None:
        """What the balancer learns or remembers between steps, one entry per loss."""
        return None

    @abstractmethod
    def backward(
        self,
        losses: Mapping[str, torch.Tensor],
        weights: Mapping[str, float],
        shared: Sequence[nn.Parameter],
        module: nn.Module | None,
        run_backward: Callable[[torch.Tensor], None],
    ) -> dict[str, float]:
        """Add the gradients of one step to `.grad`.

        Args:
            losses: The losses by name, each a scalar with a graph, not yet weighted.
            weights: The weight that each loss's objective asks for.
            shared: The trained parameters that more than one loss moves.
            module: What `module` built.
            run_backward: Runs the backward pass of a scalar.

        Returns:
            The weight that each loss had in effect, for the log.
        """
