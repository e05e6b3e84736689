"""The nearest wrong picture and the nearest wrong caption are kept at a distance."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import full_precision
from transfuse.objectives.pairing import check_pairs, cosines_of, items_of, towers_in
from transfuse.tasks.contrast import pair_hinge

__all__ = ["VSE"]


@dataclass(frozen=True)
class VSE(Objective):
    """Hinge between a row's own pair and the hardest wrong ones of its batch.

    Faghri et al. (2018), 'VSE++: improving visual-semantic embeddings with hard negatives'
    (arXiv:1707.05612); with `negatives: all` the sum of hinges that it improves on.
    """

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    margin: float = 0.2
    """By how much a pair's cosine should exceed that of wrong ones. Default: 0.2."""

    negatives: Literal["hardest", "all"] = "hardest"
    """Which wrong ones count: the nearest picture and the nearest caption, or all of them.
    Default: hardest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.margin < math.inf:
            raise ValueError("margin is a number above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's pairs."""
        return ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return ("vse",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks the task and the towers."""
        check_pairs("vse", network, facts)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The mean over the rows of a batch."""
        towers, items = towers_in(step), items_of(step)
        with full_precision(towers.log_scale):
            hardest = self.negatives == "hardest"
            found = pair_hinge(cosines_of(step), items, self.margin, hardest=hardest)
        return {"vse": found.mean() + 0 * (towers.log_scale + towers.bias)}
