"""Linear optimal transport: the shortest way from the source's Gaussian to the target's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.alignment.base import Aligned, Alignment, checked_pair, unchanged
from transfuse.evaluation.moments import covariance, power

__all__ = ["LinearOT"]


@dataclass(frozen=True)
class LinearOT(Alignment):
    """The source is moved by the optimal transport map between two Gaussians.

    Knott and Smith (1984), 'On the optimal mapping of distributions'; for domain adaptation
    Flamary, Lounici and Ferrari (2019), 'Concentration bounds for linear Monge mapping estimation
    and optimal transport domain adaptation' (arXiv:1905.10155).
    """

    shrinkage: float | None = 0.5
    """Share of both covariances that is replaced by a multiple of the identity, 0 to 1; 1 aligns
    mean and overall spread alone, null asks Ledoit and Wolf's estimate. Default: 0.5."""

    def __post_init__(self) -> None:
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise ValueError("shrinkage lies in [0, 1]")

    def align(
        self, source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], seed: int
    ) -> Aligned:
        """See `Alignment.align`; nothing is drawn."""
        a, b = checked_pair(source, target)
        centre, place = a.mean(axis=0), b.mean(axis=0)
        spread = covariance(a - centre, self.shrinkage)
        goal = covariance(b - place, self.shrinkage)
        root, back = power(spread, 0.5), power(spread, -0.5)
        way = back @ power(root @ goal @ root, 0.5) @ back
        return unchanged((a - centre) @ way + place)
