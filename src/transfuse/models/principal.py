"""Vectors in fewer dimensions, with as much of their spread as there can be."""

import torch

from transfuse.errors import ModelError, Problem

__all__ = ["principal"]

_CHUNK = 16_384


def principal(vectors: torch.Tensor, dim: int) -> torch.Tensor:
    """The principal components of vectors (Pearson, 1901).

    Args:
        vectors: [n, d].
        dim: How many components, from 1 to d.

    Returns:
        float32 [n, dim], centred, the component of most variance first. The sign of a component
        is that which makes its largest weight positive, so that it is the same on every machine.

    Raises:
        ModelError: If the vectors have fewer dimensions than that.
    """
    width = vectors.shape[1]
    if not 1 <= dim <= width:
        raise ModelError(
            Problem("dim", f"{dim} dimensions of vectors that have {width}", f"1 to {width}")
        )
    mean = vectors.double().mean(dim=0)
    scatter = torch.zeros(width, width, dtype=torch.float64)
    for part in vectors.split(_CHUNK):  # the whole in 64 bits would be too large
        centred = part.double() - mean
        scatter += centred.T @ centred
    _, found = torch.linalg.eigh(scatter)
    axes = found.flip(1)[:, :dim]
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    axes = axes * torch.where(largest < 0, -1.0, 1.0)
    return torch.cat([((part.double() - mean) @ axes).float() for part in vectors.split(_CHUNK)])
