"""Subspace alignment: the source's principal axes are turned onto the target's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.alignment.base import Aligned, Alignment, Array, checked_pair, unchanged

__all__ = ["Subspace"]

_KEPT = 0.95
"""Share of the target's variance that its axes carry where their number is not given."""

# Axes whose share of the variance is below this are rounding of 32-bit features.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Subspace(Alignment):
    """The source in its principal subspace, with its axes turned onto the target's.

    Fernando et al. (2013), 'Unsupervised visual domain adaptation using subspace alignment'. The
    result is expressed in the original space, so that a head takes plain target features: what it
    learns has no part outside the target's subspace.
    """

    dimensions: int | None = None
    """Number of principal axes, at most as many as both domains have. Default: those that carry 95
    % of the target's variance."""

    def __post_init__(self) -> None:
        if self.dimensions is not None and self.dimensions < 1:
            raise ValueError("dimensions is at least 1")

    def align(
        self, source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], seed: int
    ) -> Aligned:
        """See `Alignment.align`; nothing is drawn."""
        a, b = checked_pair(source, target)
        centre, place = a.mean(axis=0), b.mean(axis=0)
        theirs, _ = _axes(a - centre)
        ours, shares = _axes(b - place)
        wanted = self.dimensions
        if wanted is None:
            wanted = int(np.searchsorted(np.cumsum(shares), _KEPT)) + 1
        kept = min(wanted, theirs.shape[1], ours.shape[1])
        theirs, ours = theirs[:, :kept], ours[:, :kept]
        turned = (a - centre) @ theirs @ (theirs.T @ ours) @ ours.T
        return unchanged(turned + place)


def _axes(centred: Array) -> tuple[Array, Array]:
    """Principal axes [d, k] in order, and the share of the variance that each carries [k]."""
    _, lengths, rows = np.linalg.svd(centred, full_matrices=False)
    variances = lengths**2
    total = variances.sum()
    if total == 0.0:
        return np.empty((centred.shape[1], 0)), np.empty(0)
    shares = variances / total
    real = shares > _ROUNDING
    return rows[real].T, shares[real]
