"""Cross-attention: the tokens of each column look at those of the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from transfuse.models.columns.attending import Block
from transfuse.models.columns.base import ColumnFusion, Sequences, check_blocks
from transfuse.models.columns.concat import SideBySide

__all__ = ["Attention"]


@dataclass(frozen=True)
class Attention(ColumnFusion):
    """The tokens of each column attend to the tokens of all others; their means are then fused.

    As the cross-modal layers of MulT (Tsai et al., 2019, arXiv:1906.00295) and LXMERT (Tan and
    Bansal, 2019, arXiv:1908.07490). It reads tokens, so frozen encoders run anew in each epoch.
    """

    layers: int = 1
    """Rounds of attention. Default: 1."""

    heads: int = 4
    """Attention heads, a divisor of the width. Default: 4."""

    reads_tokens: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_blocks(self.width, self.heads, self.layers)

    def body(self, names: Sequence[str]) -> nn.Module:
        """See `ColumnFusion.body`."""
        return _Crossing(names, self)


class _Crossing(nn.Module):
    def __init__(self, names: Sequence[str], options: Attention) -> None:
        super().__init__()
        self.names = tuple(names)
        self.rounds = nn.ModuleList(
            nn.ModuleDict({name: Block(options.width, options.heads) for name in names})
            for _ in range(options.layers)
        )
        self.together = SideBySide(names, options.width)

    def forward(self, sequences: Sequences) -> torch.Tensor:
        for blocks in self.rounds:
            assert isinstance(blocks, nn.ModuleDict)
            sequences = {
                name: (self._asked(blocks[name], name, sequences), sequences[name][1])
                for name in self.names
            }
        means = {}
        for name, (tokens, real) in sequences.items():
            counts = real.sum(1, keepdim=True).clamp(min=1).to(tokens.dtype)
            means[name] = (tokens * real[..., None].to(tokens.dtype)).sum(1) / counts
        made: torch.Tensor = self.together(means)
        return made

    def _asked(self, block: nn.Module, name: str, sequences: Sequences) -> torch.Tensor:
        # A column that stands alone attends to itself.
        others = [each for each in self.names if each != name] or [name]
        asked = torch.cat([sequences[each][0] for each in others], dim=1)
        real = torch.cat([sequences[each][1] for each in others], dim=1)
        made: torch.Tensor = block(sequences[name][0], asked, real)
        return made
