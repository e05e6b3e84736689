"""Confuse fewer classes on the target."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import discrete_task, entropies, full_precision, logits_of

__all__ = ["MCC", "class_confusion"]


def class_confusion(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """How much of the classes' mass is shared with other classes, in [0, 1 - 1 / classes].

    Args:
        logits: Logits [n, classes], 32 bits.
        temperature: Softens the probabilities.
    """
    log_shares = (logits / temperature).log_softmax(-1)
    shares = log_shares.exp()
    # A sure row says more about which classes are confused; the weights have mean 1.
    certainty = 1 + torch.exp(-entropies(log_shares.detach()))
    weights = len(logits) * certainty / certainty.sum()
    confusion = shares.T @ (weights[:, None] * shares)
    # A class that no row of the batch leans to at all has an empty row.
    tiny = torch.finfo(confusion.dtype).tiny
    confusion = confusion / confusion.sum(1, keepdim=True).clamp_min(tiny)
    return (confusion.sum() - confusion.diagonal().sum()) / logits.shape[1]


@dataclass(frozen=True)
class MCC(Objective):
    """Confusion between classes on unlabelled rows of the target (minimum class confusion).

    Jin, Wang, Long and Wang (2020), 'Minimum class confusion for versatile domain adaptation'
    (arXiv:1912.03699).
    """

    weight: float | Ramp = 1.0
    """Weight of the confusion. Default: 1."""

    temperature: float = 2.5
    """Divides the logits, since a classifier is too sure on a new domain. Default: 2.5."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise ValueError("temperature is above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """The unlabelled rows."""
        return ("unlabelled",)

    @property
    def names(self) -> tuple[str, ...]:
        """The confusion."""
        return ("mcc",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks that there are classes and one head."""
        discrete_task("mcc", facts)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The confusion of the batch."""
        logits = logits_of(step, "unlabelled")
        with full_precision(logits):
            return {"mcc": class_confusion(logits, self.temperature)}
