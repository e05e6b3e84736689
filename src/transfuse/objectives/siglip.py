"""Each picture and each caption of a batch: do the two belong together?"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import full_precision
from transfuse.objectives.pairing import check_pairs, cosines_of, items_of, towers_in
from transfuse.tasks.contrast import pair_sigmoid

__all__ = ["Siglip"]


@dataclass(frozen=True)
class Siglip(Objective):
    """Log loss of every pair of a batch on its own; scale and bias are learnt.

    Zhai et al. (2023), 'Sigmoid loss for language image pre-training' (arXiv:2303.15343). All
    captions of a picture are right ones. Afterwards sigmoid(scale * cosine + bias) is the
    probability that two belong together, at the share of right pairs that batches had.
    """

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's pairs."""
        return ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return ("siglip",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks the task and the towers."""
        check_pairs("siglip", network, facts)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The sum over the captions, the mean over the pictures of a batch."""
        towers, items = towers_in(step), items_of(step)
        with full_precision(towers.log_scale):
            found = pair_sigmoid(cosines_of(step), items, towers.scale, towers.bias)
        return {"siglip": found.mean()}
