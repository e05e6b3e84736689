"""Canonical correlation analysis: two views of the same rows, brought to where they agree."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svd

from transfuse.errors import DataError, Problem
from transfuse.evaluation.inputs import checked_features
from transfuse.evaluation.moments import covariance, power

__all__ = ["Cca", "canonical"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cca:
    """Projections of two views that make them comparable.

    Args:
        first: Directions of the first view, [d, width].
        first_mean: Its mean, [d].
        second: Directions of the second view, [e, width].
        second_mean: Its mean, [e].
        correlations: How well the views agree in each direction, after shrinkage, [width].
    """

    first: Array
    first_mean: Array
    second: Array
    second_mean: Array
    correlations: Array


def canonical(
    first: NDArray[np.floating[Any]],
    second: NDArray[np.floating[Any]],
    width: int,
    shrinkage: tuple[float | None, float | None],
    exponent: float,
) -> Cca:
    """Regularised canonical correlation analysis, in closed form.

    Hotelling (1936), 'Relations between two sets of variates'; with shrunk covariances as Vinod
    (1976), 'Canonical ridge and econometrics of joint production', and directions weighed by their
    correlations as Gong et al. (2014, arXiv:1212.4522) for pictures and words.

    Args:
        first: Features of one view, [n, d].
        second: Features of the other view of the same rows, [n, e].
        width: How many directions are kept; those that there are not enough features for are 0.
        shrinkage: Share of each view's covariance that is replaced by a multiple of the identity,
            0 to 1; None asks Ledoit and Wolf's estimate.
        exponent: Each direction is multiplied by its correlation to this power.

    Raises:
        DataError: If features are not finite, or the views have other numbers of rows or fewer
            than 2.
    """
    a, b = checked_features("pictures", first), checked_features("captions", second)
    if len(a) != len(b):
        raise DataError(Problem("captions", f"{len(b)} rows", f"{len(a)}, as there are pictures"))
    means = a.mean(axis=0), b.mean(axis=0)
    a, b = a - means[0], b - means[1]
    whiten = power(covariance(a, shrinkage[0]), -0.5), power(covariance(b, shrinkage[1]), -0.5)
    left, correlations, right = svd(whiten[0] @ (a.T @ b / len(a)) @ whiten[1], full_matrices=False)
    kept = min(width, len(correlations))
    weights = correlations[:kept] ** exponent
    spare = ((0, 0), (0, width - kept))
    return Cca(
        np.pad(whiten[0] @ left[:, :kept] * weights, spare),
        means[0],
        np.pad(whiten[1] @ right[:kept].T * weights, spare),
        means[1],
        np.pad(correlations[:kept], (0, width - kept)),
    )
