"""Each gradient freed of its conflicts, one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from transfuse.balancing.base import Matrix, Vector
from transfuse.balancing.gramian import GradientRule

__all__ = ["PCGrad", "project"]


@dataclass(frozen=True)
class PCGrad(GradientRule):
    """The sum of the gradients, each freed of its part against each other one in turn (PCGrad).

    The others come in random order. Yu et al. (2020), 'Gradient surgery for multi-task learning'
    (arXiv:2001.06782).
    """

    def factors(self, gramian: Matrix) -> Vector:
        """The factors for one random order."""
        tasks = len(gramian)
        return project(gramian, [torch.randperm(tasks).tolist() for _ in range(tasks)])


def project(gramian: Matrix, orders: Sequence[Sequence[int]]) -> Vector:
    """The factors for given orders.

    Args:
        gramian: Inner products of the gradients.
        orders: For each gradient, the order in which the others are looked at; itself is skipped.
    """
    sums = np.zeros(len(gramian))
    for own, order in enumerate(orders):
        factors = np.zeros(len(gramian))
        factors[own] = 1.0
        for other in order:
            if other == own:
                continue
            product = factors @ gramian[:, other]
            if product < 0:
                factors[other] -= product / gramian[other, other]
        sums += factors
    return sums
