"""The strongest directions of every delta, made orthogonal to one another."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from transfuse.fusion.merges.base import Scaled
from transfuse.fusion.merges.directions import by_linear_layer
from transfuse.fusion.merges.family import Weights
from transfuse.fusion.merges.work import Work

__all__ = ["TsvM", "orthogonal_sum"]


@dataclass(frozen=True)
class TsvM(Scaled):
    """The leading singular directions of each model's delta, turned so that none meets another's.

    Each of T models keeps one T-th of the directions of a linear layer. Weights that are not of
    linear layers get the mean delta. Gargiulo et al. (2025), 'Task singular vectors: reducing task
    interference in model merging' (arXiv:2412.00081).
    """

    def direction(self, work: Work) -> Weights:
        """The merged deltas of linear layers, the mean of all others."""
        return by_linear_layer(work, orthogonal_sum)


def orthogonal_sum(deltas: Sequence[torch.Tensor]) -> torch.Tensor:
    """Û Σ V̂ᵀ over the leading singular triples of all deltas.

    U and V hold the leading vectors of all models side by side; Û and V̂ are the orthogonal
    matrices nearest to them (Procrustes: P Qᵀ of their singular value decomposition P D Qᵀ).

    Args:
        deltas: What each model has learnt, [out, in].

    Returns:
        The merged delta, [out, in].
    """
    keep = max(1, min(deltas[0].shape) // len(deltas))
    lefts, values, rights = [], [], []
    for delta in deltas:
        left, value, right = torch.linalg.svd(delta, full_matrices=False)
        lefts.append(left[:, :keep])
        values.append(value[:keep])
        rights.append(right[:keep])
    left, right = nearest_orthogonal(torch.cat(lefts, 1)), nearest_orthogonal(torch.cat(rights))
    merged: torch.Tensor = (left * torch.cat(values)) @ right
    return merged


def nearest_orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix with orthonormal columns (or rows) that is nearest to another."""
    first, _, second = torch.linalg.svd(matrix, full_matrices=False)
    nearest: torch.Tensor = first @ second
    return nearest
