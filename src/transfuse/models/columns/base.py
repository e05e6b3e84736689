"""The interface of a fusion of columns, and the module that every fusion builds.

A fusion is a frozen dataclass of options. The module that it builds brings each column's vector to
one width (`entrance.py`), puts a learnt vector in the place of a column that a row does not have,
and lets its body make one vector of them. It stands between the encoder and the heads, trains with
the heads and is saved with them. In training whole columns are left out at random, so that the
answer does not lean on one of them alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from transfuse.models.columns.entrance import entrance
from transfuse.models.encoder import Encoded
from transfuse.models.source import seeded

__all__ = ["Column", "ColumnFusion", "FusedColumns", "Sequences", "Vectors", "check_blocks"]

Vectors = dict[str, torch.Tensor]
"""One vector for each row, [n, width], by column."""

Sequences = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""Vectors [n, T, width] and which of them are real, bool [n, T], by column."""


@dataclass(frozen=True)
class Column:
    """A column as a fusion sees it.

    Args:
        name: Its name, which is that of its role.
        dim: Length of its pooled vector.
        tokens: Length of its token vectors.
        categories: For structured columns, how many places each category has; the places stand at
            the end of the vector. None for all others. Default: None.
        width: For structured columns, the width of the small network that reads them. Default: 64.
    """

    name: str
    dim: int
    tokens: int
    categories: tuple[int, ...] | None = None
    width: int = 64


class FusedColumns(nn.Module):
    """The fusion of a network with several columns.

    Args:
        columns: The columns, in the order of their vectors.
        options: What it is built from.
        body: From `Vectors`, or `Sequences` where the fusion reads tokens, to [n, width].
    """

    def __init__(self, columns: Sequence[Column], options: "ColumnFusion", body: nn.Module) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.options = options
        self.dim = options.width
        self.entrances = nn.ModuleDict(
            {
                each.name: entrance(each, options.width, tokens=options.reads_tokens)
                for each in columns
            }
        )
        self.stand_ins = nn.ParameterDict(
            {each.name: 0.02 * torch.randn(options.width) for each in columns}
        )
        self.body = body
        self.norm = nn.LayerNorm(options.width)

    def forward(self, encoded: Mapping[str, Encoded]) -> Encoded:
        """One vector for each row.

        Args:
            encoded: The encoding of a `JoinedEncoder`: the columns' pooled vectors side by side,
                and then, for each column, 1 where a row has it and 0 where not.
        """
        (only,) = encoded.values()
        present = self._present(only.pooled)
        if self.options.reads_tokens:
            fused = self.body(self._sequences(only, present))
        else:
            fused = self.body(self._vectors(only.pooled, present))
        return Encoded(self.norm(fused))

    def _present(self, pooled: torch.Tensor) -> torch.Tensor:
        """Which columns each row is taken to have, bool [n, columns]."""
        present = pooled[:, -len(self.columns) :] > 0.5
        if not self.training or not self.options.dropout_of_columns:
            return present
        drawn = torch.rand(present.shape, device=present.device)
        kept = present & (drawn >= self.options.dropout_of_columns)
        # A row that has lost everything teaches nothing but the frequencies of the labels.
        return torch.where(kept.any(1, keepdim=True), kept, present)

    def _vectors(self, pooled: torch.Tensor, present: torch.Tensor) -> Vectors:
        widths = [each.dim for each in self.columns]
        found = {}
        parts = pooled.split([*widths, len(self.columns)], dim=1)
        for column, part, has in zip(self.columns, parts, present.T, strict=False):
            vector = self.entrances[column.name](self._typed(part, column))
            stand_in = self.stand_ins[column.name].to(vector.dtype)
            found[column.name] = torch.where(has[:, None], vector, stand_in)
        return found

    def _sequences(self, only: Encoded, present: torch.Tensor) -> Sequences:
        """Each column's tokens; of one that is missing, or was not encoded, the stand-in alone."""
        found = {}
        for column, has in zip(self.columns, present.T, strict=True):
            stand_in = self.stand_ins[column.name]
            part = None if only.parts is None else only.parts[column.name]
            if part is None or part.tokens is None or part.mask is None:
                tokens = stand_in.expand(len(present), 1, -1)
                found[column.name] = (tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool))
                continue
            tokens = self.entrances[column.name](self._typed(part.tokens, column))
            tokens = torch.where(has[:, None, None], tokens, stand_in.to(tokens.dtype))
            first = torch.arange(tokens.shape[1], device=tokens.device) == 0
            found[column.name] = (tokens, torch.where(has[:, None], part.mask.bool(), first))
        return found

    def _typed(self, vectors: torch.Tensor, column: Column) -> torch.Tensor:
        """In the fusion's number type; the places of categories stay exact."""
        # A mean is summed in 32 bits whatever the encoder's type, autocast aside.
        if column.categories is not None or torch.is_autocast_enabled(vectors.device.type):
            return vectors
        return vectors.to(self.norm.weight.dtype)


@dataclass(frozen=True)
class ColumnFusion(ABC):
    """How one vector is made of a row's columns."""

    width: int = 128
    """Length of the vectors that columns are brought to, and of the fused one. Default: 128."""

    dropout_of_columns: float = 0.1
    """Chance that a column of a row is left out in a step of training, never all that it has.
    Default: 0.1."""

    reads_tokens: ClassVar[bool] = False
    """Whether it reads token vectors, so that pooled vectors alone do not do."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("width is at least 1")
        if not 0 <= self.dropout_of_columns < 1:
            raise ValueError("dropout_of_columns lies in [0, 1)")

    def build(self, columns: Sequence[Column], seed: int) -> FusedColumns:
        """The module, with fresh weights.

        Args:
            columns: The columns, in the order of their vectors.
            seed: Seed of the weights.

        Raises:
            ValueError: If there are no columns.
        """
        if not columns:
            raise ValueError("expected at least one column")
        with seeded(seed):
            return FusedColumns(columns, self, self.body([each.name for each in columns]))

    @abstractmethod
    def body(self, names: Sequence[str]) -> nn.Module:
        """The part of the module that is this fusion's own, drawn from torch's generator.

        Args:
            names: The columns.
        """


def check_blocks(width: int, heads: int, layers: int) -> None:
    """Refuse attention heads that do not divide the width, and no layer at all.

    Args:
        width: Length of the vectors.
        heads: Number of heads.
        layers: Number of layers.

    Raises:
        ValueError: If they cannot be.
    """
    if heads < 1 or width % heads:
        raise ValueError(f"heads is a divisor of width, which is {width}")
    if layers < 1:
        raise ValueError("layers is at least 1")
