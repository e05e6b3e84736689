"""Finds the layers of any transformers backbone by looking at it run, without knowing its name.

The blocks are the `nn.ModuleList` whose length is the config's number of hidden layers. What else
has parameters belongs before the blocks or after them, by the order in which a forward pass calls
it.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

__all__ = [
    "Anatomy",
    "dissect",
    "evaluating",
    "examine",
    "forward_options",
    "run_backbone",
    "size_of",
    "units_of",
]


@dataclass(frozen=True)
class Anatomy:
    """The parts of a backbone.

    Args:
        blocks: The transformer blocks in order; empty where none were found.
        before: Modules with parameters that run before the first block, or that no forward pass
            calls by themselves (such as shared relative positions).
        after: Modules with parameters that first run after the last block.
        returns: What each block returns: 0 for a tensor, else the length of its tuple.
        causal: Whether a token's vector ignores the tokens after it, as in a decoder.
        has_pooler: Whether the backbone gives a pooled vector of its own.
        options: Keywords for every forward pass of the backbone.
    """

    blocks: tuple[nn.Module, ...]
    before: tuple[nn.Module, ...]
    after: tuple[nn.Module, ...]
    returns: tuple[int, ...]
    causal: bool
    has_pooler: bool
    options: dict[str, Any]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside; afterwards every submodule is as it was.

    Args:
        module: The module to run.

    Yields:
        Nothing.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training


def forward_options(backbone: nn.Module) -> dict[str, Any]:
    """Keywords for every forward pass: no key-value cache, where the backbone would build one.

    Args:
        backbone: Any encoder or decoder of transformers, not wrapped.

    Returns:
        The keywords.
    """
    known = inspect.signature(type(backbone).forward).parameters
    return {"use_cache": False} if "use_cache" in known else {}


def run_backbone(
    backbone: nn.Module, ids: torch.Tensor, mask: torch.Tensor, options: dict[str, Any]
) -> Any:
    """Calls a backbone.

    Args:
        backbone: Any encoder or decoder of transformers.
        ids: Token ids, int64 [n, T].
        mask: Attention mask, int64 [n, T].
        options: What `forward_options` gave for the backbone before anything wrapped it.

    Returns:
        The backbone's output object, with `last_hidden_state` [n, T, d].
    """
    return backbone(input_ids=ids, attention_mask=mask, return_dict=True, **options)


def examine(backbone: nn.Module, layers: int, words: tuple[int, int]) -> Anatomy:
    """Finds the parts of a backbone with two forward passes over three tokens.

    Args:
        backbone: Any encoder or decoder of transformers.
        layers: The config's number of hidden layers; 0 where it names none.
        words: Two different token ids that are not padding.

    Returns:
        Its parts.
    """
    first, second = words
    device = next(backbone.parameters()).device
    ids = torch.tensor([[first, second, first]], device=device)
    changed = torch.tensor([[first, second, second]], device=device)
    mask, options = torch.ones_like(ids), forward_options(backbone)
    anatomy, output = dissect(
        backbone, layers, lambda: run_backbone(backbone, ids, mask, options), options
    )
    with evaluating(backbone):
        other = run_backbone(backbone, changed, mask, options).last_hidden_state
    moved = (output.last_hidden_state[:, 0] - other[:, 0]).abs().max()
    return replace(anatomy, causal=bool(moved <= 1e-6 * other.abs().max()))


def dissect(
    backbone: nn.Module, layers: int, run: Callable[[], Any], options: dict[str, Any]
) -> tuple[Anatomy, Any]:
    """Finds the parts of a backbone with one forward pass, whatever it reads.

    Args:
        backbone: Any encoder or decoder of transformers.
        layers: The config's number of hidden layers; 0 where it names none.
        run: Calls the backbone.
        options: Keywords for every forward pass of the backbone.

    Returns:
        Its parts, with `causal` False since one pass cannot tell, and its output.
    """
    blocks = _find_blocks(backbone, layers)
    with evaluating(backbone):
        output, called, returns = _watch(backbone, blocks, run)
    start = called.get(id(blocks[0]), -1) if blocks else -1
    before: list[nn.Module] = []
    after: list[nn.Module] = []
    for unit in units_of(backbone, blocks):
        times = [called[id(part)] for part in unit.modules() if id(part) in called]
        (after if blocks and times and min(times) > start else before).append(unit)
    anatomy = Anatomy(
        blocks=blocks,
        before=tuple(before),
        after=tuple(after),
        returns=tuple(returns),
        causal=False,
        has_pooler=getattr(output, "pooler_output", None) is not None,
        options=options,
    )
    return anatomy, output


def _watch(
    backbone: nn.Module, blocks: tuple[nn.Module, ...], run: Callable[[], Any]
) -> tuple[Any, dict[int, int], list[int]]:
    """One forward pass: its output, when each module was first called, what the blocks return."""
    called: dict[int, int] = {}
    returns = [0] * len(blocks)
    places = {id(block): place for place, block in enumerate(blocks)}

    def before(module: nn.Module, _inputs: Any) -> None:
        called.setdefault(id(module), len(called))

    def after(module: nn.Module, _inputs: Any, output: Any) -> None:
        returns[places[id(module)]] = len(output) if isinstance(output, tuple) else 0

    handles = [module.register_forward_pre_hook(before) for module in backbone.modules()]
    handles += [block.register_forward_hook(after) for block in blocks]
    try:
        return run(), called, returns
    finally:
        for handle in handles:
            handle.remove()


def _find_blocks(backbone: nn.Module, layers: int) -> tuple[nn.Module, ...]:
    lists = [
        module
        for module in backbone.modules()
        if isinstance(module, nn.ModuleList) and len(module) == layers and layers > 0
    ]
    # A block may hold lists of its own (experts) that happen to be as long; the outer list has
    # more parameters than anything inside it.
    largest = max(lists, key=size_of, default=None)
    if largest is None or not size_of(largest):
        return ()
    return tuple(largest)


def units_of(backbone: nn.Module, blocks: tuple[nn.Module, ...]) -> list[nn.Module]:
    """The largest modules with parameters that contain no block and are inside none.

    Args:
        backbone: The backbone.
        blocks: Its blocks.
    """
    inside = {id(block) for block in blocks}
    units: list[nn.Module] = []

    def visit(module: nn.Module) -> None:
        for child in module.children():
            if id(child) in inside:
                continue
            if any(id(part) in inside for part in child.modules()):
                visit(child)
            elif size_of(child):
                units.append(child)

    visit(backbone)
    return units


def size_of(module: nn.Module) -> int:
    """The number of a module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
