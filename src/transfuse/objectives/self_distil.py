"""Agree with the mean of what the network was in the steps before."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import nn
from torch.nn import functional

from transfuse.models import Network
from transfuse.objectives.answers import Rows, class_task
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import logits_of

__all__ = ["MeanTeacher", "SelfDistil"]


class MeanTeacher(nn.Module):
    """A copy of a network whose weights are the moving mean of the network's.

    It stays in evaluation mode whatever mode it is put in, and has no gradients.

    Args:
        network: The network at the start.
    """

    updates: torch.Tensor
    seen: torch.Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.full((), -1.0, dtype=torch.float64))

    def train(self, mode: bool = True) -> Self:
        """Takes the mode, but the copy stays in evaluation mode."""
        super().train(mode)
        self.network.eval()
        return self

    @torch.no_grad()
    def follow(self, network: Network, progress: float, decay: float) -> None:
        """Moves the mean towards the weights of now, once for each share of training done.

        The plain mean of all weights so far, until `decay` remembers less.

        Args:
            network: The network that learns.
            progress: The share of training done; the parts of one step have the same.
            decay: The part of the old mean that stays.
        """
        if progress == float(self.seen):
            return
        self.seen.fill_(progress)
        self.updates += 1
        kept = min(decay, 1 - 1 / int(self.updates))
        for mean, now in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.lerp_(now, 1 - kept)
        for old, new in zip(self.network.buffers(), network.buffers(), strict=True):
            old.copy_(new)


@dataclass(frozen=True)
class SelfDistil(Objective):
    """Distance of the network's answers from those of its own moving mean (mean teacher).

    Tarvainen and Valpola (2017), 'Mean teachers are better role models' (arXiv:1703.01780).
    """

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    stream: Rows = "target"
    """The rows to agree on: `target`, `unlabelled` or `source`. Default: target."""

    decay: float = 0.99
    """The part of the old mean that a step leaves, 0 to below 1. Default: 0.99."""

    loss: Literal["mse", "kl"] = "mse"
    """The squared difference of probabilities, or T² times the divergence of softened ones.
    Default: mse."""

    temperature: float = 1.0
    """Divides the logits for `kl`. Default: 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.decay < 1 or not self.temperature > 0:
            raise ValueError("decay lies in [0, 1), temperature is above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """The rows to agree on."""
        return (self.stream,)

    @property
    def names(self) -> tuple[str, ...]:
        """The distance."""
        return ("self_distil",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module:
        """The moving mean, a second network."""
        class_task("self_distil", facts, self.stream)
        return MeanTeacher(network)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Moves the mean when training, and compares the answers."""
        assert isinstance(module, MeanTeacher)
        if module.training:
            module.follow(step.network, step.progress, self.decay)
        head = step.tasks[self.stream].head
        with torch.no_grad():
            answers = module.network(step.batches[self.stream], step.frozen, [head])
            wanted = answers.logits[head].float()
        mine = logits_of(step, self.stream)
        if self.loss == "mse":
            apart = (mine.softmax(-1) - wanted.softmax(-1)).square().sum(-1)
            return {"self_distil": apart.mean()}
        divergence = functional.kl_div(
            (mine / self.temperature).log_softmax(-1),
            (wanted / self.temperature).log_softmax(-1),
            reduction="batchmean",
            log_target=True,
        )
        return {"self_distil": self.temperature**2 * divergence}
