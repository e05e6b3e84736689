"""Equal projections."""

from dataclasses import dataclass

import numpy as np

from transfuse.balancing.base import Matrix, Vector
from transfuse.balancing.gramian import NOISE, GradientRule, split

__all__ = ["IMTLG"]


@dataclass(frozen=True)
class IMTLG(GradientRule):
    """The combination that makes equal progress along each unit gradient (IMTL-G).

    Liu et al. (2021), 'Towards impartial multi-task learning' (ICLR). The factors may be negative.
    Their absolute values, rather than the factors as in the paper, have the mean 1: so the step
    never turns uphill and never grows without bound.
    """

    def factors(self, gramian: Matrix) -> Vector:
        """The shortest vector that affine combinations of unit gradients give.

        It is orthogonal to all differences of them, so its product with each is the same.
        """
        tasks = len(gramian)
        lengths, cosines = split(gramian)
        system = np.ones((tasks + 1, tasks + 1))
        system[:tasks, :tasks] = cosines
        system[tasks, tasks] = 0.0
        goal = np.zeros(tasks + 1)
        goal[tasks] = 1.0
        # Of the solutions that rounding cannot tell from each other, the least: equal gradients
        # get equal factors.
        found = np.linalg.lstsq(system, goal, rcond=tasks * NOISE)[0][:tasks] / lengths
        factors: Vector = tasks * found / np.abs(found).sum()
        return factors
