"""Cross-stitch units: a column of layers for each task, mixed after every layer."""

from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models.fusion.base import Fusion, expert

__all__ = ["CrossStitch"]


@dataclass(frozen=True)
class CrossStitch(Fusion):
    """A column of layers for each task; after each layer the columns are mixed by learnt shares.

    Misra et al. (2016), 'Cross-stitch networks for multi-task learning' (arXiv:1604.03539). There
    every task has a whole network and the units stand between their layers; here all tasks share
    one encoder, and the columns are small layers on its pooled vector.
    """

    layers: int = 1
    """Linear layers of each column, with a unit after each. Default: 1."""

    own: float = 0.9
    """Share of its own column that a task begins with; the other columns divide the rest.
    Default: 0.9."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers < 1:
            raise ValueError("layers is at least 1")
        if not 0 <= self.own <= 1:
            raise ValueError("own lies in [0, 1]")

    def body(self, dim: int, width: int, tasks: tuple[str, ...]) -> nn.Module:
        """See `Fusion.body`."""
        return _Columns(self, dim, width, tasks)


class _Columns(nn.Module):
    def __init__(self, options: CrossStitch, dim: int, width: int, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.columns = nn.ModuleDict(
            {
                task: nn.ModuleList(
                    expert(width if layer else dim, width, 1) for layer in range(options.layers)
                )
                for task in tasks
            }
        )
        self.units = nn.ParameterList(
            nn.Parameter(_shares(len(tasks), width, options.own)) for _ in range(options.layers)
        )

    def forward(self, pooled: torch.Tensor) -> dict[str, torch.Tensor]:
        vectors = [pooled] * len(self.columns)
        for layer, shares in enumerate(self.units):
            made = []
            for column, vector in zip(self.columns.values(), vectors, strict=True):
                assert isinstance(column, nn.ModuleList)
                made.append(column[layer](vector))
            vectors = list(torch.einsum("tsw,nsw->tnw", shares, torch.stack(made, 1)))
        return dict(zip(self.columns, vectors, strict=True))


def _shares(tasks: int, width: int, own: float) -> torch.Tensor:
    """For each entry of a vector, the share of each column in each task, [tasks, tasks, width]."""
    if tasks == 1:
        return torch.ones(1, 1, width)
    others = torch.full((tasks, tasks), (1 - own) / (tasks - 1))
    shares = others.fill_diagonal_(own)
    return shares[..., None].repeat(1, 1, width)
