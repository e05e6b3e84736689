"""Gradients made orthogonal and of one length."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from transfuse.balancing.base import Matrix, Vector
from transfuse.balancing.gramian import NOISE, GradientRule

__all__ = ["AlignedMTL"]


@dataclass(frozen=True)
class AlignedMTL(GradientRule):
    """The sum of the gradients after their principal components got one length (Aligned-MTL).

    The nearest system of gradients with condition number 1. Senushkin et al. (2023), 'Independent
    component alignment for multi-task learning' (arXiv:2305.19000), times T.
    """

    scale_mode: Literal["min", "median", "rmse"] = "min"
    """The length they get: the least of theirs (the paper's, and the most careful step), the
    median, or the root of their mean square. Default: `min`."""

    def factors(self, gramian: Matrix) -> Vector:
        """Row sums of sqrt(s) V L^(-1/2) V', over the components that are more than rounding."""
        values, vectors = np.linalg.eigh(gramian)
        real = values > len(gramian) * NOISE * values.max()
        values, vectors = values[real], vectors[:, real]
        match self.scale_mode:
            case "min":
                square = values.min()
            case "median":
                square = float(np.median(values))
            case "rmse":
                square = values.mean()
        factors: Vector = (vectors * np.sqrt(square / values)) @ vectors.sum(0)
        return factors
