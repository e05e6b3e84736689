"""Multi-gate mixture of experts: shared experts, and for each task a gate of its own."""

from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models.fusion.base import Fusion, expert, gate, mixed

__all__ = ["MMoE"]


@dataclass(frozen=True)
class MMoE(Fusion):
    """Experts that all tasks share, mixed for each task by a gate that sees the row.

    Ma et al. (2018), 'Modeling task relationships in multi-task learning with multi-gate
    mixture-of-experts' (doi:10.1145/3219819.3220007).
    """

    experts: int = 4
    """How many experts there are. Default: 4."""

    layers: int = 1
    """Linear layers of each expert. Default: 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("experts", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")

    def body(self, dim: int, width: int, tasks: tuple[str, ...]) -> nn.Module:
        """See `Fusion.body`."""
        return _Mixture(self, dim, width, tasks)


class _Mixture(nn.Module):
    def __init__(self, options: MMoE, dim: int, width: int, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.experts = nn.ModuleList(
            expert(dim, width, options.layers) for _ in range(options.experts)
        )
        self.gates = nn.ModuleDict({task: gate(dim, options.experts) for task in tasks})

    def forward(self, pooled: torch.Tensor) -> dict[str, torch.Tensor]:
        vectors = torch.stack([each(pooled) for each in self.experts], 1)
        return {task: mixed(own(pooled), vectors) for task, own in self.gates.items()}
