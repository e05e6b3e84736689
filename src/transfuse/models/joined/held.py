"""Columns whose encoders do not move: their vectors are computed once, whatever else trains.

Locked-image tuning trains one tower against another that stays as it is (Zhai et al., 2022,
arXiv:2111.07991): the pictures are then encoded once, and not in every epoch.
"""

from collections.abc import Iterable

import torch
from torch import nn

from transfuse.models.anatomy import evaluating
from transfuse.models.encoder import close
from transfuse.models.fields import FieldEncoder
from transfuse.models.joined.encoder import JoinedEncoder
from transfuse.models.network import Network

__all__ = ["held_columns"]


def held_columns(network: Network, moving: Iterable[nn.Parameter]) -> tuple[str, ...]:
    """The columns of which one vector a row can be kept while other columns train.

    Args:
        network: The network.
        moving: Every parameter that trains.

    Returns:
        Those whose encoder holds nothing that trains, and of which the fusion reads no more than
        the pooled vector, which is tried; none where the network has no encoder of several.
    """
    encoders = list(network.encoders.values())
    if len(encoders) != 1 or not isinstance(encoders[0], JoinedEncoder):
        return ()
    moves = {id(weight) for weight in moving}
    return tuple(
        name
        for name, part in encoders[0].encoders()
        if not isinstance(part, FieldEncoder)
        and not any(id(weight) in moves for weight in part.parameters())
        and _by_vector(network, encoders[0], name)
    )


def _by_vector(network: Network, encoder: JoinedEncoder, name: str) -> bool:
    """Whether the network answers the same where a column is given by its pooled vectors."""
    batch = encoder.probe_batch()
    with torch.no_grad(), evaluating(network):
        parts = encoder(batch).parts
        assert parts is not None
        rest = {key: each for key, each in batch.items() if not key.startswith(f"{name}.")}
        given = {**rest, f"{name}.pooled": parts[name].pooled}
        plain, kept = network(batch), network(given)
    answers = (close(plain.logits[each], kept.logits[each]) for each in plain.logits)
    return close(plain.features, kept.features) and all(answers)
