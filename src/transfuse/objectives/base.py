"""The interface of an objective.

An objective is a frozen dataclass of options. It names the streams that it reads and turns the
network's outputs on those streams into named losses. The network runs once for each stream of a
step, whatever the number of objectives that read it. What an objective learns or remembers of its
own (a discriminator, a projection, the weights it started from) lives in the module that `module`
builds, so that it moves between devices, trains and resumes with the network.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from transfuse.models import Batch, Network, Outputs
from transfuse.tasks import Task

__all__ = ["Objective", "Ramp", "Step", "StreamTask"]


@dataclass(frozen=True)
class Ramp:
    """A weight that moves while training goes on."""

    start: float
    """The weight at the first step."""

    end: float
    """The weight at the last step."""

    shape: Literal["linear", "cosine", "sigmoid"] = "linear"
    """The way from one to the other; `sigmoid` is 2 / (1 + exp(-10 p)) - 1 of the way at the share
    p of training done (Ganin et al., 2016, arXiv:1505.07818). Default: linear."""

    def at(self, progress: float) -> float:
        """The weight at a share of training done, 0 to 1."""
        match self.shape:
            case "linear":
                way = progress
            case "cosine":
                way = (1 - math.cos(math.pi * progress)) / 2
            case "sigmoid":
                way = 2 / (1 + math.exp(-10 * progress)) - 1
        return self.start + (self.end - self.start) * way


@dataclass(frozen=True)
class StreamTask:
    """How the rows of a labelled stream are to be learnt."""

    task: Task
    head: str
    """The name of the head that answers for this stream."""

    weights: torch.Tensor | None = None
    """Weight of each class, [outputs]."""


@dataclass(frozen=True)
class Step:
    """What an objective sees of one step."""

    network: Network
    batches: Mapping[str, Batch]
    """The batch of each stream; labelled ones have `targets`."""

    outputs: Mapping[str, Outputs]
    """What the network gave for each stream's batch."""

    tasks: Mapping[str, StreamTask]
    """The task of each labelled stream."""

    progress: float
    """The share of training done, 0 to 1."""


@dataclass(frozen=True)
class Objective(ABC):
    """Named losses on named streams of data."""

    def __post_init__(self) -> None:
        ends = self.weight
        for end in (ends.start, ends.end) if isinstance(ends, Ramp) else (ends,):
            # Below 0 a loss would be a gain.
            if not 0 <= end < math.inf:
                raise ValueError("weight is 0 or above")

    @property
    @abstractmethod
    def streams(self) -> tuple[str, ...]:
        """The names of the streams that the losses read."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names of the losses that it gives."""

    @property
    @abstractmethod
    def weight(self) -> float | Ramp:
        """The weight of this objective's losses in the sum."""

    @property
    def share(self) -> float:
        """Rows of its streams in a batch, for each row that `train.batch_size` allows."""
        return 1.0

    @property
    def convex(self) -> bool:
        """Whether the losses are convex and deterministic in the head over fixed features.

        Where every objective is, a frozen probe is solved exactly instead of being trained.
        """
        return False

    def module(self, network: Network) -> nn.Module | None:
        """What the objective learns or remembers, built from the network at the start."""
        return None

    @abstractmethod
    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The losses of one step by name, each a scalar, not yet weighted.

        Args:
            step: The step's batches and outputs.
            module: What `module` built.
        """

    def weight_at(self, progress: float) -> float:
        """The weight at a share of training done, 0 to 1."""
        return self.weight.at(progress) if isinstance(self.weight, Ramp) else self.weight
