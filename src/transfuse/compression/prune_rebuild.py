"""Networks built anew in a smaller size that their architecture's config can express.

What is saved is a plain dense model, which transformers opens as it opens any other.
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transfuse.answering import ModelFolder
from transfuse.compression.prune_cuts import sized
from transfuse.errors import ModelError, Problem
from transfuse.models import Head, NativeHead, Network, TextEncoder
from transfuse.models.anatomy import evaluating
from transfuse.models.encoder import close
from transfuse.models.quiet import quiet_loading
from transfuse.models.resizable import Resizable
from transfuse.models.source import seeded

__all__ = ["check_same", "one_network", "rebuilt", "resizable_network"]


def one_network(folder: ModelFolder, method: str) -> Network:
    """The network of a model folder, for a method that needs one of one task.

    Args:
        folder: The opened folder.
        method: The method's name, for errors.

    Returns:
        The network, which stays as it is.

    Raises:
        ModelError: If it is no network, reads several columns, or answers several tasks.
    """
    model, where = folder.model, str(folder.path)
    if not isinstance(model, Network):
        kind = type(model).__name__
        raise ModelError(Problem(where, f"{method}: it is a {kind}", "a network"))
    if folder.tasks or len(model.heads) != 1 or len(model.encoders) != 1:
        raise ModelError(
            Problem(
                where,
                f"{method}: it has {len(model.encoders)} encoders and {len(model.heads)} heads",
                "one of each, for one task",
                "Distil a model of one task from it first: `learn: [target, distil]`.",
            )
        )
    return model


def resizable_network(folder: ModelFolder, method: str) -> tuple[Network, Resizable]:
    """The network of a model folder, for a method that changes a backbone's size.

    Args:
        folder: The opened folder.
        method: The method's name, for errors.

    Returns:
        The network and its encoder; they stay as they are.

    Raises:
        ModelError: As `one_network`, or if its encoder is not one backbone of transformers.
    """
    model = one_network(folder, method)
    if not isinstance(model.encoder, Resizable):
        kind = type(model.encoder).__name__
        raise ModelError(
            Problem(
                str(folder.path), f"{method}: it encodes by {kind}", "one backbone of transformers"
            )
        )
    return model, model.encoder


def rebuilt(
    network: Network,
    config: Any,
    weights: Mapping[str, torch.Tensor],
    *,
    tokenizer: Any = None,
) -> Network:
    """A network like another with a backbone of another size.

    Args:
        network: One encoder of one backbone, and its heads; it stays as it is.
        config: The new backbone's config.
        weights: The new backbone's weights by name.
        tokenizer: The new tokenizer of a text encoder. Default: that of the network.

    Returns:
        The network, in evaluation mode, with memory of its own.

    Raises:
        ModelError: If the architecture has no such size or expects other weights.
    """
    encoder = network.encoder
    assert isinstance(encoder, Resizable)
    where = type(encoder.backbone).__name__
    with seeded(0), sized(where), quiet_loading():
        backbone = encoder.fresh(config)
    first = next(encoder.parameters())
    backbone.to(device=first.device, dtype=first.dtype)
    expected = {name: weight.shape for name, weight in backbone.state_dict().items()}
    given = {name: weight.shape for name, weight in weights.items()}
    if odd := sorted(dict(expected.items() ^ given.items())):
        raise ModelError(
            Problem(where, f"its architecture expects other weights in this size: {odd[0]!r}")
        )
    backbone.load_state_dict(weights)
    if isinstance(encoder, TextEncoder):
        made: Resizable = encoder.around(
            backbone.eval(),
            config,
            copy.deepcopy(encoder.tokenizer) if tokenizer is None else tokenizer,
        )
    else:
        made = encoder.around(backbone.eval(), config)
    heads: dict[str, Head] = {}
    for name, head in network.heads.items():
        assert isinstance(head, Head)
        copied = copy.deepcopy(head)
        if isinstance(copied, NativeHead):
            copied.model.config = made.config
        heads[name] = copied
    (column,) = network.encoders
    return Network({column: made}, heads, copy.deepcopy(network.fusion)).eval()


def check_same(
    network: Network, smaller: Network, silenced: Mapping[str, NDArray[np.bool_]]
) -> None:
    """Refuse a smaller network that answers otherwise than the large one with parts silenced.

    Args:
        network: The large network.
        smaller: What was made of it.
        silenced: For linear layers of the backbone by name, which of their inputs count for
            nothing.

    Raises:
        ModelError: If they differ by more than rounding.
    """
    encoder = network.encoder
    assert isinstance(encoder, Resizable)
    batch = encoder.probe_batch()
    handles = []
    for name, silent in silenced.items():
        kept = torch.from_numpy(~silent).to(next(encoder.parameters()).device)

        def hush(_module: nn.Module, args: Any, kept: torch.Tensor = kept) -> Any:
            return (args[0] * kept, *args[1:])

        layer = encoder.backbone.get_submodule(name)
        handles.append(layer.register_forward_pre_hook(hush))
    try:
        with evaluating(network):
            wanted = network(batch).logits
    finally:
        for handle in handles:
            handle.remove()
    with evaluating(smaller):
        given = smaller(batch).logits
    if not all(close(wanted[name], given[name]) for name in wanted):
        raise ModelError(
            Problem(
                type(encoder.backbone).__name__,
                "cut down, it does not answer as it does with the same parts silenced",
                "an architecture whose units stand side by side",
                "Prune layers instead.",
            )
        )
