"""The sum of the columns' vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from transfuse.models.columns.base import ColumnFusion, Vectors

__all__ = ["Add"]


@dataclass(frozen=True)
class Add(ColumnFusion):
    """Each column's vector is projected, and a GELU stands after their sum.

    The smallest fusion: it adds no weights to the projections, and the order of columns does not
    matter.
    """

    def body(self, names: Sequence[str]) -> nn.Module:
        """See `ColumnFusion.body`."""
        return _Sum()


class _Sum(nn.Module):
    def forward(self, vectors: Vectors) -> torch.Tensor:
        return functional.gelu(torch.stack(list(vectors.values())).sum(0))
