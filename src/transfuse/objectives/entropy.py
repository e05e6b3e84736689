"""Be sure on the target."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import discrete_task, entropies, logits_of

__all__ = ["Entropy"]


@dataclass(frozen=True)
class Entropy(Objective):
    """Mean entropy of the predictions on unlabelled rows of the target.

    Grandvalet and Bengio (2004), 'Semi-supervised learning by entropy minimization', NIPS 17.
    """

    weight: float | Ramp = 0.1
    """Weight of the entropy. Default: 0.1."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The unlabelled rows."""
        return ("unlabelled",)

    @property
    def names(self) -> tuple[str, ...]:
        """The entropy."""
        return ("entropy",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks that there are classes and one head."""
        discrete_task("entropy", facts)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The mean entropy in nats: 0 where sure, log(classes) where undecided."""
        return {"entropy": entropies(logits_of(step, "unlabelled").log_softmax(-1)).mean()}
