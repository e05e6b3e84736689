"""From one vector per token to one vector per row."""

from typing import Literal

import torch

from transfuse.errors import ModelError, Problem
from transfuse.recipe.methods import nearest

__all__ = ["POOLINGS", "Pooling", "check_pooling", "pool"]

Pooling = Literal["mean", "cls", "last", "native"]
POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "last", "native")


def check_pooling(name: str, extra: tuple[str, ...] = ()) -> None:
    """Refuses a pooling that does not exist.

    Args:
        name: What was asked for.
        extra: Names that the caller understands besides.

    Raises:
        ModelError: With the nearest right name.
    """
    known = (*POOLINGS, *extra)
    if name not in known:
        raise ModelError(Problem("pooling", f"unknown pooling {name!r}", fix=nearest(name, known)))


def pool(tokens: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pools the vectors of each row's real tokens; padding has no influence.

    Args:
        tokens: One vector per token [n, T, d].
        mask: 1 where a token is real, 0 for padding on the right [n, T]; no row without tokens.
        pooling: `mean` (over the real tokens, summed in at least 32 bits), `cls` (the first
            token) or `last` (the last real token).

    Returns:
        One vector per row [n, d].

    Raises:
        ValueError: For any other pooling.
    """
    if pooling == "mean":
        wide = torch.promote_types(tokens.dtype, torch.float32)
        weights = mask.to(wide)
        summed = torch.einsum("ntd,nt->nd", tokens.to(wide), weights)
        return summed / weights.sum(dim=1, keepdim=True)
    if pooling == "cls":
        return tokens[:, 0]
    if pooling == "last":
        rows = torch.arange(len(tokens), device=tokens.device)
        return tokens[rows, mask.sum(dim=1) - 1]
    raise ValueError(f"expected mean, cls or last, got {pooling!r}")
