"""Each gradient freed of its conflicts, exactly."""

from dataclasses import dataclass

import numpy as np

from transfuse.balancing.base import Matrix, Vector
from transfuse.balancing.gramian import GradientRule, split
from transfuse.balancing.quadratic import nonnegative, root

__all__ = ["UPGrad"]


@dataclass(frozen=True)
class UPGrad(GradientRule):
    """The sum of the gradients, each projected to where it raises no loss (UPGrad).

    Each is moved to the nearest vector with no negative inner product with any gradient. Quinton
    and Rey (2024), 'Jacobian descent for multi-objective optimization' (arXiv:2406.16232), times T.
    """

    def factors(self, gramian: Matrix) -> Vector:
        """The projection of g_i is the shortest g_i + sum of v_j g_j with all v_j >= 0."""
        lengths, cosines = split(gramian)
        columns = root(cosines)
        # On unit gradients, for lengths change neither the cone nor, but for its length, a
        # projection.
        sums = np.zeros(len(gramian))
        for row, length in enumerate(lengths):
            found = np.zeros(len(gramian))
            if cosines[row].min() < 0:
                found = nonnegative(columns, -columns[:, row], "upgrad")
            found[row] += 1
            sums += length * found
        factors: Vector = sums / lengths
        return factors
