"""Inner products of runs: short float32 sums, added up in float64.

One float32 sum over a large tensor loses four digits.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from transfuse.merging.base import Floats

__all__ = ["gramian", "row_sums", "summed"]

_SHORT = 1024
"""Numbers of a float32 sum."""


def gramian(rows: Floats) -> NDArray[np.float64]:
    """The inner product of each pair of runs.

    Args:
        rows: Runs, [rows, n].

    Returns:
        A symmetric matrix, [rows, rows].
    """
    found = np.empty((len(rows), len(rows)))
    for one, first in enumerate(rows):
        for other, second in enumerate(rows[: one + 1]):
            found[one, other] = found[other, one] = _product(first, second)
    return found


def _product(first: Floats, second: Floats) -> float:
    even = len(first) // _SHORT * _SHORT
    shape = (-1, _SHORT)
    sums = np.einsum("ij,ij->i", first[:even].reshape(shape), second[:even].reshape(shape))
    rest = np.einsum("i,i->", first[even:], second[even:])
    return float(np.add.reduce(sums, dtype=np.float64)) + float(rest)


def row_sums(rows: Floats) -> NDArray[np.float64]:
    """The sum of each run.

    Args:
        rows: Runs, [rows, n].

    Returns:
        One number for each, [rows].
    """
    even = rows.shape[1] // _SHORT * _SHORT
    sums = np.einsum("rij->ri", rows[:, :even].reshape(len(rows), -1, _SHORT))
    rest = np.add.reduce(rows[:, even:], axis=1, dtype=np.float64)
    total: NDArray[np.float64] = np.add.reduce(sums, axis=1, dtype=np.float64) + rest
    return total


def summed(parts: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The sum of the parts of all runs, in their order.

    Args:
        parts: One array for each run.
    """
    total: NDArray[np.float64] = np.add.reduce(np.stack(list(parts)), axis=0)
    return total
