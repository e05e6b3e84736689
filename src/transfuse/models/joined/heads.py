"""Fusion and heads of a folder whose encoders are folders of their own."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from transfuse.models.columns import PairHead
from transfuse.models.heads import Head, LinearHead

__all__ = ["head_of", "head_told", "own_parts"]


def own_parts(fusion: nn.Module, heads: Mapping[str, Head]) -> nn.Module:
    """What is neither of the encoders, under the names of its weights.

    Args:
        fusion: The network's fusion.
        heads: Its heads by name.
    """
    own = nn.Module()
    own.fusion = fusion
    own.heads = nn.ModuleDict(heads)
    return own


def head_told(name: str, head: LinearHead | PairHead) -> dict[str, Any]:
    """What a folder says of a head.

    Args:
        name: The head's name.
        head: The head.
    """
    if isinstance(head, PairHead):
        return {"name": name, "pairs": True}
    return {
        "name": name,
        "outputs": head.outputs,
        "labels": None if head.labels is None else list(head.labels),
        "problem_type": head.problem_type,
        "dropout": head.dropout.p,
    }


def head_of(dim: int, told: Mapping[str, Any]) -> Head:
    """The inverse of `head_told`; the weights are still to be read.

    Args:
        dim: Length of the vector that it reads.
        told: What the folder says.
    """
    if told.get("pairs"):
        return PairHead(dim)
    return LinearHead(
        dim,
        told["outputs"],
        told["dropout"],
        labels=told["labels"],
        problem_type=told["problem_type"],
    )
