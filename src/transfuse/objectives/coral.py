"""Give source and target the same covariance."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import features_of, full_precision, nothing, shared_task
from transfuse.objectives.kernels import covariance

__all__ = ["Coral"]


@dataclass(frozen=True)
class Coral(Objective):
    """Squared distance between the covariances of source and target features (Deep CORAL).

    Sun and Saenko (2016), 'Deep CORAL: correlation alignment for deep domain adaptation'
    (arXiv:1607.01719); their means are free to differ.
    """

    weight: float | Ramp = 1000.0
    """Weight of the distance, which is small for long vectors; the paper chooses it so that at the
    end the distance counts about as much as the source's loss. Default: 1000."""

    @property
    def streams(self) -> tuple[str, ...]:
        """Both domains."""
        return ("source", "unlabelled")

    @property
    def names(self) -> tuple[str, ...]:
        """The distance."""
        return ("coral",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks that there is one head."""
        shared_task("coral", facts)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The distance between the batches; 0 where one of them has a single row."""
        source, target = features_of(step, "source"), features_of(step, "unlabelled")
        if min(len(source), len(target)) < 2:
            return {"coral": nothing(source, target)}
        with full_precision(source):
            gap = covariance(source) - covariance(target)
            return {"coral": gap.square().sum() / (4 * source.shape[1] ** 2)}
