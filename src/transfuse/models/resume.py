"""Running a backbone up to a block, and from a block on, without knowing its architecture.

To go on from hidden states computed before, the whole backbone is called as usual, with the right
attention mask and with stand-in token ids. Blocks that were computed before hand their input on,
and the first block still to run gets the stored hidden states in place of what reaches it. So
masks, positions and final norms come from the architecture's own code. Where a later block needs
more than the hidden states from an earlier one (T5's shared position bias), the result differs
from a plain run: callers try it once on a small batch before relying on it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from transfuse.models.anatomy import Anatomy, run_backbone

__all__ = ["entering", "resuming", "run_until"]


class _Reached(Exception):  # noqa: N818 - a signal, not an error
    def __init__(self, hidden: torch.Tensor) -> None:
        self.hidden = hidden


def run_until(
    backbone: nn.Module, anatomy: Anatomy, block: int, ids: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """What enters a block.

    Args:
        backbone: The model.
        anatomy: Its parts.
        block: The block's index, from 0; the number of blocks gives the last hidden state.
        ids: Token ids, int64 [n, T].
        mask: Attention mask, int64 [n, T].

    Returns:
        Hidden states [n, T, d].
    """
    return entering(anatomy, block, lambda: run_backbone(backbone, ids, mask, anatomy.options))


def entering(anatomy: Anatomy, block: int, run: Callable[[], Any]) -> torch.Tensor:
    """What enters a block, of a backbone that reads whatever it reads.

    Args:
        anatomy: The backbone's parts.
        block: The block's index, from 0; the number of blocks gives the last hidden state.
        run: Calls the backbone.

    Returns:
        Hidden states [n, T, d].
    """
    if block == len(anatomy.blocks):
        hidden: torch.Tensor = run().last_hidden_state
        return hidden

    def stop(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise _Reached(args[0] if args else kwargs[_hidden_name(kwargs)])

    handle = anatomy.blocks[block].register_forward_pre_hook(stop, with_kwargs=True)
    try:
        run()
    except _Reached as reached:
        return reached.hidden
    finally:
        handle.remove()
    raise AssertionError("the backbone ran without calling its own block")


@contextmanager
def resuming(anatomy: Anatomy, block: int, hidden: torch.Tensor) -> Iterator[None]:
    """Inside, the backbone goes on from `hidden` at a block, whatever ids it is called with.

    Only instance attributes are set and removed again, so the names in the state dict stay.

    Args:
        anatomy: The backbone's parts.
        block: Index of the first block to run, below the number of blocks.
        hidden: What enters that block [n, T, d].

    Yields:
        Nothing.
    """

    def enter(
        _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (hidden, *args[1:]), kwargs
        return args, {**kwargs, _hidden_name(kwargs): hidden}

    skipped = anatomy.blocks[:block]
    own = [vars(module).get("forward") for module in skipped]
    handle = anatomy.blocks[block].register_forward_pre_hook(enter, with_kwargs=True)
    try:
        for module, returned in zip(skipped, anatomy.returns, strict=False):
            module.forward = _pass_on(returned)
        yield
    finally:
        handle.remove()
        for module, forward in zip(skipped, own, strict=True):
            if forward is not None:
                module.forward = forward
            elif "forward" in vars(module):
                del module.forward


def _pass_on(returned: int) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if args else kwargs[_hidden_name(kwargs)]
        return (hidden, *[None] * (returned - 1)) if returned else hidden

    return forward


def _hidden_name(kwargs: dict[str, Any]) -> str:
    return "hidden_states" if "hidden_states" in kwargs else next(iter(kwargs))
