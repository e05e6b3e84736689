"""What a smaller size means for the weights of an architecture, found by building it.

It is not written down for each architecture: the backbone of the new config is built without
memory for its weights, and every parameter whose shape differs from the old one is cut along the
axis that differs. So nothing depends on names.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from numpy.typing import NDArray
from torch import nn
from transformers.pytorch_utils import Conv1D

from transfuse.errors import ModelError, Problem
from transfuse.models.quiet import quiet_loading
from transfuse.models.resizable import Resizable, block_prefix

__all__ = ["Cut", "Cuts", "cut_weights", "find_cuts", "grouped", "sized"]


@dataclass(frozen=True)
class Cut:
    """One parameter that is shorter in the new size.

    Args:
        name: Its name in the backbone.
        axis: The axis that is shorter.
        length: The axis's length before.
    """

    name: str
    axis: int
    length: int


@dataclass(frozen=True)
class Cuts:
    """What belongs together: the cuts of one block, where the same units are kept in all.

    Args:
        block: The number of the block; None where the blocks share their weights.
        cuts: Its parameters that are shorter.
        reader: The name of the linear layer that reads the units; its input is what a unit says.
    """

    block: int | None
    cuts: tuple[Cut, ...]
    reader: str


def find_cuts(encoder: Resizable, config: Any) -> list[Cut]:
    """The parameters that are shorter under another config of the same architecture.

    Args:
        encoder: The encoder.
        config: The config of the new size.

    Returns:
        The cuts, in the backbone's order.

    Raises:
        ModelError: If the architecture has no such size, or the two differ by more than lengths.
    """
    where = type(encoder.backbone).__name__
    with sized(where), torch.device("meta"), quiet_loading():
        plain = encoder.fresh(config)
    ours, theirs = encoder.backbone.state_dict(), plain.state_dict()
    if odd := sorted(set(ours) ^ set(theirs)):
        raise ModelError(
            Problem(where, f"in the new size its parameters are others, first {odd[0]!r}")
        )
    cuts = []
    for name, weight in ours.items():
        pairs = zip(weight.shape, theirs[name].shape, strict=True)
        axes = [axis for axis, (old, new) in enumerate(pairs) if old != new]
        if len(axes) > 1:
            raise ModelError(Problem(where, f"in the new size {name!r} differs in two directions"))
        cuts += [Cut(name, axis, weight.shape[axis]) for axis in axes]
    return cuts


def grouped(encoder: Resizable, cuts: Sequence[Cut]) -> list[Cuts]:
    """Cuts by the block that they belong to, with the layer that reads what is cut.

    Args:
        encoder: The encoder.
        cuts: What `find_cuts` gave.

    Returns:
        One entry a block; a single one where the blocks share their weights.

    Raises:
        ModelError: If not exactly one linear layer of a block reads what is cut.
    """
    prefix = block_prefix(encoder)
    found: dict[int | None, list[Cut]] = {}
    for cut in cuts:
        inside = prefix is not None and cut.name.startswith(prefix)
        number = int(cut.name.removeprefix(prefix).partition(".")[0]) if prefix and inside else None
        found.setdefault(number, []).append(cut)
    groups = []
    for block, members in found.items():
        readers = [cut.name.removesuffix(".weight") for cut in members if _reads(encoder, cut)]
        if len(readers) != 1:
            raise ModelError(
                Problem(
                    type(encoder.backbone).__name__,
                    f"{len(readers)} layers of a block read what is to be cut",
                    "one linear layer",
                    "Its blocks are built otherwise than this method knows. Prune layers instead, "
                    "or distil it into a smaller model: `learn: [target, distil]`.",
                )
            )
        groups.append(Cuts(block, tuple(members), readers[0]))
    return groups


def _reads(encoder: Resizable, cut: Cut) -> bool:
    """Whether a cut shortens the input of a linear layer."""
    owner, _, leaf = cut.name.rpartition(".")
    module = encoder.backbone.get_submodule(owner)
    # GPT-2's kind of linear layer keeps its weight the other way around.
    axis = {nn.Linear: 1, Conv1D: 0}.get(type(module))
    return leaf == "weight" and cut.axis == axis


def cut_weights(
    weights: Mapping[str, torch.Tensor], cuts: Mapping[Cut, NDArray[np.int64]]
) -> dict[str, torch.Tensor]:
    """Weights with some entries of some axes left out.

    Args:
        weights: Weights by name; they stay as they are.
        cuts: The places to keep along each cut's axis, ascending.

    Returns:
        All weights by name.
    """
    found = dict(weights)
    for cut, places in cuts.items():
        index = torch.from_numpy(places).to(found[cut.name].device)
        found[cut.name] = found[cut.name].index_select(cut.axis, index)
    return found


@contextmanager
def sized(where: str) -> Iterator[None]:
    """An architecture's objection to a size, as an error that a person can mend.

    Args:
        where: The architecture's name.

    Yields:
        Nothing.
    """
    try:
        yield
    except (ValueError, StrictDataclassError) as error:
        raise ModelError(Problem(where, f"its architecture has no such size ({error})")) from error
