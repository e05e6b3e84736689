"""Several tasks at once: the loss of each, and how often rows of each are seen."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from transfuse.objectives.base import Objective, Ramp, Step

__all__ = ["Tasks"]


@dataclass(frozen=True)
class Tasks(Objective):
    """The loss of each of several tasks, whose rows share the batch.

    Caruana (1997), 'Multitask learning' (doi:10.1023/A:1007379606734).
    Every step sees rows of every task, at least one of each. A task of n rows gets a share of the
    batch that is proportional to n^(1/T): with a higher temperature T small tasks are seen more
    often (Arivazhagan et al., 2019, arXiv:1907.05019).
    """

    weight: float | Ramp = 1.0
    """Weight of all losses: a number, or {start, end, shape} to move it in training. Default: 1."""

    weights: Mapping[str, float] = field(default_factory=dict)
    """Factors for the losses of single tasks, by task. Default: 1 for each."""

    sampling: Literal["proportional", "sqrt", "temperature", "uniform"] = "proportional"
    """Shares of the batch: as the tasks' rows (T = 1), as their square roots (T = 2), by
    `temperature`, or the same for all. Default: proportional."""

    temperature: float = 5.0
    """The temperature T of `sampling: temperature`, 1 or above. Default: 5."""

    count: Literal["rows", "tasks"] = "rows"
    """What counts the same in the sum of losses: every row of the batch, so that a task weighs as
    much as its share, or every task. Default: rows."""

    names: tuple[str, ...] = ()
    """The tasks that are learnt. Default: all of `data.tasks`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.temperature < math.inf:
            raise ValueError("temperature is 1 or above")
        if not all(0 <= factor < math.inf for factor in self.weights.values()):
            raise ValueError("weights holds numbers of 0 or above")

    @property
    def streams(self) -> tuple[str, ...]:
        """The labelled rows of each task, named as the task is."""
        return self.names

    def share_of(self, stream: str, rows: Mapping[str, int]) -> float:
        """The share of a task in a batch; those of all tasks add up to 1."""
        if stream not in self.names:
            return self.share
        exponent = {
            "proportional": 1.0,
            "sqrt": 0.5,
            "temperature": 1 / self.temperature,
            "uniform": 0.0,
        }[self.sampling]
        parts: dict[str, float] = {name: rows[name] ** exponent for name in self.names}
        return parts[stream] / sum(parts.values())

    def weight_of(self, loss: str, progress: float, rows: Mapping[str, int]) -> float:
        """The weight of a task's loss; with factors of 1 those of all tasks add up to `weight`."""
        shares = self.share_of(loss, rows) if self.count == "rows" else 1 / len(self.names)
        return self.weight_at(progress) * self.weights.get(loss, 1.0) * shares

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The mean loss of each task's rows, under the task's name."""
        losses = {}
        for name in self.names:
            known = step.tasks[name]
            losses[name] = known.task.loss(
                step.outputs[name].logits[known.head],
                step.batches[name]["targets"],
                weights=known.weights,
            )
        return losses
