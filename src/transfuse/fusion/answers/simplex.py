"""Least losses over weights that are not negative and sum to 1."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["TOLERANCE", "least_log_loss", "least_squares", "simplex_minimum"]

Array = NDArray[np.float64]

TOLERANCE = 1e-6
"""The loss is at most this far above the least there is."""

_ROUNDS = 5000


def simplex_minimum(
    gradient: Callable[[Array], Array], members: int, tolerance: float = TOLERANCE
) -> tuple[Array, float]:
    """Weights on the simplex at which a convex function is least.

    In each round the member whose weight should grow most takes weight from the one whose weight
    should shrink most, as much as is best for the two (pairwise Frank-Wolfe; Lacoste-Julien and
    Jaggi, 2015, arXiv:1511.05932). Weights that should be 0 become exactly 0.

    Args:
        gradient: The function's gradient, [members] to [members].
        members: How many weights there are.
        tolerance: It ends when the gap is not above this. Default: 1e-6.

    Returns:
        The weights, and the gap w · g − min g, which bounds how far the function is above its
        least value; it is above the tolerance only if 5,000 rounds did not do.
    """
    # Imported here: it takes a tenth of a second that other methods do not need.
    from scipy.optimize import brentq

    weights = np.full(members, 1.0 / members)
    for _ in range(_ROUNDS):
        slopes = gradient(weights)
        gap = float(weights @ slopes - slopes.min())
        if gap <= tolerance:
            break
        gains = int(slopes.argmin())
        loses = int(np.where(weights > 0, slopes, -np.inf).argmax())
        move = np.zeros(members)
        move[gains], move[loses] = 1.0, -1.0

        def slope(step: float, start: Array = weights, move: Array = move) -> float:
            return float(gradient(start + step * move) @ move)

        most = float(weights[loses])
        step = most if slope(most) <= 0 else float(brentq(slope, 0.0, most, xtol=1e-12))
        weights = weights + step * move
        if step == most:
            weights[loses] = 0.0
    return weights / weights.sum(), gap


def least_log_loss(truths: Array) -> tuple[Array, float]:
    """Weights of a mixture that make what is true most likely; a convex problem.

    Args:
        truths: The probability that each member gave to what is true, [rows, members], above 0.

    Returns:
        The weights and the gap, in nats a row.
    """

    def gradient(weights: Array) -> Array:
        found: Array = -(truths / np.maximum(truths @ weights, 1e-300)[:, None]).mean(axis=0)
        return found

    return simplex_minimum(gradient, truths.shape[1])


def least_squares(values: Array, targets: Array) -> tuple[Array, float]:
    """Weights of a mean of numbers that come nearest to the labels; a convex problem.

    Args:
        values: What each member says, [rows, members].
        targets: The labels, [rows].

    Returns:
        The weights and the gap, as a share of the labels' variance.
    """
    scale = max(float(targets.std()), 1e-12)
    errors = (values - targets[:, None]) / scale  # weights sum to 1, so errors mix as values do
    second = errors.T @ errors / len(errors)
    return simplex_minimum(lambda weights: 2 * second @ weights, values.shape[1])
