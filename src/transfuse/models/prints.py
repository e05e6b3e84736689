"""Names of encoders by content: equal for those that compute the same."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

__all__ = ["computed", "print_of"]

# What a config says besides the computation itself.
_NOT_COMPUTED = frozenset(
    {
        *("_name_or_path", "_attn_implementation", "architectures", "dtype", "torch_dtype"),
        *("id2label", "label2id", "num_labels", "problem_type", "finetuning_task", "transfuse"),
        *("transformers_version", "return_dict", "output_attentions", "output_hidden_states"),
    }
)


def computed(config: Any, *aside: str) -> dict[str, Any]:
    """What a config says of the computation itself.

    Args:
        config: A transformers config.
        *aside: Further settings that do not change what this kind of model computes.
    """
    told: dict[str, Any] = config.to_dict()
    left_out = _NOT_COMPUTED.union(aside)
    return {name: value for name, value in told.items() if name not in left_out}


def print_of(settings: Mapping[str, Any], layers: Iterable[Iterable[nn.Module]]) -> str:
    """A hash of settings and weights.

    Args:
        settings: What decides on the result beside the weights.
        layers: The modules whose weights count, buffers included.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for module in (module for layer in layers for module in layer):
        for name, value in module.state_dict().items():
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
