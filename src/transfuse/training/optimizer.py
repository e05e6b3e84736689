"""Optimizers and schedules, built anew for each stage."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from transfuse.training.options import Training
from transfuse.tuning import Group

__all__ = ["Schedule", "build_optimizer"]


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


class Schedule:
    """The rates of one stage: a rise over the warm-up, then the way down.

    The rates are a function of the step alone, so a resumed run needs no state for them.

    Args:
        optimizer: The stage's optimizer; its rates are the peaks.
        options: The run's options.
        steps: The stage's number of steps.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, options: Training, steps: int) -> None:
        self._optimizer = optimizer
        self._peaks = [group["lr"] for group in optimizer.param_groups]
        self._shape = options.schedule
        self._warmup = round(options.warmup * steps)
        self._steps = steps

    def apply(self, step: int) -> None:
        """Set the rates of a step, counted from 0."""
        factor = self.factor(step)
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor

    def factor(self, step: int) -> float:
        """The share of the peak at a step, counted from 0."""
        if step < self._warmup:
            return (step + 1) / (self._warmup + 1)
        way = min(1.0, (step - self._warmup) / max(1, self._steps - self._warmup))
        match self._shape:
            case "linear":
                return 1 - way
            case "cosine":
                return (1 + math.cos(math.pi * way)) / 2
            case "constant":
                return 1.0
