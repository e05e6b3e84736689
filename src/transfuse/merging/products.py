"""Inner products of runs, in float64: a float32 sum over a large tensor loses four digits."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from transfuse.merging.base import Floats
from transfuse.merging.desk import Desk

__all__ = ["gramian", "summed"]


def gramian(rows: Sequence[Floats], desk: Desk) -> NDArray[np.float64]:
    """The inner product of each pair of runs.

    Args:
        rows: Runs, each [n].
        desk: Room to work in.

    Returns:
        A symmetric matrix, [rows, rows].
    """
    count = len(rows[0])
    wide = [desk.wide(f"row {place}", count) for place in range(len(rows))]
    for row, copy in zip(rows, wide, strict=True):
        np.copyto(copy, row)
    product = desk.wide("product", count)
    found = np.empty((len(rows), len(rows)))
    for one in range(len(rows)):
        for other in range(one, len(rows)):
            np.multiply(wide[one], wide[other], out=product)
            found[one, other] = found[other, one] = np.add.reduce(product)
    return found


def summed(parts: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The sum of the parts of all runs, in their order.

    Args:
        parts: One array for each run.
    """
    total: NDArray[np.float64] = np.add.reduce(np.stack(list(parts)), axis=0)
    return total
