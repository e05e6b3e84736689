"""Pictures and captions of a batch, told to find each other: the losses, on cosines alone.

Each function takes the cosines of all pictures with all captions of a batch, [n, n], whose
diagonal holds the pairs, and the number of each row's item. Other rows of the same item are right
answers too; they are left out of what a row is told apart from.
"""

import torch
from torch.nn import functional

__all__ = ["pair_hinge", "pair_losses", "pair_sigmoid", "wrong_pairs"]


def wrong_pairs(items: torch.Tensor) -> torch.Tensor:
    """Which pictures and captions do not belong together, bool [n, n].

    Args:
        items: The number of each row's item, [n].
    """
    return items[:, None] != items


def pair_losses(
    cosines: torch.Tensor,
    items: torch.Tensor,
    scale: torch.Tensor | float,
    *,
    smoothing: float = 0.0,
    hardness: float = 0.0,
) -> torch.Tensor:
    """For each row the mean of both ways' -log share of its own pair.

    Args:
        cosines: Of all pictures with all captions, 32 bits, [n, n].
        items: The number of each row's item, [n].
        scale: What cosines are multiplied by, 1 / temperature.
        smoothing: Share of the target's mass that is spread over the pair and all wrong ones.
            Default: 0.
        hardness: By how much wrong pairs count more the nearer they are: exp(hardness * cosine),
            scaled to a mean of 1 in each row. Default: 0, all count 1.

    Returns:
        Losses [n].
    """
    wrong = wrong_pairs(items)
    ways = (_shares(each, wrong, scale, smoothing, hardness) for each in (cosines, cosines.T))
    return sum(ways, torch.zeros_like(cosines[0])) / 2


def _shares(
    cosines: torch.Tensor,
    wrong: torch.Tensor,
    scale: torch.Tensor | float,
    smoothing: float,
    hardness: float,
) -> torch.Tensor:
    """-log share of each row's own pair among it and the wrong ones, [n]."""
    own = torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    logits = scale * cosines
    if hardness:
        # The weights say what counts; they are not themselves to be learnt from.
        pull = (hardness * cosines.detach()).masked_fill(~wrong, -torch.inf)
        count = wrong.sum(1, keepdim=True).clamp(min=1).log()
        weights = pull - pull.logsumexp(1, keepdim=True) + count
        logits = logits + torch.where(wrong, weights, 0.0)
    shares = logits.masked_fill(~(wrong | own), -torch.inf).log_softmax(1)
    pair = -shares.diagonal()
    if not smoothing:
        return pair
    looked_at = (wrong | own).float()
    spread = -(shares.masked_fill(~(wrong | own), 0.0)).sum(1) / looked_at.sum(1)
    return (1 - smoothing) * pair + smoothing * spread


def pair_sigmoid(
    cosines: torch.Tensor,
    items: torch.Tensor,
    scale: torch.Tensor | float,
    bias: torch.Tensor | float,
) -> torch.Tensor:
    """For each row's picture the sum of log losses of "these two belong together".

    Args:
        cosines: As for `pair_losses`.
        items: Likewise. Other rows of the same item belong together as well.
        scale: Likewise.
        bias: What is added to scaled cosines; far below 0, since most pairs are wrong.

    Returns:
        Losses [n].
    """
    sides = torch.where(wrong_pairs(items), -1.0, 1.0)
    return -functional.logsigmoid(sides * (scale * cosines + bias)).sum(1)


def pair_hinge(
    cosines: torch.Tensor, items: torch.Tensor, margin: float, *, hardest: bool
) -> torch.Tensor:
    """For each row by how much wrong pairs come within a margin of its own, both ways together.

    Args:
        cosines: As for `pair_losses`.
        items: Likewise.
        margin: By how much the own pair's cosine should exceed all wrong ones.
        hardest: Whether only the nearest wrong picture and the nearest wrong caption count, rather
            than all of them.

    Returns:
        Losses [n].
    """
    right, wrong = cosines.diagonal(), wrong_pairs(items)
    total = torch.zeros_like(right)
    for each in (cosines, cosines.T):
        short = (margin + each - right[:, None]).clamp(min=0).masked_fill(~wrong, 0.0)
        total = total + (short.amax(1) if hardest else short.sum(1))
    return total
