"""A sum in which each row decides, entry by entry, which column to listen to."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models.columns.base import ColumnFusion, Vectors

__all__ = ["Gated"]


@dataclass(frozen=True)
class Gated(ColumnFusion):
    """A gated sum of the columns: each entry is a mixture whose shares depend on the row.

    The gated multimodal unit of Arevalo et al. (2017, arXiv:1702.01992); shares are a softmax over
    the columns, which for two is the paper's z and 1 - z. The order of columns does not matter.
    """

    def body(self, names: Sequence[str]) -> nn.Module:
        """See `ColumnFusion.body`."""
        return _Gates(names, self.width)


class _Gates(nn.Module):
    def __init__(self, names: Sequence[str], width: int) -> None:
        super().__init__()
        # The gate of each column reads all of them: one linear map of each, summed.
        self.gates = nn.ModuleDict(
            {
                name: nn.ModuleDict({other: nn.Linear(width, width) for other in names})
                for name in names
            }
        )

    def forward(self, vectors: Vectors) -> torch.Tensor:
        said = []
        for readers in self.gates.values():
            assert isinstance(readers, nn.ModuleDict)
            said.append(torch.stack([read(vectors[name]) for name, read in readers.items()]).sum(0))
        shares = torch.stack(said).softmax(0)
        values = torch.stack([vectors[name].tanh() for name in self.gates])
        return (shares * values).sum(0)
