"""The interface of a model that compares pictures with texts, and the search that it is for."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairModel", "Vectors", "nearest"]

Vectors = NDArray[np.float32]
"""Rows of length 1, [n, p]."""

_BLOCK = 1024


class PairModel(ABC):
    """Compares pictures, or what else its first tower reads, with texts."""

    @property
    @abstractmethod
    def scale(self) -> float:
        """What cosines are multiplied by before a softmax."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """The number of its weights."""

    @abstractmethod
    def pictures(self, rows: Sequence[Any]) -> Vectors:
        """Vectors of length 1, [n, p].

        Args:
            rows: What `Table.inputs` gives for the pictures' role.
        """

    @abstractmethod
    def texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1, [n, p].

        Args:
            texts: The texts.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write it into a folder that `open_pairs` opens; created if need be."""


def nearest(
    queries: Vectors, gallery: Vectors, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The rows of a gallery that are nearest to each query, the nearest first.

    Args:
        queries: Vectors [m, p].
        gallery: Vectors [n, p].
        count: How many are wanted; fewer where the gallery is smaller.

    Returns:
        Their numbers and their cosines, both [m, count].
    """
    count = min(count, len(gallery))
    places = np.empty((len(queries), count), np.int64)
    cosines = np.empty((len(queries), count), np.float32)
    for start in range(0, len(queries), _BLOCK):
        rows = slice(start, start + _BLOCK)
        scores = queries[rows] @ gallery.T
        # Equal ones come in the gallery's order.
        places[rows] = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        cosines[rows] = np.take_along_axis(scores, places[rows], 1)
    return places, cosines
