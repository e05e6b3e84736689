"""Fusion and heads of a folder whose encoders are folders of their own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from transfuse.errors import ModelError, Problem
from transfuse.models.columns import PairHead
from transfuse.models.heads import Head, LinearHead

__all__ = ["head_of", "head_told", "read_own", "write_own"]


def write_own(path: Path, fusion: nn.Module, heads: Mapping[str, Head]) -> None:
    """Writes what is neither of the encoders.

    Args:
        path: The file.
        fusion: The network's fusion.
        heads: Its heads by name.
    """
    weights = {
        name: weight.detach().cpu().contiguous().clone()
        for name, weight in _own(fusion, heads).state_dict().items()
    }
    save_file(weights, path, metadata={"format": "pt"})


def read_own(path: Path, fusion: nn.Module, heads: Mapping[str, Head]) -> None:
    """The inverse of `write_own`: fills the fusion and the heads, in place.

    Args:
        path: The file.
        fusion: A fusion of the same settings.
        heads: Heads of the same settings.

    Raises:
        ModelError: If the file is missing, cannot be read or holds other weights.
    """
    try:
        _own(fusion, heads).load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(Problem(str(path), f"the weights cannot be read: {said}")) from error


def _own(fusion: nn.Module, heads: Mapping[str, Head]) -> nn.Module:
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
