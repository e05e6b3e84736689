"""A shared trunk: one small transformer over the vectors of all columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models.columns.attending import Block
from transfuse.models.columns.base import ColumnFusion, Vectors, check_blocks

__all__ = ["Trunk"]


@dataclass(frozen=True)
class Trunk(ColumnFusion):
    """Columns are the tokens of one small transformer whose layers all of them share.

    Each column's vector gets an embedding of the column added; one learnt token collects the
    answer. After the shared trunk of MBT and its kin (Nagrani et al., 2021, arXiv:2107.00135).
    """

    layers: int = 1
    """Transformer layers. Default: 1."""

    heads: int = 4
    """Attention heads, a divisor of the width. Default: 4."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_blocks(self.width, self.heads, self.layers)

    def body(self, names: Sequence[str]) -> nn.Module:
        """See `ColumnFusion.body`."""
        return _Shared(names, self)


class _Shared(nn.Module):
    def __init__(self, names: Sequence[str], options: Trunk) -> None:
        super().__init__()
        self.names = tuple(names)
        self.kinds = nn.ParameterDict(
            {name: 0.02 * torch.randn(options.width) for name in self.names}
        )
        self.collector = nn.Parameter(0.02 * torch.randn(options.width))
        self.blocks = nn.ModuleList(
            Block(options.width, options.heads) for _ in range(options.layers)
        )

    def forward(self, vectors: Vectors) -> torch.Tensor:
        known = [vectors[name] + self.kinds[name].to(vectors[name].dtype) for name in self.names]
        first = self.collector.to(known[0].dtype).expand(len(known[0]), -1)
        tokens = torch.stack([first, *known], dim=1)
        real = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        for block in self.blocks:
            tokens = block(tokens, tokens, real)
        return tokens[:, 0]
