"""Believe what the model is sure of."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import discrete_task, logits_of

__all__ = ["Pseudo"]


@dataclass(frozen=True)
class Pseudo(Objective):
    """The model's own sure predictions on unlabelled rows are taken for their labels.

    Sohn et al. (2020), 'FixMatch: simplifying semi-supervised learning with consistency and
    confidence' (arXiv:2001.07685): the row as it stands gives the label, its varied text learns
    it. Without the variation, Lee (2013), 'Pseudo-label', ICML workshop, with a threshold.
    """

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    threshold: float = 0.95
    """The probability from which a prediction is believed, 0 to 1. Default: 0.95."""

    temperature: float = 1.0
    """Divides the logits before the threshold; above 1 fewer rows pass. Default: 1."""

    augmented: bool = True
    """Whether the label is learned on the varied text, which the recipe's `augment` makes; else
    on the row itself. Default: true."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.threshold <= 1 or not self.temperature > 0:
            raise ValueError("threshold lies in [0, 1], temperature is above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """The unlabelled rows, and the same varied."""
        return ("unlabelled", "unlabelled/augmented") if self.augmented else ("unlabelled",)

    @property
    def names(self) -> tuple[str, ...]:
        """The loss."""
        return ("pseudo",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks that there are classes and one head."""
        discrete_task("pseudo", facts)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Cross-entropy with the believed labels over all rows; others count as 0."""
        weak = logits_of(step, "unlabelled").detach() / self.temperature
        sureness, labels = weak.softmax(-1).max(-1)
        losses = functional.cross_entropy(
            logits_of(step, self.streams[-1]), labels, reduction="none"
        )
        return {"pseudo": (losses * (sureness >= self.threshold)).mean()}
