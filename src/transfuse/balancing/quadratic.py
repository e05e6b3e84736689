"""Exact small quadratic problems: the shortest vector of a hull and of a cone.

Both are non-negative least squares, which the active-set method of Lawson and Hanson (1974,
'Solving least squares problems') ends exactly after finitely many steps.
"""

import numpy as np
from scipy.optimize import nnls

from transfuse.balancing.base import Matrix, Vector
from transfuse.balancing.gramian import split, unsolved

__all__ = ["nonnegative", "root", "shortest"]


def root(gramian: Matrix) -> Matrix:
    """Columns [T, T] whose inner products are the Gramian's."""
    lengths, cosines = split(gramian)
    values, vectors = np.linalg.eigh(cosines)
    # Unit columns first, so that a short gradient keeps its digits beside a long one.
    columns: Matrix = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T * lengths
    return columns


def nonnegative(columns: Matrix, goal: Vector, rule: str) -> Vector:
    """The x >= 0 that brings the sum of x_i times column i nearest to a goal.

    Raises:
        TrainingError: If the solver does not end.
    """
    try:
        found: Vector = nnls(columns, goal, maxiter=30 * len(goal))[0]
    except RuntimeError as error:
        raise unsolved(rule, str(error)) from error
    return found


def shortest(gramian: Matrix, rule: str) -> Vector:
    """The convex combination of T vectors that is shortest.

    With x = s w, where w sums to 1, the least of x' G x + (sum of x - 1)^2 over s leaves a growing
    function of w' G w: so the nearest point is found without the constraint, and scaled.

    Args:
        gramian: Inner products of the vectors.
        rule: The balancer that asks, for the error.

    Returns:
        The share of each vector, 0 or above, of sum 1.
    """
    scale = np.sqrt(max(np.diagonal(gramian).mean(), np.finfo(float).tiny))
    columns = np.vstack([root(gramian) / scale, np.ones(len(gramian))])
    goal = np.zeros(len(columns))
    goal[-1] = 1.0
    found = nonnegative(columns, goal, rule)
    shares: Vector = found / found.sum()
    return shares
