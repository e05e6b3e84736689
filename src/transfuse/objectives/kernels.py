"""How far apart two clouds of vectors are: distances, covariances and kernel means."""

from collections.abc import Sequence

import torch

__all__ = ["bandwidth", "covariance", "mean_discrepancy", "squared_distances"]


def squared_distances(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Squared Euclidean distance of every row to every row, [n, m].

    Args:
        left: Vectors [n, d], 32 bits.
        right: Vectors [m, d], 32 bits.
    """
    # Distances do not change with the origin, but their rounding does: the difference of large
    # squares would drown small distances far from 0.
    centre = torch.cat((left, right)).detach().mean(0)
    left, right = left - centre, right - centre
    squares = left.square().sum(1)[:, None] + right.square().sum(1)
    return (squares - 2 * left @ right.T).clamp_min(0)


def covariance(vectors: torch.Tensor) -> torch.Tensor:
    """The unbiased covariance matrix of at least two rows, [d, d].

    Args:
        vectors: Rows [n, d].
    """
    centred = vectors - vectors.mean(0)
    return centred.T @ centred / (len(vectors) - 1)


def bandwidth(vectors: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """The median squared distance of two different rows: a scalar above 0 and without gradient.

    Args:
        vectors: Rows [n, d], at least two.
        distances: Their squared distances, [n, n].
    """
    with torch.no_grad():
        n = len(distances)
        first, second = torch.triu_indices(n, n, offset=1)
        median = distances[first, second].median()
        # Rows that have collapsed into one point differ by rounding alone.
        rounding = torch.finfo(vectors.dtype).eps * vectors.square().sum(1).mean()
        return torch.maximum(median, rounding).clamp_min(torch.finfo(vectors.dtype).tiny)


def mean_discrepancy(
    left: torch.Tensor, right: torch.Tensor, scales: Sequence[float]
) -> torch.Tensor:
    """The unbiased estimate of the squared maximum mean discrepancy.

    Gretton et al. (2012), 'A kernel two-sample test', equation 3, with the mean of several
    Gaussian kernels exp(-distance² / (scale * bandwidth)).

    Args:
        left: Vectors [n, d] with n of at least 2, 32 bits.
        right: Vectors [m, d] with m of at least 2, 32 bits.
        scales: The kernels' widths in units of the bandwidth.

    Returns:
        A scalar; around 0, and so at times below it, where both are drawn alike.
    """
    both = torch.cat((left, right))
    distances = squared_distances(both, both)
    width = bandwidth(both, distances)
    kernel = torch.stack([torch.exp(-distances / (scale * width)) for scale in scales]).mean(0)
    n = len(left)
    across = kernel[:n, n:].mean()
    return _mean_of_pairs(kernel[:n, :n]) + _mean_of_pairs(kernel[n:, n:]) - 2 * across


def _mean_of_pairs(kernel: torch.Tensor) -> torch.Tensor:
    """The mean of a square matrix without its diagonal."""
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
