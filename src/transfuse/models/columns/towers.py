"""Towers: each of two columns gets a vector of its own, so that any can be compared with any.

A column's pooled vector is normalised, projected to a common width and brought to length 1. What
one tower gives does not depend on the other, so that pictures and captions are encoded once and
compared by a product. With the towers train a factor and a bias of their cosines, which losses
read and probabilities at prediction time too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from transfuse.errors import Problem, RecipeError
from transfuse.models.columns.base import Column, ColumnFusion, FusedColumns
from transfuse.models.encoder import Encoded
from transfuse.models.source import seeded

__all__ = ["GREATEST_SCALE", "Tower", "TowerModule", "Towers", "towers_of"]

GREATEST_SCALE = 100.0
"""The greatest factor of cosines, as in CLIP: a temperature of 0.01."""

_COLUMNS = 2


class Tower(nn.Module):
    """One column's way to the common width.

    Args:
        dim: Length of the column's pooled vectors.
        options: Width, hidden layer and dropout.
    """

    def __init__(self, dim: int, options: "Towers") -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.dropout = nn.Dropout(options.dropout)
        self.straight = nn.Linear(dim, options.width)
        self.bent: nn.Module | None = None
        if options.hidden:
            self.bent = nn.Sequential(
                nn.Linear(dim, options.hidden),
                nn.GELU(),
                nn.Dropout(options.dropout),
                nn.Linear(options.hidden, options.width),
            )

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Vectors of length 1, [n, width], from pooled ones [n, dim]."""
        rows = self.dropout(self.norm(pooled))
        made: torch.Tensor = self.straight(rows)
        if self.bent is not None:
            made = made + self.bent(rows)
        return functional.normalize(made, dim=-1)

    def set_linear(self, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
        """Makes it a linear projection that was found elsewhere.

        Args:
            weight: Its directions, [width, dim].
            bias: What is added, [width].
        """
        with torch.no_grad():
            self.straight.weight.copy_(torch.from_numpy(weight))
            self.straight.bias.copy_(torch.from_numpy(bias))
            if self.bent is not None:
                for weights in list(self.bent.parameters())[-2:]:
                    weights.zero_()


class TowerModule(FusedColumns):
    """The towers of a network: pictures first, captions second, whatever the columns' order.

    Args:
        columns: The two columns, in the order of their vectors; the text is the second tower.
        options: What it is built from.
    """

    def __init__(self, columns: Sequence[Column], options: "Towers") -> None:
        # Of what columns are mixed with, towers need nothing.
        nn.Module.__init__(self)
        self.columns = tuple(columns)
        self.options = options
        self.dim = 2 * options.width
        self._hidden: frozenset[str] = frozenset()
        first, second = (each.name for each in columns)
        self.order = (second, first) if first == "text" else (first, second)
        self.towers = nn.ModuleDict({each.name: Tower(each.dim, options) for each in columns})
        self.log_scale = nn.Parameter(torch.tensor(-math.log(options.temperature)))
        self.bias = nn.Parameter(torch.tensor(float(options.bias)))

    @property
    def scale(self) -> torch.Tensor:
        """The factor of cosines, at most `GREATEST_SCALE`; its gradient goes on at the bound."""
        bounded = self.log_scale.clamp(max=math.log(GREATEST_SCALE))
        return (self.log_scale + (bounded - self.log_scale).detach()).exp()

    def forward(self, encoded: Mapping[str, Encoded]) -> Encoded:
        """The vectors of both towers side by side, [n, 2 width].

        Args:
            encoded: The encoding of a `JoinedEncoder`. The vector of a column that a row does not
                have is 0.
        """
        (only,) = encoded.values()
        present = self._present(only.pooled)
        made = {}
        for (name, part), has in zip(self.parts(only.pooled).items(), present.T, strict=True):
            vectors = self.vectors(name, part)
            made[name] = vectors * has[:, None].to(vectors.dtype)
        return Encoded(torch.cat([made[name] for name in self.order], dim=1))

    def parts(self, pooled: torch.Tensor) -> dict[str, torch.Tensor]:
        """Each column's part of what a `JoinedEncoder` gives, [n, dim] by column."""
        widths = [each.dim for each in self.columns]
        *parts, _ = pooled.split([*widths, len(self.columns)], dim=1)
        return {each.name: part for each, part in zip(self.columns, parts, strict=True)}

    def vectors(self, name: str, pooled: torch.Tensor) -> torch.Tensor:
        """One tower alone.

        Args:
            name: The column.
            pooled: What its encoder gives, [n, dim].

        Returns:
            Vectors of length 1, [n, width].
        """
        found: torch.Tensor = self.tower(name)(pooled.to(self.log_scale.dtype))
        return found

    def tower(self, name: str) -> Tower:
        """The tower of a column."""
        tower = self.towers[name]
        assert isinstance(tower, Tower)
        return tower

    def _present(self, pooled: torch.Tensor) -> torch.Tensor:
        # No column is left out in training: a pair without one of its sides teaches nothing.
        present = pooled[:, -len(self.columns) :] > 0.5
        shown = [each.name not in self._hidden for each in self.columns]
        return present & torch.tensor(shown, device=present.device)


@dataclass(frozen=True)
class Towers(ColumnFusion):
    """Each of two columns is projected on its own, to be compared with the other.

    For `task: matching`, which is the only one that reads two vectors.
    """

    width: int = 256
    """Length of the vectors that are compared. Default: 256."""

    dropout_of_columns: float = 0.0
    """0: a pair without one of its columns teaches nothing. Default: 0."""

    hidden: int = 0
    """Width of a hidden layer beside the linear projection. Default: 0, there is none."""

    dropout: float = 0.3
    """Dropout before the projections. Default: 0.3."""

    temperature: float = 0.07
    """What cosines are divided by at the start of training; it is learnt and stays at 0.01 or
    above. Default: 0.07."""

    bias: float = -10.0
    """What is added to divided cosines at the start of training, where a loss has a bias; it is
    learnt. Default: -10."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dropout_of_columns:
            raise ValueError("dropout_of_columns is 0, since towers compare columns")
        if self.hidden < 0:
            raise ValueError("hidden is 0 or above")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout lies in [0, 1)")
        if not 1 / GREATEST_SCALE <= self.temperature < math.inf:
            raise ValueError(f"temperature is at least {1 / GREATEST_SCALE}")
        if not math.isfinite(self.bias):
            raise ValueError("bias is a number")

    def build(self, columns: Sequence[Column], seed: int) -> TowerModule:
        """The module, with fresh weights.

        Args:
            columns: Two columns.
            seed: Seed of the weights.

        Raises:
            RecipeError: If there are not two columns.
        """
        if len(columns) != _COLUMNS:
            named = ", ".join(each.name for each in columns)
            raise RecipeError(
                Problem(
                    "model.columns",
                    f"towers compare two columns, here are {named}",
                    "two columns, such as text and image",
                )
            )
        with seeded(seed):
            return TowerModule(columns, self)

    def body(self, names: Sequence[str]) -> nn.Module:
        """See `ColumnFusion.body`: towers mix nothing."""
        return nn.Identity()


def towers_of(method: str, fusion: nn.Module) -> TowerModule:
    """The towers of a network, for a method that compares two columns.

    Args:
        method: The method's name in recipes.
        fusion: The network's fusion.

    Raises:
        RecipeError: If it has none.
    """
    if not isinstance(fusion, TowerModule):
        raise RecipeError(
            Problem(
                "model.fusion",
                f"{method} compares two columns, and this network mixes them or has one",
                "towers",
                "Set `model: {columns: {text: …, image: …}, fusion: towers}`.",
            )
        )
    return fusion
