"""Towers set in closed form: the directions in which pictures and captions agree."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transfuse.evaluation.canonical import canonical
from transfuse.models import Batch, Network
from transfuse.models.columns.towers import TowerModule
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import logits_of, nothing
from transfuse.objectives.pairing import check_pairs, towers_in

__all__ = ["CCA"]

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class CCA(Objective):
    """The towers become the canonical directions of pictures and captions; nothing is trained.

    The closed form to hold trained towers against: regularised canonical correlation analysis on
    what the encoders give at the end of the run. Directions are weighed by their correlation, as
    Gong et al. (2014), 'A multi-view embedding space for modeling internet images, tags, and their
    semantics' (arXiv:1212.4522). A hidden layer of the towers is set to give nothing.
    """

    weight: float | Ramp = 1.0
    """Weight of the loss, which is always 0; there for the sake of uniformity. Default: 1."""

    shrinkage: float | None = 0.9
    """Share of the pictures' covariance that is replaced by a multiple of the identity, 0 to 1;
    null asks Ledoit and Wolf's estimate. Default: 0.9."""

    text_shrinkage: float | None = 0.3
    """The same for the captions, of which there are more and in fewer dimensions. Default: 0.3."""

    exponent: float = 1.0
    """Each direction is multiplied by its correlation to this power. Default: 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for share in (self.shrinkage, self.text_shrinkage):
            if share is not None and not 0 <= share <= 1:
                raise ValueError("shrinkage and text_shrinkage lie in [0, 1]")
        if not 0 <= self.exponent < np.inf:
            raise ValueError("exponent is a number, 0 or above")

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's pairs."""
        return ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """The loss that is 0."""
        return ("cca",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks the task and the towers."""
        check_pairs("cca", network, facts)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Zero, with the graph of the vectors."""
        towers = towers_in(step)
        zero = nothing(logits_of(step, "target"), towers.log_scale, towers.bias)
        return {"cca": zero}

    def finish(self, network: Network, batches: Mapping[str, Iterable[Batch]]) -> None:
        """Set the towers by all pairs."""
        towers = network.fusion
        assert isinstance(towers, TowerModule)
        seen = [_normed(network, towers, batch) for batch in batches["target"]]
        pictures, captions = (np.concatenate(side) for side in zip(*seen, strict=True))
        width = towers.dim // 2
        shrinkage = (self.shrinkage, self.text_shrinkage)
        found = canonical(pictures, captions, width, shrinkage, self.exponent)
        sides = ((found.first, found.first_mean), (found.second, found.second_mean))
        for name, (directions, mean) in zip(towers.order, sides, strict=True):
            towers.tower(name).set_linear(directions.T, -mean @ directions)


def _normed(network: Network, towers: TowerModule, batch: Batch) -> tuple[Rows, Rows]:
    """What the towers' projections read of a batch's rows."""
    with torch.no_grad():
        pooled = batch["pooled"] if "pooled" in batch else network.encoder(batch).pooled
        parts = towers.parts(pooled.float())
        first, second = (towers.tower(name).norm(parts[name]) for name in towers.order)
    return first.cpu().numpy(), second.cpu().numpy()
