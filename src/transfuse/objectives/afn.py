"""Let the norms of features grow, little by little, in both domains."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import features_of, shared_task

__all__ = ["AFN"]


@dataclass(frozen=True)
class AFN(Objective):
    """Each feature vector is to be a step longer than it is (stepwise adaptive feature norm).

    Xu, Li, Yang and Lin (2019), 'Larger norm more transferable: an adaptive feature norm approach
    for unsupervised domain adaptation' (arXiv:1811.07456).
    """

    weight: float | Ramp = 0.05
    """Weight of the loss. Default: 0.05."""

    delta: float = 1.0
    """The step by which a norm is to grow. Default: 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.delta > 0:
            raise ValueError("delta is above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """Both domains."""
        return ("source", "unlabelled")

    @property
    def names(self) -> tuple[str, ...]:
        """The loss."""
        return ("afn",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks that there is one head."""
        shared_task("afn", facts)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Mean squared distance of the norms to where they are to go, summed over the domains.

        Its value is 2 delta² at every step; only its gradient says anything.
        """
        losses = []
        for stream in self.streams:
            norms = torch.linalg.vector_norm(features_of(step, stream), dim=1)
            losses.append((norms.detach() + self.delta - norms).square().mean())
        return {"afn": torch.stack(losses).sum()}
