"""Progressive layered extraction: experts of each task beside shared ones, in several layers."""

from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models.fusion.base import Fusion, expert, gate, mixed

__all__ = ["PLE"]


@dataclass(frozen=True)
class PLE(Fusion):
    """Experts that belong to one task beside experts that all share, layer upon layer.

    Tang et al. (2020), 'Progressive layered extraction (PLE): a novel multi-task learning model for
    personalized recommendations' (doi:10.1145/3383313.3412236); with `layers: 1` its customised
    gate control (CGC).
    """

    experts: int = 1
    """Experts of each task in each layer. Default: 1."""

    shared: int = 2
    """Experts of all tasks in each layer. Default: 2."""

    layers: int = 2
    """Layers of experts. Default: 2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("experts", "shared", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")

    def body(self, dim: int, width: int, tasks: tuple[str, ...]) -> nn.Module:
        """See `Fusion.body`."""
        return _Extraction(self, dim, width, tasks)


class _Extraction(nn.Module):
    def __init__(self, options: PLE, dim: int, width: int, tasks: tuple[str, ...]) -> None:
        super().__init__()
        last = options.layers - 1
        self.layers = nn.ModuleList(
            _Layer(options, width if layer else dim, width, tasks, last=layer == last)
            for layer in range(options.layers)
        )

    def forward(self, pooled: torch.Tensor) -> dict[str, torch.Tensor]:
        (first, *_) = self.layers
        assert isinstance(first, _Layer)
        own, shared = dict.fromkeys(first.own, pooled), pooled
        for layer in self.layers:
            own, shared = layer(own, shared)
        return own


class _Layer(nn.Module):
    """Each task's gate sees its own and the shared experts; the shared gate sees all of them."""

    def __init__(
        self, options: PLE, dim: int, width: int, tasks: tuple[str, ...], *, last: bool
    ) -> None:
        super().__init__()

        def experts(count: int) -> nn.ModuleList:
            return nn.ModuleList(expert(dim, width, 1) for _ in range(count))

        self.own = nn.ModuleDict({task: experts(options.experts) for task in tasks})
        self.shared = experts(options.shared)
        seen = options.experts + options.shared
        self.gates = nn.ModuleDict({task: gate(dim, seen) for task in tasks})
        everything = options.experts * len(tasks) + options.shared
        # Nothing reads what is shared after the last layer.
        self.shared_gate = None if last else gate(dim, everything)

    def forward(
        self, own: dict[str, torch.Tensor], shared: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        common = [each(shared) for each in self.shared]
        made: dict[str, list[torch.Tensor]] = {}
        for task, experts in self.own.items():
            assert isinstance(experts, nn.ModuleList)
            made[task] = [each(own[task]) for each in experts]
        vectors = {
            task: mixed(chooses(own[task]), torch.stack([*made[task], *common], 1))
            for task, chooses in self.gates.items()
        }
        if self.shared_gate is None:
            return vectors, shared
        everything = [vector for several in made.values() for vector in several] + common
        return vectors, mixed(self.shared_gate(shared), torch.stack(everything, 1))
