"""The entrance of a fusion: a column's vectors brought to the common width."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from transfuse.data.fields import UNKNOWN

if TYPE_CHECKING:
    from transfuse.models.columns.base import Column

__all__ = ["FieldEntrance", "entrance"]

_LONGEST_EMBEDDING = 32


def entrance(column: "Column", width: int, *, tokens: bool) -> nn.Module:
    """The entrance of one column.

    Args:
        column: The column.
        width: Length of the vectors it is brought to.
        tokens: Whether its token vectors are read, rather than its pooled vector.

    Returns:
        For structured columns a `FieldEntrance`; for all others a normalisation, since encoders
        give vectors of very different lengths, and a linear layer.
    """
    if column.categories is not None:
        return FieldEntrance(column.dim, column.categories, column.width, width)
    dim = column.tokens if tokens else column.dim
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, width))


class FieldEntrance(nn.Module):
    """Embeddings of categories beside the numbers, and a small network over all of them.

    Args:
        dim: Length of a row's vector.
        categories: How many places each category has; their numbers end the vector.
        hidden: Width of the small network.
        width: Length of what it gives.
    """

    def __init__(self, dim: int, categories: tuple[int, ...], hidden: int, width: int) -> None:
        super().__init__()
        self.plain = dim - len(categories)
        self.embeddings = nn.ModuleList(
            nn.Embedding(size, min(_LONGEST_EMBEDDING, (size + 1) // 2)) for size in categories
        )
        for each in self.embeddings:
            assert isinstance(each, nn.Embedding)
            # What is unknown says nothing until rare categories have taught it something.
            nn.init.zeros_(each.weight.data[UNKNOWN])
        inner = self.plain + sum(
            each.embedding_dim for each in self.embeddings if isinstance(each, nn.Embedding)
        )
        self.network = nn.Sequential(
            nn.Linear(inner, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()
        )
        self.out = nn.Linear(hidden, width)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """From vectors [..., dim] to [..., width]."""
        plain, places = values[..., : self.plain], values[..., self.plain :].round().long()
        weight = self.out.weight
        inner = [plain if torch.is_autocast_enabled(plain.device.type) else plain.to(weight.dtype)]
        inner += [each(places[..., place]) for place, each in enumerate(self.embeddings)]
        made: torch.Tensor = self.out(self.network(torch.cat(inner, dim=-1)))
        return made
