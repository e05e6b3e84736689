"""Importance weights from a classifier that tells the domains apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.alignment.base import Aligned, Alignment, checked_pair, with_mean_one
from transfuse.evaluation.label_free import density_ratio

__all__ = ["Discriminator"]


@dataclass(frozen=True)
class Discriminator(Alignment):
    """Source rows count by how much more a logistic regression takes them for the target's.

    Bickel, Brückner and Scheffer (2007), 'Discriminative learning for differing training and test
    distributions'. Features stay as they are. Each row is judged by a regression that was not
    fitted on it.
    """

    strength: float = 0.01
    """Inverse strength of the regression's L2 penalty, on standardised features. Default: 0.01."""

    clip: float = 10.0
    """Greatest weight before the mean becomes 1 again. Default: 10."""

    def __post_init__(self) -> None:
        if not 0 < self.strength < np.inf:
            raise ValueError("strength is a number above 0")
        if not self.clip >= 1:
            raise ValueError("clip is at least 1")

    def align(
        self, source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], seed: int
    ) -> Aligned:
        """See `Alignment.align`; the seed decides the folds."""
        a, b = checked_pair(source, target)
        ratio = density_ratio(a, b, seed, strength=self.strength)
        weights = np.minimum(ratio / ratio.mean(), self.clip)
        return Aligned(a.astype(np.float32), with_mean_one(weights))
