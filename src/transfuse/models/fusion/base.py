"""The interface of a fusion for several tasks, and what its kinds are made of.

A fusion is a frozen dataclass of options. It builds a module that turns the encoder's pooled
vector of a row into one vector for each task; the task's head reads that one. The module stands
between encoder and heads, trains with the heads and is saved with them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models.encoder import Encoded
from transfuse.models.source import seeded

__all__ = ["Fusion", "TaskVectors", "expert", "gate", "mixed"]


class TaskVectors(nn.Module):
    """The fusion of a network with several tasks.

    Args:
        body: From pooled vectors [n, d] to one vector per row of each task, [n, dim] by task.
        options: What the body was built from.
        dim: Length of the tasks' vectors.
    """

    def __init__(self, body: nn.Module, options: "Fusion", dim: int) -> None:
        super().__init__()
        self.body = body
        self.options = options
        self.dim = dim

    def forward(self, encoded: Mapping[str, Encoded]) -> Encoded:
        """One encoding for each task.

        Args:
            encoded: The encoding of the only column.

        Returns:
            That encoding with those of the tasks in `by_task`; these have no tokens.
        """
        (only,) = encoded.values()
        pooled = only.pooled
        # A mean is summed in 32 bits whatever the encoder's type, autocast aside.
        if not torch.is_autocast_enabled(pooled.device.type):
            pooled = pooled.to(next(self.body.parameters()).dtype)
        vectors: dict[str, torch.Tensor] = self.body(pooled)
        by_task = {task: Encoded(vector) for task, vector in vectors.items()}
        return Encoded(only.pooled, only.tokens, only.mask, by_task)


@dataclass(frozen=True)
class Fusion(ABC):
    """How several tasks share one encoder's vector."""

    width: int | None = None
    """Length of each task's vector. Default: the encoder's."""

    def __post_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise ValueError("width is at least 1")

    def build(self, dim: int, tasks: Sequence[str], seed: int) -> TaskVectors:
        """The module, with fresh weights.

        Args:
            dim: Length of the encoder's pooled vector.
            tasks: Names of the tasks.
            seed: Seed of the weights.
        """
        width = self.width or dim
        with seeded(seed):
            return TaskVectors(self.body(dim, width, tuple(tasks)), self, width)

    @abstractmethod
    def body(self, dim: int, width: int, tasks: tuple[str, ...]) -> nn.Module:
        """The part of the module that is this fusion's own, drawn from torch's generator.

        Args:
            dim: Length of the encoder's pooled vector.
            width: Length of each task's vector.
            tasks: Names of the tasks.
        """


def expert(dim: int, width: int, layers: int) -> nn.Sequential:
    """Linear layers, each with a ReLU after it."""
    parts: list[nn.Module] = []
    for layer in range(layers):
        parts += [nn.Linear(width if layer else dim, width), nn.ReLU()]
    return nn.Sequential(*parts)


def gate(dim: int, experts: int) -> nn.Linear:
    """The logits of each expert's share; all shares are equal at first."""
    made = nn.Linear(dim, experts, bias=False)
    nn.init.zeros_(made.weight)
    return made


def mixed(logits: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """The experts' vectors in the shares that a gate gives them.

    Args:
        logits: What the gate says of each row, [n, experts].
        vectors: Each expert's vector of each row, [n, experts, width].

    Returns:
        One vector per row, [n, width].
    """
    return torch.einsum("ne,new->nw", logits.softmax(-1), vectors)
