"""The two players of adversarial adaptation: a reversed gradient and a judge of domains."""

import math

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Discriminator", "domain_loss", "ramp", "reverse"]


def ramp(progress: float, gamma: float = 10.0) -> float:
    """How strongly the gradient is reversed: 2 / (1 + exp(-gamma p)) - 1.

    Ganin et al. (2016, arXiv:1505.07818), section 5.2.2.

    Args:
        progress: The share p of training done, 0 to 1.
        gamma: Steepness. Default: 10, as in the paper.
    """
    return 2 / (1 + math.exp(-gamma * progress)) - 1


def reverse(tensor: torch.Tensor, coefficient: float) -> torch.Tensor:
    """The same values, whose gradient comes back times -coefficient.

    Args:
        tensor: Any tensor.
        coefficient: 0 or above.
    """
    return (1 + coefficient) * tensor.detach() - coefficient * tensor


class Discriminator(nn.Module):
    """Says from a vector whether a row is of the source.

    Args:
        dim: Length of the vectors.
        hidden: Width of its two hidden layers.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Logits of being of the source, [n], from vectors [n, dim]."""
        logits: torch.Tensor = self.layers(vectors).squeeze(-1)
        return logits


def domain_loss(
    source: torch.Tensor,
    target: torch.Tensor,
    source_weights: torch.Tensor | None = None,
    target_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Binary cross-entropy of a judge of domains; each domain counts half, whatever its rows.

    Args:
        source: Logits of the source's rows, [n].
        target: Logits of the target's rows, [m].
        source_weights: Weight of each row, [n]. Default: equal.
        target_weights: Weight of each row, [m]. Default: equal.

    Returns:
        A scalar; log 2 where the judge cannot tell.
    """
    halves = (
        _weighted_mean(functional.softplus(-source.float()), source_weights),
        _weighted_mean(functional.softplus(target.float()), target_weights),
    )
    return torch.stack(halves).mean()


def _weighted_mean(losses: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    return losses.mean() if weights is None else (losses * weights).sum() / weights.sum()
