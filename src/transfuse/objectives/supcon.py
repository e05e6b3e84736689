"""Rows of a class together, within the batches of the target."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from transfuse.models import Network
from transfuse.objectives.answers import class_task
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import features_of, full_precision, input_dim

__all__ = ["SupCon", "supervised_contrast"]


def supervised_contrast(
    vectors: torch.Tensor, targets: torch.Tensor, temperature: float
) -> torch.Tensor:
    """For each row the mean -log share of its class mates among all other rows.

    Rows without a class mate are only there to be told apart from; without any class mates in the
    batch the loss is 0.

    Args:
        vectors: Rows [n, d], 32 bits, of any length.
        targets: Class numbers [n].
        temperature: What cosines are divided by.

    Returns:
        The mean over the rows that have a class mate.
    """
    directions = functional.normalize(vectors, dim=1)
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    mates = (targets[:, None] == targets) & ~itself
    scores = (directions @ directions.T / temperature).masked_fill(itself, -torch.inf)
    shares = scores.log_softmax(1).masked_fill(~mates, 0)
    count = mates.sum(1)
    return -(shares.sum(1) / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


@dataclass(frozen=True)
class SupCon(Objective):
    """Supervised contrast within a batch, beside the task's loss.

    Khosla et al. (2020), 'Supervised contrastive learning' (arXiv:2004.11362); for language models
    Gunel et al. (2021, arXiv:2011.01403).
    """

    weight: float | Ramp = 0.5
    """Weight of the loss. Default: 0.5."""

    temperature: float = 0.3
    """What cosines are divided by. Default: 0.3."""

    again: bool = False
    """Whether each row stands in the batch twice, with other dropout, so that it always has a
    mate; costs a second pass. Default: false."""

    projection: int | None = None
    """Width of a learned projection between the features and the contrast. Default: none, the
    features themselves are contrasted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.temperature < math.inf:
            raise ValueError("temperature is a number above 0")
        if self.projection is not None and self.projection < 1:
            raise ValueError("projection is at least 1")

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's rows, twice if asked for."""
        return ("target", "target/again") if self.again else ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return ("supcon",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module | None:
        """A projection with one hidden layer, if asked for."""
        dim = input_dim(network, class_task("supcon", facts, "target").head)
        if self.projection is None:
            return None
        return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, self.projection))

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The contrast of all rows of the step, both views together."""
        vectors = torch.cat([features_of(step, name) for name in self.streams])
        targets = torch.cat([step.batches[name]["targets"] for name in self.streams])
        with full_precision(vectors):
            if module is not None:
                vectors = module(vectors)
            return {"supcon": supervised_contrast(vectors, targets, self.temperature)}
