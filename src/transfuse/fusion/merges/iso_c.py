"""The summed delta of each linear layer with all its directions made equally strong."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from transfuse.fusion.merges.base import Scaled
from transfuse.fusion.merges.directions import by_linear_layer
from transfuse.fusion.merges.family import Weights
from transfuse.fusion.merges.work import Work

__all__ = ["IsoC", "isotropic"]


@dataclass(frozen=True)
class IsoC(Scaled):
    """The sum of the deltas of each linear layer, with all singular values set to their mean.

    So no direction that many models share drowns what one alone has learnt. Weights that are not
    of linear layers get the mean delta. Marczak et al. (2025), 'No task left behind: isotropic
    model merging with common and task-specific subspaces' (arXiv:2502.04959).
    """

    def direction(self, work: Work) -> Weights:
        """The isotropic deltas of linear layers, the mean of all others."""
        return by_linear_layer(work, isotropic)


def isotropic(deltas: Sequence[torch.Tensor]) -> torch.Tensor:
    """σ̄ U Vᵀ of the sum U Σ Vᵀ of the deltas, with σ̄ the mean of the singular values.

    Args:
        deltas: What each model has learnt, [out, in].

    Returns:
        The merged delta, [out, in]; 0 where the sum is.
    """
    left, values, right = torch.linalg.svd(torch.stack(list(deltas)).sum(0), full_matrices=False)
    merged: torch.Tensor = (left @ right) * values.mean()
    return merged
