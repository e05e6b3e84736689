"""Optimizers and schedules, built anew for each stage."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from transfuse.training.options import Training
from transfuse.tuning import Group

__all__ = ["build_optimizer", "build_schedule"]


def build_optimizer(
    groups: Iterable[Group],
    extra: Iterable[nn.Parameter],
    parameters: Mapping[str, nn.Parameter],
    options: Training,
) -> torch.optim.Optimizer:
    """The optimizer of one stage.

    Args:
        groups: The stage's groups.
        extra: Parameters that objectives and the balancer own; they train at the highest rate.
        parameters: All parameters of the network by name.
        options: The run's options.

    Returns:
        An optimizer whose groups hold the matrices with weight decay and all else without.
    """
    groups = tuple(groups)
    rated = [
        (group.learning_rate, [parameters[name] for name in sorted(group.names)])
        for group in groups
    ]
    rated.append((max(group.learning_rate for group in groups), list(extra)))
    settings = []
    for rate, members in rated:
        matrices = [weight for weight in members if weight.ndim > 1]
        vectors = [weight for weight in members if weight.ndim <= 1]
        for chosen, decay in ((matrices, options.weight_decay), (vectors, 0.0)):
            if chosen:
                settings.append({"params": chosen, "lr": rate, "weight_decay": decay})
    if options.optimizer == "sgd":
        return torch.optim.SGD(settings, momentum=options.momentum)
    return torch.optim.AdamW(settings, fused=True)


def build_schedule(optimizer: torch.optim.Optimizer, options: Training, steps: int) -> LambdaLR:
    """The schedule of one stage: a rise over the warm-up, then the way down.

    Args:
        optimizer: The stage's optimizer; its rates are the peaks.
        options: The run's options.
        steps: The stage's number of steps.
    """
    warmup = round(options.warmup * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        way = (step - warmup) / max(1, steps - warmup)
        match options.schedule:
            case "linear":
                return max(0.0, 1 - way)
            case "cosine":
                return (1 + math.cos(math.pi * min(1.0, way))) / 2
            case "constant":
                return 1.0

    return LambdaLR(optimizer, factor)
