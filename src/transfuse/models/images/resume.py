"""Running a vision backbone up to a block, and from a block on, without knowing its architecture.

As for texts (`models/resume.py`) the backbone's own code runs as usual, with stand-in pixels: what
was computed before hands on stand-ins of the right shape, and the first block still to run gets
the kept hidden states. Maps are kept as one vector for each place, [n, H·W, C], and get the shape
back that the encoder's fixed size gives them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from transfuse.models.images.anatomy import ImageAnatomy, run_images

__all__ = ["as_map", "as_tokens", "resuming_images", "run_images_until"]

_MAP = 3
"""Dimensions of one picture's map."""


class _Reached(Exception):  # noqa: N818 - a signal, not an error
    def __init__(self, hidden: torch.Tensor) -> None:
        self.hidden = hidden


def as_tokens(hidden: torch.Tensor) -> torch.Tensor:
    """A map as one vector for each place.

    Args:
        hidden: [n, C, H, W], or tokens [n, T, d], which stay as they are.

    Returns:
        [n, H·W, C].
    """
    return hidden.flatten(2).transpose(1, 2) if hidden.dim() == _MAP + 1 else hidden


def as_map(hidden: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The inverse of `as_tokens`.

    Args:
        hidden: [n, H·W, C].
        shape: The shape of one picture's map [C, H, W], or of its tokens.

    Returns:
        [n, C, H, W], or the tokens as they are.
    """
    if len(shape) != _MAP:
        return hidden
    height, width = shape[1:]
    return hidden.transpose(1, 2).reshape(len(hidden), shape[0], height, width)


def run_images_until(
    backbone: nn.Module, anatomy: ImageAnatomy, block: int, pixels: torch.Tensor
) -> torch.Tensor:
    """What enters a block.

    Args:
        backbone: The model.
        anatomy: Its parts.
        block: The block's index, from 0; the number of blocks gives the last hidden state.
        pixels: Normalised pictures [n, 3, H, W].

    Returns:
        Hidden states [n, T, d].
    """
    if block == len(anatomy.blocks):
        return as_tokens(run_images(backbone, pixels, anatomy.options).last_hidden_state)

    def stop(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise _Reached(args[0] if args else kwargs[_hidden_name(kwargs)])

    handle = anatomy.blocks[block].register_forward_pre_hook(stop, with_kwargs=True)
    try:
        run_images(backbone, pixels, anatomy.options)
    except _Reached as reached:
        return as_tokens(reached.hidden)
    finally:
        handle.remove()
    raise AssertionError("the backbone ran without calling its own block")


@contextmanager
def resuming_images(anatomy: ImageAnatomy, block: int, hidden: torch.Tensor) -> Iterator[None]:
    """Inside, the backbone goes on from `hidden` at a block, whatever pixels it is called with.

    Only instance attributes are set and removed again, so the names in the state dict stay.

    Args:
        anatomy: The backbone's parts.
        block: Index of the first block to run, below the number of blocks.
        hidden: What enters that block, [n, T, d].

    Yields:
        Nothing.
    """
    entering = as_map(hidden, anatomy.shapes[block])

    def enter(
        _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (entering, *args[1:]), kwargs
        return args, {**kwargs, _hidden_name(kwargs): entering}

    done = {id(module) for module in (*anatomy.before, *anatomy.blocks[:block])}
    skipped = [each for each in anatomy.stand_ins if id(each.module) in done]
    own = [vars(each.module).get("forward") for each in skipped]
    handle = anatomy.blocks[block].register_forward_pre_hook(enter, with_kwargs=True)
    try:
        for each in skipped:
            each.module.forward = _giving(each.of(len(hidden)))
        yield
    finally:
        handle.remove()
        for each, forward in zip(skipped, own, strict=True):
            if forward is not None:
                each.module.forward = forward
            elif "forward" in vars(each.module):
                del each.module.forward


def _giving(output: Any) -> Callable[..., Any]:
    def forward(*_args: Any, **_kwargs: Any) -> Any:
        return output

    return forward


def _hidden_name(kwargs: dict[str, Any]) -> str:
    return "hidden_states" if "hidden_states" in kwargs else next(iter(kwargs))
