"""Columns side by side, and one layer over them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models.columns.base import ColumnFusion, Vectors

__all__ = ["Concat", "SideBySide"]


class SideBySide(nn.Module):
    """A layer with a GELU over the columns' vectors one after the other.

    Args:
        names: The columns.
        width: Length of each vector, and of what it gives.
    """

    def __init__(self, names: Sequence[str], width: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.layer = nn.Sequential(nn.Linear(len(self.names) * width, width), nn.GELU())

    def forward(self, vectors: Vectors) -> torch.Tensor:
        """From one vector of each column to one, [n, width]."""
        made: torch.Tensor = self.layer(torch.cat([vectors[name] for name in self.names], dim=1))
        return made


@dataclass(frozen=True)
class Concat(ColumnFusion):
    """Each column's vector is projected, they are put side by side, and a layer reads them all.

    The plainest fusion that can still tell what only two columns together say.
    """

    def body(self, names: Sequence[str]) -> nn.Module:
        """See `ColumnFusion.body`."""
        return SideBySide(names, self.width)
