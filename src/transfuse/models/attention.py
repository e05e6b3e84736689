"""How a transformers model computes attention, and switching that."""

from typing import Any, cast

from torch import nn

from transfuse.models.quiet import quiet_loading

__all__ = ["attention_of", "switch_attention"]


def attention_of(backbone: nn.Module) -> str:
    """How attention is computed now: `sdpa`, `eager` or another name of transformers.

    Args:
        backbone: A transformers model.
    """
    # transformers names it in its documentation, but has no public way to read it.
    config = getattr(backbone, "config", None)
    return str(getattr(config, "_attn_implementation", None) or "eager")


def switch_attention(backbone: nn.Module, wanted: str) -> bool:
    """Switches how attention is computed; the answer stays the same up to rounding.

    Args:
        backbone: A transformers model.
        wanted: `sdpa` or `eager`.

    Returns:
        Whether it computes that way now; where it cannot, nothing changes.
    """
    if wanted == attention_of(backbone):
        return True
    model = cast(Any, backbone)
    try:
        model.get_correct_attn_implementation(wanted)
    except (AttributeError, ValueError):
        return False
    with quiet_loading():
        model.set_attn_implementation(wanted)
    return attention_of(backbone) == wanted
