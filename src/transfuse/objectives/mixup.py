"""Between two rows lies the mean of their labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.errors import Problem, RecipeError
from transfuse.models import Encoded, Head, Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import features_of

__all__ = ["Mixup", "mix"]


def mix(vectors: torch.Tensor, order: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Each row mixed with another one.

    Args:
        vectors: Rows [n, d].
        order: The number of each row's partner, int64 [n].
        share: The row's own part, a scalar from 0 to 1.
    """
    return share * vectors + (1 - share) * vectors[order]


@dataclass(frozen=True)
class Mixup(Objective):
    """The task's loss on mixtures of the features of two rows, with both rows' labels.

    Zhang et al. (2018), 'mixup: beyond empirical risk minimization' (arXiv:1710.09412), on
    features as Verma et al. (2019), 'Manifold mixup' (arXiv:1806.05236): texts cannot be mixed,
    their vectors can.
    """

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    alpha: float = 0.4
    """The part of a row is drawn once a batch from Beta(alpha, alpha); the larger, the nearer to
    half and half. Default: 0.4."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.alpha > 0:
            raise ValueError("alpha is above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's rows."""
        return ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return ("mixup",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks that the head reads one vector a row."""
        known = facts["target"].task
        assert known is not None, "labelled rows have a task"
        head = network.heads[known.head]
        assert isinstance(head, Head)
        encoder = network.encoder
        pooled = not encoder.keeps_tokens and network.can_resume(encoder.depth)
        if head.linear is None and not pooled:
            raise RecipeError(
                Problem(
                    "learn",
                    "mixup mixes one vector a row, this architecture's own head reads more",
                    "a head on the pooled vector",
                    "Give the model `pooling: mean`, which puts a linear head there.",
                )
            )

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The loss with either label, weighed by the row's part in the mixture."""
        features = features_of(step, "target")
        share = torch.distributions.Beta(self.alpha, self.alpha).sample().to(features)
        order = torch.randperm(len(features)).to(features.device)
        return {"mixup": self.mixed_loss(step, order, share)}

    def mixed_loss(self, step: Step, order: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """The loss for a given mixture.

        Args:
            step: The step.
            order: The number of each row's partner, int64 [n].
            share: The row's own part, a scalar from 0 to 1.
        """
        known, batch = step.tasks["target"], step.batches["target"]
        mixed = Encoded(mix(features_of(step, "target"), order, share))
        logits = step.network.heads[known.head](mixed, {})
        counts = batch.get("weights")
        own, partner = (
            known.task.loss(
                logits,
                batch["targets"][rows],
                weights=known.weights,
                row_weights=None if counts is None else counts[rows],
            )
            for rows in (torch.arange(len(order), device=order.device), order)
        )
        return share * own + (1 - share) * partner
