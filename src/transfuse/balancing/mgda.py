"""The shortest gradient of the hull."""

from dataclasses import dataclass

from transfuse.balancing.base import Matrix, Vector
from transfuse.balancing.gramian import GradientRule
from transfuse.balancing.quadratic import shortest

__all__ = ["MGDA"]


@dataclass(frozen=True)
class MGDA(GradientRule):
    """The shortest convex combination of the gradients, which raises no loss (MGDA).

    Désidéri (2012), 'Multiple-gradient descent algorithm (MGDA) for multiobjective optimization';
    for networks Sener and Koltun (2018), 'Multi-task learning as multi-objective optimization'
    (arXiv:1810.04650). Solved exactly, and times T.
    """

    def factors(self, gramian: Matrix) -> Vector:
        """T times the shares of the shortest vector."""
        return len(gramian) * shortest(gramian, "mgda")
