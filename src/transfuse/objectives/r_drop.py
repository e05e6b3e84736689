"""Answer the same whichever way dropout falls."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from transfuse.models import Network
from transfuse.objectives.answers import class_task
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import logits_of

__all__ = ["RDrop"]


@dataclass(frozen=True)
class RDrop(Objective):
    """Symmetric divergence between two passes over the same rows with different dropout (R-Drop).

    Liang et al. (2021), 'R-Drop: regularized dropout for neural networks' (arXiv:2106.14448).
    """

    weight: float | Ramp = 1.0
    """Weight of the divergence. Default: 1."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's rows, twice."""
        return ("target", "target/again")

    @property
    def names(self) -> tuple[str, ...]:
        """The divergence."""
        return ("r_drop",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks that there are classes."""
        class_task("r_drop", facts, "target")

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Half the sum of both divergences, the mean over the rows."""
        one, other = (logits_of(step, name).log_softmax(-1) for name in self.streams)
        there = functional.kl_div(one, other, reduction="batchmean", log_target=True)
        back = functional.kl_div(other, one, reduction="batchmean", log_target=True)
        return {"r_drop": (there + back) / 2}
