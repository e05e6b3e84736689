"""Importance weights from a classifier that tells the domains apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.alignment.base import Aligned, Alignment, Array, checked_pair, with_mean_one
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
    """Greatest weight, where the mean is 1; others are cut down to it. Default: 10."""

    flatten: float = 0.5
    """Exponent of the weights, 0 to 1: below 1 they are nearer to equal, which errs more and varies
    less (Shimodaira, 2000). Default: 0.5."""

    def __post_init__(self) -> None:
        if not 0 < self.strength < np.inf:
            raise ValueError("strength is a number above 0")
        if not self.clip >= 1:
            raise ValueError("clip is at least 1")
        if not 0 <= self.flatten <= 1:
            raise ValueError("flatten lies in [0, 1]")

    def align(
        self, source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], seed: int
    ) -> Aligned:
        """See `Alignment.align`; the seed decides the folds."""
        a, b = checked_pair(source, target)
        ratio = density_ratio(a, b, seed, strength=self.strength) ** self.flatten
        bound = _bound(ratio, self.clip)
        return Aligned(a.astype(np.float32), with_mean_one(np.minimum(ratio, bound)))


def _bound(ratio: Array, most: float) -> float:
    """Where to cut ratios off so that, cut off, none is more than a multiple of their mean.

    A cut at a multiple of the plain mean would not do: a few large ratios make most of that mean,
    and still carry all the weight when they are cut.
    """
    rising = np.sort(ratio)
    count = len(rising)
    below = np.cumsum(rising) - rising
    left = count - np.arange(count)
    # The mean of what a cut at each ratio leaves.
    means = (below + left * rising) / count
    over = np.flatnonzero(rising > most * means)
    if not len(over):
        return float(rising[-1])
    first = over[0]
    return float(below[first] / (count / most - left[first]))
