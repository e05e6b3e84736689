"""Configs of a pretrained model in another size."""

from collections.abc import Sequence
from typing import Any

from transfuse.errors import ModelError, Problem
from transfuse.models.quiet import quiet_loading

__all__ = ["layer_settings", "own_name", "reconfigured"]


_STAGES = ("out_features", "out_indices", "stage_names")
"""Which blocks a backbone of a detector hands on, by number: a config of another depth would
refuse those of this one, and says it anew by itself."""

_DEPTHS = ("depths", "num_block_repeats")
"""How configs say the blocks of each stage. Stages are no layers, though some configs count them
so, and EfficientNet's counts what its blocks are made of."""


def reconfigured(config: Any, changed: dict[str, Any]) -> Any:
    """A config with some settings changed.

    Args:
        config: A transformers config; it stays as it is.
        changed: New values by the names that the config itself uses.

    Returns:
        A config of the same class.
    """
    known = {name: value for name, value in config.to_dict().items() if name not in _STAGES}
    with quiet_loading():
        return type(config).from_dict({**known, **changed})


def own_name(config: Any, name: str) -> str:
    """How an architecture's config calls a common setting.

    Args:
        config: A transformers config.
        name: The common name, for instance `hidden_size`.

    Returns:
        The name in its `to_dict`, for instance `n_embd`.
    """
    return str(config.attribute_map.get(name, name))


def layer_settings(config: Any, chosen: Sequence[int]) -> dict[str, Any]:
    """What a config says of its layers, for some of them.

    Args:
        config: A transformers config.
        chosen: Indices of the layers that remain.

    Returns:
        The new values of the settings concerned, by the config's own names.

    Raises:
        ModelError: If the config names no number of layers.
    """
    total = getattr(config, "num_hidden_layers", None)
    if not isinstance(total, int) or any(name in config.to_dict() for name in _DEPTHS):
        raise ModelError(
            Problem(
                type(config).__name__,
                "cannot say that there are fewer layers",
                "an architecture of equal blocks, such as ViT or BERT",
                "Distil it into a smaller model instead: `learn: [target, distil]`.",
            )
        )
    changed: dict[str, Any] = {own_name(config, "num_hidden_layers"): len(chosen)}
    for name, value in config.to_dict().items():
        # One entry a layer, such as which attention each has.
        if "layer" in name and isinstance(value, list | tuple) and len(value) == total:
            changed[name] = [value[place] for place in chosen]
    return changed
