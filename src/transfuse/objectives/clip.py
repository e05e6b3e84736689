"""Each picture picks its caption out of the batch, and each caption its picture."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import full_precision
from transfuse.objectives.pairing import check_pairs, cosines_of, items_of, towers_in
from transfuse.tasks.contrast import pair_losses

__all__ = ["Clip"]


@dataclass(frozen=True)
class Clip(Objective):
    """Cross-entropy of each row's own pair among all of its batch, both ways; the scale is learnt.

    Radford et al. (2021), 'Learning transferable visual models from natural language supervision'
    (arXiv:2103.00020). Other captions of the same picture are left out of what a row is told apart
    from. With `hardness` wrong pairs count more the nearer they are (Robinson et al., 2021,
    arXiv:2010.04592).
    """

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    smoothing: float = 0.0
    """Share of the target's mass that is spread over a row's pair and all wrong ones. Default:
    0."""

    hardness: float = 0.0
    """By how much near wrong pairs count more: exp(hardness * cosine), with a mean of 1 in each
    row. Default: 0, all count the same."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.smoothing < 1:
            raise ValueError("smoothing lies in [0, 1)")
        if not 0 <= self.hardness < math.inf:
            raise ValueError("hardness is a number, 0 or above")

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's pairs."""
        return ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return ("clip",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks the task and the towers."""
        check_pairs("clip", network, facts)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The mean over the rows of a batch."""
        towers, items = towers_in(step), items_of(step)
        with full_precision(towers.log_scale):
            found = pair_losses(
                cosines_of(step),
                items,
                towers.scale,
                smoothing=self.smoothing,
                hardness=self.hardness,
            )
        # Every weight of the towers takes part, as processes that wait for each other need it.
        return {"clip": found.mean() + 0 * towers.bias}
