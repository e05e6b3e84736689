"""Builds a backbone from its config: no head, and a pooler only where it is wanted."""

import inspect
from typing import Any

from torch import nn
from transformers import MODEL_MAPPING, AutoModel

__all__ = ["backbone_from_config", "encoder_part", "pooler_options"]


def pooler_options(config: Any, pooler: bool) -> dict[str, Any]:
    """The keyword that leaves a pooler out, for architectures that know one.

    A pooler that nobody reads has parameters that never get a gradient, which distributed
    training refuses and parameter counts should not include.

    Args:
        config: The model's config.
        pooler: Whether the pooler is wanted.

    Returns:
        Keywords for the model's constructor.
    """
    kind = MODEL_MAPPING.get(type(config), None)
    kinds = kind if isinstance(kind, tuple | list) else [kind]
    known = all(
        one is not None and "add_pooling_layer" in inspect.signature(one.__init__).parameters
        for one in kinds
    )
    return {"add_pooling_layer": pooler} if known else {}


def backbone_from_config(config: Any, *, pooler: bool) -> nn.Module:
    """A backbone with fresh weights from torch's global generator.

    Args:
        config: The model's config.
        pooler: Whether to build the architecture's pooler, if it has one.

    Returns:
        The backbone; of an encoder-decoder, the encoder.
    """
    return encoder_part(AutoModel.from_config(config, **pooler_options(config, pooler)), config)


def encoder_part(model: Any, config: Any) -> nn.Module:
    """The part of a model that reads texts.

    Args:
        model: A model without a head.
        config: Its config.

    Returns:
        The encoder of an encoder-decoder, else the model itself.
    """
    part: nn.Module = model.get_encoder() if config.is_encoder_decoder else model
    return part
