"""The best worst case near the mean."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from transfuse.balancing.base import Matrix, Vector
from transfuse.balancing.gramian import NOISE, GradientRule, unsolved
from transfuse.balancing.quadratic import shortest

__all__ = ["CAGrad"]

_LEAST = 1e-6


@dataclass(frozen=True)
class CAGrad(GradientRule):
    """Of all steps near the mean gradient, the one that serves the worst-served loss best (CAGrad).

    Near is within c times the mean's length. Liu et al. (2021), 'Conflict-averse gradient descent
    for multi-task learning' (arXiv:2110.14048), times T.
    """

    c: float = 0.5
    """How far from the mean, in its lengths: 0 is the mean itself, near 1 is MGDA's direction.
    Default: 0.5."""

    def __post_init__(self) -> None:
        if not 0 <= self.c < 1:
            raise ValueError("c lies in [0, 1)")

    def factors(self, gramian: Matrix) -> Vector:
        """The mean g_0, plus c |g_0| along g_w, where w is least in g_w . g_0 + c |g_0| |g_w|.

        The w that is least with |g_w| held at m is the shortest vector in the hull of the points
        g_i + m / (c |g_0|) g_0, and m is where |g_w| is m indeed. Seen as a function of w and m
        the problem is convex, so there is one such m, or none above 0.
        """
        tasks = len(gramian)
        along = gramian.mean(1)
        radius = self.c * math.sqrt(max(float(along.mean()), 0.0))
        longest = math.sqrt(float(np.diagonal(gramian).max()))
        if radius <= NOISE * longest:
            return np.ones(tasks)

        def shares(length: float) -> Vector:
            shift = length / radius
            moved = gramian + shift * (along[:, None] + along) + shift**2 * along.mean()
            return shortest(moved, "cagrad")

        def too_long(length: float) -> float:
            found = shares(length)
            return math.sqrt(max(float(found @ gramian @ found), 0.0)) / length - 1

        if too_long(_LEAST * longest) <= 0:
            # g_w is 0: losses are in balance already, and no direction is better than the mean.
            return np.ones(tasks)
        try:
            length = brentq(too_long, _LEAST * longest, 2 * longest, rtol=1e-12, xtol=1e-300)
        except (RuntimeError, ValueError) as error:
            raise unsolved("cagrad", str(error)) from error
        factors: Vector = 1 + tasks * radius / length * shares(length)
        return factors
