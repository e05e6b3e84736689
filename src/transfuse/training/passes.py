"""The backward passes of one step, for whatever balancer asks: parts, processes and `.grad`.

Gradients of single losses bypass the wrapper that keeps processes together, so they are taken
without it, put side by side and averaged in one go. The wrapper does its work only in the backward
pass of a weighted sum, and only where that sum holds every loss: it waits for each parameter that
the forward pass has used.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import chain

import numpy as np
import torch
from torch import nn

from transfuse.balancing import Jacobian, Passes
from transfuse.balancing.base import Matrix, Vector
from transfuse.errors import Problem, TrainingError
from transfuse.training.runtime import Runtime

__all__ = ["Forward", "StepPasses"]

Forward = Callable[[], Mapping[str, torch.Tensor]]
"""Runs the network on one part of a step and gives the losses by name."""


class StepPasses(Passes):
    """The passes of one step.

    Args:
        parts: One forward pass for each part of an accumulated step; each is run once, the first
            at once: it tells which losses there is something to be done about.
        weights: The weight that each loss's objective asks for.
        wrapped: The module as the runtime prepared it.
        jacobian: The parameters that train, and room for their gradients.
        runtime: The processes at work.
        apart: Whether the gradient of each loss will be asked for, rather than a sum's.
    """

    def __init__(
        self,
        parts: Sequence[Forward],
        weights: Mapping[str, float],
        wrapped: nn.Module,
        jacobian: Jacobian,
        runtime: Runtime,
        *,
        apart: bool,
    ) -> None:
        self._parts = parts
        self._wrapped = wrapped
        self._jacobian = jacobian
        self._runtime = runtime
        self._values: Vector | None = None
        self._by_hand = apart or min(weights.values(), default=1.0) == 0
        self.losses: dict[str, float] = {}
        """Every loss of the run, those that take no part too: the mean over this process's
        parts, once a pass has been run."""
        self._losses = self._forward()
        self._first = next(self._losses)
        moving = self._everywhere([float(self._first[name].requires_grad) for name in weights])
        self._names = tuple(
            name for name, moves in zip(weights, moving, strict=True) if weights[name] and moves
        )
        self._weights = np.array([weights[name] for name in self._names], dtype=np.float64)

    @property
    def names(self) -> tuple[str, ...]:
        """The losses with a weight above 0 that depend on anything that trains."""
        return self._names

    @property
    def weights(self) -> Vector:
        """Their weights."""
        return self._weights

    @property
    def values(self) -> Vector:
        """The losses: the mean over parts and processes."""
        if self._values is None:
            self._values = self._everywhere([self.losses[name] for name in self._names])
        return self._values

    def backward(self, factors: Vector | Callable[[Vector], Vector]) -> None:
        """One backward pass for each part."""
        by_hand = self._by_hand and self._runtime.world > 1
        for number, losses in self._each_part():
            known = [losses[name] for name in self._names]
            if callable(factors):
                now = factors(self._everywhere([float(loss.detach()) for loss in known]))
            else:
                now = factors
            scales = (self._weights * now / len(self._parts)).tolist()
            total = torch.zeros((), device=self._runtime.device)
            for scale, loss in zip(scales, known, strict=True):
                total = total + scale * loss
            if by_hand:
                self._jacobian.take([total], more=number > 0)
            elif total.requires_grad:
                self._runtime.backward(total)
        if by_hand:
            self._runtime.average(self._jacobian.rows)
            self._jacobian.write(np.ones(1))

    def gramian(self) -> Matrix:
        """One backward pass for each part and each loss, averaged over the processes."""
        for number, losses in self._each_part():
            scales = (self._weights / len(self._parts)).tolist()
            terms = [scale * losses[name] for name, scale in zip(self._names, scales, strict=True)]
            self._jacobian.take(terms, more=number > 0)
        self._runtime.average(self._jacobian.rows)
        gramian = self._jacobian.gramian()
        self._check_finite(gramian)
        return gramian

    def combine(self, factors: Vector) -> None:
        """Set `.grad` of every parameter that trains."""
        self._jacobian.write(factors)

    def agreed(self, numbers: Vector) -> Vector:
        """The first process's numbers, in every process."""
        return self._runtime.agreed(numbers)

    def _forward(self) -> Iterator[Mapping[str, torch.Tensor]]:
        """The losses of each part; what is done with them is synchronised at the last, or not."""
        for number, part in enumerate(self._parts):
            quiet = self._by_hand or number + 1 < len(self._parts)
            with self._runtime.unsynchronised(self._wrapped) if quiet else nullcontext():
                losses = part()
                for name, loss in losses.items():
                    value = float(loss.detach()) / len(self._parts)
                    self.losses[name] = self.losses.get(name, 0.0) + value
                yield losses

    def _each_part(self) -> Iterator[tuple[int, Mapping[str, torch.Tensor]]]:
        """Number and losses of each part; the first has been run already."""
        return enumerate(chain([self._first], self._losses))

    def _everywhere(self, numbers: Sequence[float]) -> Vector:
        """The mean over the processes."""
        mean = torch.tensor(numbers, dtype=torch.float64, device=self._runtime.device)
        self._runtime.average(mean)
        values: Vector = mean.cpu().numpy()
        return values

    def _check_finite(self, gramian: Matrix) -> None:
        broken = [
            Problem(
                f"objective {name!r}",
                "its gradient is not finite",
                "finite numbers",
                "Lower the learning rate, or look for extreme values in the data.",
            )
            for name, square in zip(self._names, np.diagonal(gramian), strict=True)
            if not np.isfinite(square)
        ]
        if broken:
            raise TrainingError(broken)
