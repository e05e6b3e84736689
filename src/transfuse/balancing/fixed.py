"""The weighted sum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.balancing.base import Balancer

__all__ = ["Fixed"]


@dataclass(frozen=True)
class Fixed(Balancer):
    """The sum of the losses, each times its objective's weight: L = sum of lambda_i * L_i."""

    def backward(
        self,
        losses: Mapping[str, torch.Tensor],
        weights: Mapping[str, float],
        shared: Sequence[nn.Parameter],
        module: nn.Module | None,
        run_backward: Callable[[torch.Tensor], None],
    ) -> dict[str, float]:
        """One backward pass of the weighted sum."""
        run_backward(torch.stack([weights[name] * loss for name, loss in losses.items()]).sum())
        return dict(weights)
