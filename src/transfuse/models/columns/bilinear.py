"""Products of the columns' entries, of low rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models.columns.base import ColumnFusion, Vectors

__all__ = ["Bilinear"]


@dataclass(frozen=True)
class Bilinear(ColumnFusion):
    """The product of all columns, entry by entry, summed over several projections.

    Low-rank multimodal fusion (Liu et al., 2018, arXiv:1806.00064), which for two columns is
    factorised bilinear pooling (MFB; Yu et al., 2017, arXiv:1708.01471) with what each column says
    alone kept in. The order of columns does not matter.
    """

    rank: int = 4
    """How many products are summed. Default: 4."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1:
            raise ValueError("rank is at least 1")

    def body(self, names: Sequence[str]) -> nn.Module:
        """See `ColumnFusion.body`."""
        return _Products(names, self.width, self.rank)


class _Products(nn.Module):
    def __init__(self, names: Sequence[str], width: int, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.factors = nn.ModuleDict({name: nn.Linear(width, rank * width) for name in names})
        for factor in self.factors.values():
            assert isinstance(factor, nn.Linear)
            # Around 1 a product of many factors neither vanishes nor explodes.
            nn.init.ones_(factor.bias)

    def forward(self, vectors: Vectors) -> torch.Tensor:
        factors = [layer(vectors[name]) for name, layer in self.factors.items()]
        product = torch.stack(factors).prod(0)
        return product.view(len(product), self.rank, -1).sum(1)
