"""Means and covariances of features, and powers of covariances, that any number of rows allows."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["covariance", "power"]

Array = NDArray[np.float64]

# Variances below this share of the largest are rounding of 32-bit features.
_ROUNDING = 1e-12


def covariance(centred: Array, shrinkage: float | None) -> Array:
    """The covariance of centred rows, drawn towards a multiple of the identity.

    Args:
        centred: Rows whose mean is 0, [n, d].
        shrinkage: The share of the identity, 0 to 1. Default for None: the estimate of Ledoit and
            Wolf (2004), 'A well-conditioned estimator for large-dimensional covariance matrices'.

    Returns:
        [d, d]; positive definite with any shrinkage above 0 unless all rows are the same.
    """
    # Imported here: scikit-learn takes a second.
    from sklearn.covariance import ledoit_wolf_shrinkage

    width = centred.shape[1]
    plain: Array = centred.T @ centred / len(centred)
    level = float(np.trace(plain)) / width
    if level == 0.0:
        return plain
    share = shrinkage
    if share is None:
        # Scaled first: its fourth powers overflow or vanish far from 1. One column alone has
        # nothing to be drawn to.
        share = float(ledoit_wolf_shrinkage(centred / np.sqrt(level), assume_centered=True))
    drawn: Array = (1 - share) * plain + share * level * np.eye(width)
    return drawn


def power(matrix: Array, exponent: float) -> Array:
    """A symmetric positive semi-definite matrix to a power.

    Args:
        matrix: [d, d].
        exponent: The power; below 0, directions without variance stay at 0, as in a pseudo-inverse.
    """
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    real = values > _ROUNDING * max(float(values[-1]), 0.0)
    raised = np.zeros_like(values)
    raised[real] = values[real] ** exponent
    result: Array = (vectors * raised) @ vectors.T
    return result
