"""Deltas that are put together linear layer by linear layer."""

from collections.abc import Callable, Sequence

import torch

from transfuse.fusion.merges.family import Weights
from transfuse.fusion.merges.linear_layers import linear_layers
from transfuse.fusion.merges.soup import mean
from transfuse.fusion.merges.work import Work

__all__ = ["by_linear_layer"]


def by_linear_layer(
    work: Work, merged: Callable[[Sequence[torch.Tensor]], torch.Tensor]
) -> Weights:
    """Merged deltas: of each linear layer by a rule, of all other weights the mean.

    Args:
        work: The models.
        merged: From what each model has learnt of a layer, [out, in], to the merged delta.

    Returns:
        The merged delta of every weight of the backbone, by name.

    Raises:
        ModelError: From `linear_layers`, if the backbone has no linear layers.
    """
    deltas = work.family.deltas
    found = mean(deltas)
    names = [name for name in linear_layers(work.family.encoder) if name in found]
    for done, name in enumerate(names, start=1):
        parts = [delta[name] for delta in deltas]
        found[name] = merged([part.flatten(1) for part in parts]).reshape(parts[0].shape)
        work.tell("linear layers", done, len(names))
    return found
