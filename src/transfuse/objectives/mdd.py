"""A second classifier that disagrees on the target, and an encoder that leaves it no room."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from transfuse.models import Network
from transfuse.objectives.adversarial import ramp, reverse
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import (
    discrete_task,
    features_of,
    full_precision,
    input_dim,
    logits_of,
)

__all__ = ["MDD", "disagreement"]


def disagreement(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean of -log(1 - p) over the rows, p being the share of each row's label.

    Args:
        logits: Logits [n, classes], 32 bits, with two classes or more.
        labels: Class numbers [n].
    """
    # From the other classes' logits: 1 - p itself would be 0 where p rounds to 1.
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return (logits.logsumexp(1) - others.logsumexp(1)).mean()


@dataclass(frozen=True)
class MDD(Objective):
    """An adversarial classifier agrees on the source and disagrees on the target (MDD).

    Zhang, Liu, Long and Jordan (2019), 'Bridging theory and algorithm for domain adaptation'
    (arXiv:1904.05801).
    """

    weight: float | Ramp = 1.0
    """Weight of the disparity, for the second classifier and the encoder alike. Default: 1."""

    margin: float = 4.0
    """How much more the source counts than the target, which sets the margin. Default: 4."""

    reversal: float = 0.1
    """The encoder's part at the end of training; it grows to this as
    2 / (1 + exp(-10 p)) - 1. Default: 0.1."""

    hidden: int = 256
    """Width of the second classifier's hidden layer. Default: 256."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.margin > 0 or self.reversal < 0 or self.hidden < 1:
            raise ValueError("margin and hidden are above 0, reversal is 0 or above")

    @property
    def streams(self) -> tuple[str, ...]:
        """Both domains."""
        return ("source", "unlabelled")

    @property
    def names(self) -> tuple[str, ...]:
        """The disparity."""
        return ("mdd",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module:
        """The second classifier."""
        known = discrete_task("mdd", facts)
        return nn.Sequential(
            nn.Linear(input_dim(network, known.head), self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, known.task.outputs),
        )

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The second classifier's loss; what it sends back to the features is reversed."""
        assert module is not None
        strength = self.reversal * ramp(step.progress)
        source, target = features_of(step, "source"), features_of(step, "unlabelled")
        with full_precision(source):
            on_source = module(reverse(source, strength))
            on_target = module(reverse(target, strength))
        # What the head says, not the true labels: the disparity is between two classifiers.
        agreed = functional.cross_entropy(on_source, logits_of(step, "source").argmax(1))
        apart = disagreement(on_target, logits_of(step, "unlabelled").argmax(1))
        return {"mdd": self.margin * agreed + apart}
