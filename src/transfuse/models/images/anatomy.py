"""Finds the layers of any vision backbone by looking at it run, without knowing its name.

The blocks are the longest row of work in the model: the list of modules with the most parameters
whose members run once each and one after the other (stages of a convolutional network, blocks of
a vision transformer). What else has parameters belongs before the blocks or after them, by the
order in which a forward pass calls it.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfuse.models.anatomy import evaluating, size_of, units_of

__all__ = [
    "ImageAnatomy",
    "StandIn",
    "examine_images",
    "run_images",
    "tensors_in",
    "trained_size",
]

_TOKENS = 2
"""Dimensions of one picture's tokens."""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class StandIn:
    """A module whose output can be made up, where a pass only has to get beyond it.

    Args:
        module: The module.
        output: What it gave; every tensor in it has a row for each picture.
    """

    module: nn.Module
    output: Any

    def of(self, rows: int) -> Any:
        """The output for so many pictures, with nothing in it.

        Args:
            rows: Number of pictures.
        """
        return _emptied(self.output, rows)


@dataclass(frozen=True)
class ImageAnatomy:
    """The parts of a vision backbone.

    Args:
        blocks: The blocks in order; empty where none were found.
        before: Modules with parameters that run before the first block, or that no forward pass
            calls by themselves.
        after: Modules with parameters that first run after the last block.
        shapes: What enters each block, and what leaves the backbone, without the row: [C, H, W] of
            a map, [T, d] of tokens, [H, W, C] of a map that keeps its channels last.
        stand_ins: What of `before` and of the blocks can be skipped.
        folds: Names of convolutions and of the BatchNorm that reads each, and it alone.
        has_pooler: Whether the backbone gives a pooled vector of its own.
        options: Keywords for every forward pass of the backbone.
    """

    blocks: tuple[nn.Module, ...]
    before: tuple[nn.Module, ...]
    after: tuple[nn.Module, ...]
    shapes: tuple[tuple[int, ...], ...]
    stand_ins: tuple[StandIn, ...]
    folds: tuple[tuple[str, str], ...]
    has_pooler: bool
    options: Mapping[str, Any]

    @property
    def pooling(self) -> Literal["native", "cls", "mean"]:
        """The vector of a picture that the architecture suggests."""
        if self.has_pooler:
            return "native"
        return "cls" if len(self.shapes[-1]) == _TOKENS else "mean"


def run_images(backbone: nn.Module, pixels: torch.Tensor, options: Mapping[str, Any]) -> Any:
    """Calls a backbone.

    Args:
        backbone: Any vision backbone of transformers.
        pixels: Normalised pictures [n, 3, H, W].
        options: What `ImageAnatomy.options` says.

    Returns:
        The backbone's output object, with `last_hidden_state`.
    """
    return backbone(pixel_values=pixels, return_dict=True, **options)


def examine_images(backbone: nn.Module, size: int, *, trained_size: int | None) -> ImageAnatomy:
    """Finds the parts of a backbone with one forward pass over two pictures.

    Args:
        backbone: Any vision backbone of transformers.
        size: Side of the pictures, in pixels.
        trained_size: Side of the pictures that its learned positions are for; None where it has
            no such positions.

    Returns:
        Its parts.
    """
    known = inspect.signature(type(backbone).forward).parameters
    interpolates = "interpolate_pos_encoding" in known and trained_size not in (None, size)
    options = {"interpolate_pos_encoding": True} if interpolates else {}
    first = next(backbone.parameters())
    # No two alike, or a layer that tells them apart would look like one that does not.
    pixels = torch.linspace(-1, 1, 6 * size * size, device=first.device, dtype=first.dtype)
    watched = _Watched(backbone)
    with evaluating(backbone), watched:
        output = run_images(backbone, pixels.reshape(2, 3, size, size), options)
    blocks = watched.blocks()
    start = watched.order[id(blocks[0])] if blocks else -1
    before: list[nn.Module] = []
    after: list[nn.Module] = []
    for unit in units_of(backbone, blocks):
        times = [watched.order[id(part)] for part in unit.modules() if id(part) in watched.order]
        (after if blocks and times and min(times) > start else before).append(unit)
    entering = [next(tensors_in(watched.inputs[id(block)])) for block in blocks]
    shapes = [tuple(each.shape[1:]) for each in (*entering, output.last_hidden_state)]
    return ImageAnatomy(
        blocks=blocks,
        before=tuple(before),
        after=tuple(after),
        shapes=tuple(shapes),
        stand_ins=tuple(watched.stand_ins((*before, *blocks))),
        folds=tuple(watched.folds()),
        has_pooler=getattr(output, "pooler_output", None) is not None,
        options=options,
    )


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in what a module took or gave, in order.

    Args:
        value: A tensor, or lists, tuples and mappings of such; other things hold none.
    """
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from (found for each in value.values() for found in tensors_in(each))
    elif isinstance(value, list | tuple):
        yield from (found for each in value for found in tensors_in(each))


class _Watched:
    """One forward pass: which module was called when, with what, and what it gave."""

    def __init__(self, backbone: nn.Module) -> None:
        self._backbone = backbone
        self._handles: list[Any] = []
        self.order: dict[int, int] = {}
        self.calls: dict[int, int] = {}
        self.inputs: dict[int, Any] = {}
        self.outputs: dict[int, Any] = {}

    def __enter__(self) -> None:
        for module in self._backbone.modules():
            self._handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
            self._handles.append(module.register_forward_hook(self._leave))

    def __exit__(self, *_error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.order.setdefault(id(module), len(self.order))
        self.calls[id(module)] = self.calls.get(id(module), 0) + 1
        self.inputs[id(module)] = (args, kwargs)

    def _leave(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        # Kept alive, so that no later tensor can be taken for it.
        self.outputs[id(module)] = output

    def blocks(self) -> tuple[nn.Module, ...]:
        """The members of the list with the most parameters that runs as a row."""
        rows: list[nn.Module] = [
            module
            for module in self._backbone.modules()
            if isinstance(module, nn.ModuleList | nn.Sequential)
            and len(module) > 1
            and size_of(module)
            and self._in_a_row(tuple(module))
        ]
        # The first of several with all parameters in common is the outermost.
        longest = max(rows, key=size_of, default=None)
        return () if longest is None else tuple(longest.children())

    def _in_a_row(self, members: tuple[nn.Module, ...]) -> bool:
        if any(self.calls.get(id(member)) != 1 for member in members):
            return False
        times = [self.order[id(member)] for member in members]
        fed = all(next(tensors_in(self.inputs[id(each)]), None) is not None for each in members)
        return times == sorted(times) and fed

    def stand_ins(self, modules: tuple[nn.Module, ...]) -> Iterator[StandIn]:
        """Those modules whose output has nothing but rows of pictures in it."""
        for module in modules:
            if self.calls.get(id(module)) == 1:
                output = self.outputs[id(module)]
                found = list(tensors_in(output))
                if found and all(each.dim() > 1 and len(each) == 2 for each in found):
                    yield StandIn(module, _shaped(output))

    def folds(self) -> Iterator[tuple[str, str]]:
        """Convolutions by name, with the BatchNorm that reads what each gives."""
        modules = dict(self._backbone.named_modules())
        once = {name: each for name, each in modules.items() if self.calls.get(id(each)) == 1}
        given = {
            id(self.outputs[id(each)]): name
            for name, each in once.items()
            if isinstance(each, _CONVOLUTIONS)
        }
        for name, each in once.items():
            if isinstance(each, _BatchNorm) and each.running_mean is not None:
                source = given.get(id(next(tensors_in(self.inputs[id(each)]))))
                if source is not None:
                    yield source, name


def _shaped(value: Any) -> Any:
    """The same structure without memory: each tensor is one number, repeated."""
    if isinstance(value, torch.Tensor):
        return value.new_zeros(()).expand(value.shape)
    if isinstance(value, Mapping):
        # An output object of transformers is a mapping that its fields' names can rebuild.
        return type(value)(**{name: _shaped(each) for name, each in value.items()})
    if isinstance(value, list | tuple):
        return type(value)([_shaped(each) for each in value])
    return value


def _emptied(value: Any, rows: int) -> Any:
    if isinstance(value, torch.Tensor):
        return value.new_zeros(()).expand(rows, *value.shape[1:])
    if isinstance(value, Mapping):
        return type(value)(**{name: _emptied(each, rows) for name, each in value.items()})
    if isinstance(value, list | tuple):
        return type(value)([_emptied(each, rows) for each in value])
    return value


def trained_size(config: Any) -> int | None:
    """Side of the pictures that a model was trained on, in pixels; None where it does not say.

    Args:
        config: Its config.
    """
    size = getattr(config, "image_size", None)
    if isinstance(size, list | tuple):
        return int(size[0])
    return None if size is None else int(size)
