"""The weighted mean of models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from transfuse.merging.base import Floats
from transfuse.merging.streamed import Piece, Weighted

__all__ = ["Linear", "add_rows", "sum_of"]

_NOTHING = 1e-8


@dataclass(frozen=True)
class Linear(Weighted):
    """The weighted mean of models: the uniform soup where the weights are all alike.

    Wortsman et al. (2022), 'Model soups: averaging weights of multiple fine-tuned models improves
    accuracy without increasing inference time' (arXiv:2203.05482).
    """

    least: ClassVar[int] = 1

    normalise: bool = True
    """Whether the weights are divided by their sum, which must not be 0 then. Default: true."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalise and self.weights and abs(math.fsum(self.weights)) < _NOTHING:
            raise ValueError("the weights sum to 0, which is no mean")

    def mix(self, piece: Piece, found: Any, out: Floats) -> None:
        """See `Streamed.mix`."""
        given = self.given(len(piece.models))
        total = math.fsum(given) if self.normalise else 1.0
        shares = [weight / total for weight in given]
        # Models differ by little: one of them and the shares of the differences to it is nearer
        # to the truth than the shares of all, and leaves alone what all have in common.
        first, others = piece.models[0], piece.models[1:]
        np.subtract(others, first, out=others)
        if not self.normalise:
            np.multiply(first, np.float32(math.fsum(shares)), out=first)
        if len(others):
            sum_of(others, shares[1:], out)
            np.add(out, first, out=out)
        else:
            np.copyto(out, first)


def sum_of(rows: Floats, factors: Sequence[float], out: Floats) -> None:
    """A weighted sum in float32, one row after the other.

    Args:
        rows: Runs, [rows, n]; they are used up.
        factors: What each is multiplied by.
        out: Where the sum goes, [n].
    """
    alike = len(set(factors)) == 1
    if not alike:
        np.multiply(rows, np.array(factors, np.float32)[:, None], out=rows)
    add_rows(rows, out)
    if alike and factors[0] != 1:
        np.multiply(out, np.float32(factors[0]), out=out)


def add_rows(rows: Floats, out: Floats) -> None:
    """A sum in float32, one row after the other: faster here than numpy's own along an axis.

    Args:
        rows: Runs, [rows, n].
        out: Where the sum goes, [n].
    """
    if len(rows) == 1:
        np.copyto(out, rows[0])
        return
    np.add(rows[0], rows[1], out=out)
    for row in rows[2:]:
        np.add(out, row, out=out)
