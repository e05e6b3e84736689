"""Correlation alignment: the source with the target's covariance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.alignment.base import Aligned, Alignment, checked_pair, unchanged
from transfuse.evaluation.moments import covariance, power

__all__ = ["Coral"]


@dataclass(frozen=True)
class Coral(Alignment):
    """The source is whitened and given the target's covariance.

    Sun, Feng and Saenko (2016), 'Return of frustratingly easy domain adaptation'
    (arXiv:1511.05547), with shrinkage in the place of an added identity, so that the scale of the
    features does not matter; on standardised features a share of one half is the same.
    """

    shrinkage: float | None = 0.5
    """Share of both covariances that is replaced by a multiple of the identity, 0 to 1; 1 aligns
    the overall spread alone, null asks Ledoit and Wolf's estimate. Default: 0.5."""

    mean: bool = True
    """Whether the source's mean becomes the target's too. Default: true."""

    def __post_init__(self) -> None:
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise ValueError("shrinkage lies in [0, 1]")

    def align(
        self, source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], seed: int
    ) -> Aligned:
        """See `Alignment.align`; nothing is drawn."""
        a, b = checked_pair(source, target)
        centre = a.mean(axis=0)
        whiten = power(covariance(a - centre, self.shrinkage), -0.5)
        colour = power(covariance(b - b.mean(axis=0), self.shrinkage), 0.5)
        place = b.mean(axis=0) if self.mean else centre
        return unchanged((a - centre) @ whiten @ colour + place)
