"""The tensors of a run as one flat dict, and back."""

from collections.abc import Mapping

import torch
from torch import nn

from transfuse.training.checkpoint import Position, optimizer_tensors
from transfuse.training.selection import Selection

__all__ = ["pack", "unpack"]


def pack(
    module: nn.Module,
    balancing: nn.Module | None,
    selection: Selection | None,
    optimizer: torch.optim.Optimizer,
) -> dict[str, torch.Tensor]:
    """Everything with numbers that a run needs to go on, by name.

    Args:
        module: The network and its objectives.
        balancing: What the balancer owns, if anything.
        selection: The best weights so far, for a run with patience.
        optimizer: The stage's optimizer.
    """
    tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
    if balancing is not None:
        tensors |= {f"balancing.{name}": value for name, value in balancing.state_dict().items()}
    if selection is not None:
        tensors |= {f"best.{name}": value for name, value in selection.weights.items()}
    tensors |= optimizer_tensors(optimizer, "optimizer.")
    tensors["rng"] = torch.get_rng_state()
    return tensors


def unpack(
    module: nn.Module,
    balancing: nn.Module | None,
    selection: Selection | None,
    position: Position,
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """Put back what `pack` read; optimizer and random state are the stage's to restore.

    Args:
        module: As for `pack`.
        balancing: As for `pack`.
        selection: As for `pack`.
        position: Where the run stood.
        tensors: What `pack` gave.
    """
    module.load_state_dict(_part(tensors, "module."))
    if balancing is not None:
        balancing.load_state_dict(_part(tensors, "balancing."))
    if selection is not None:
        selection.weights = _part(tensors, "best.")
        selection.best, selection.stale = position.best, position.stale


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
