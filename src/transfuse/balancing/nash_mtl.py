"""The bargain of Nash."""

import math
from dataclasses import dataclass

import numpy as np

from transfuse.balancing.base import Matrix, Vector
from transfuse.balancing.gramian import NOISE, GradientRule, split, unsolved

__all__ = ["NashMTL"]

_STEPS = 500
_EXACT = 1e-8


@dataclass(frozen=True)
class NashMTL(GradientRule):
    """The Nash bargaining solution: G w = 1 / w, so all losses gain equally by their share.

    Navon et al. (2022), 'Multi-task learning as a bargaining game' (arXiv:2202.01017). Solved in
    every step by Newton's method, without a solver for convex programs. The step's length is
    sqrt(T) times the root of the gradients' mean square length, so it scales with the losses.
    """

    def factors(self, gramian: Matrix) -> Vector:
        """Solved on unit gradients, where w is times the lengths."""
        lengths, cosines = split(gramian)
        # Where no step gains for every loss there is no bargain and w grows without bound, while
        # the step itself shrinks to nothing. What rounding hides of the cosines bounds it.
        ridge = len(gramian) * NOISE * np.eye(len(gramian))
        factors: Vector = _bargain(cosines + ridge) / lengths
        return factors


def _bargain(gramian: Matrix) -> Vector:
    """The w > 0 with G w = 1 / w: the least of w' G w / 2 - sum of log w, which is convex."""
    weights: Vector = 1 / np.sqrt(np.maximum(gramian.sum(1), 1.0))
    for _ in range(_STEPS):
        slope = gramian @ weights - 1 / weights
        # In units of w, so that the matrix is never further from I than G makes it.
        curvature = gramian * np.outer(weights, weights) + np.eye(len(weights))
        move = np.linalg.solve(curvature, weights * slope)
        decrement = math.sqrt(max(float(move @ (weights * slope)), 0.0))
        if decrement < _EXACT:
            return weights
        # The function is self-concordant: this step always goes down and keeps w above 0
        # (Nesterov, 2018, 'Lectures on convex optimization', section 5.2).
        damping = 1 if decrement < 0.25 else 1 / (1 + decrement)
        weights = weights * (1 - damping * move)
    raise unsolved("nash_mtl", f"no end after {_STEPS} steps")
