"""The interface of an alignment: shallow adaptation on frozen features.

An alignment changes the source's features, and says how much each of its rows counts, so that a
head fitted on them answers for plain target features. It needs no label of either domain, and no
gradient: where the encoder is frozen it takes a second.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.errors import DataError, Problem
from transfuse.evaluation.inputs import checked_features

__all__ = ["Aligned", "Alignment", "checked_pair", "unchanged", "with_mean_one"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Aligned:
    """The source as the target would have it."""

    source: NDArray[np.float32]
    """The source's features, [n, d]."""

    weights: NDArray[np.float32]
    """How much each source row counts, [n]; their mean is 1."""


@dataclass(frozen=True)
class Alignment(ABC):
    """Brings a source's features to a target's distribution."""

    @abstractmethod
    def align(
        self, source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], seed: int
    ) -> Aligned:
        """The source's features and weights for a head that answers for the target.

        Args:
            source: Features of the source's training rows, [n, d].
            target: Features of the target's training rows, [m, d].
            seed: Seed of whatever is drawn.

        Returns:
            New features and weights; the inputs stay as they are.

        Raises:
            DataError: If features are not finite or differ in width, or a domain has fewer than
                2 rows.
        """


def checked_pair(
    source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]
) -> tuple[Array, Array]:
    """Both domains' features in 64 bits.

    Args:
        source: Features [n, d].
        target: Features [m, d].

    Raises:
        DataError: If they are not finite, differ in width, or have fewer than 2 rows.
    """
    a, b = checked_features("source", source), checked_features("target", target)
    if a.shape[1] != b.shape[1]:
        what = f"{b.shape[1]} features"
        raise DataError(Problem("target", what, f"{a.shape[1]}, as the source has"))
    return a, b


def unchanged(features: Array) -> Aligned:
    """Features whose rows all count alike."""
    return Aligned(features.astype(np.float32), np.ones(len(features), dtype=np.float32))


def with_mean_one(weights: Array) -> NDArray[np.float32]:
    """Weights scaled to a mean of 1; those of rows that count for nothing at all become equal."""
    total = weights.mean()
    scaled = weights / total if total > 0 else np.ones_like(weights)
    return scaled.astype(np.float32)
