"""The linear layers of a backbone: which weights are theirs, and what enters them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from transfuse.fusion.merges.family import Weights
from transfuse.models import Batch, TextEncoder

__all__ = ["linear_layers", "names_by_layer", "products_of", "watching"]


def linear_layers(encoder: TextEncoder) -> dict[str, nn.Linear]:
    """The linear layers of a backbone by the name of their weight.

    Args:
        encoder: The encoder.
    """
    return {
        f"{name}.weight": part
        for name, part in encoder.backbone.named_modules()
        if isinstance(part, nn.Linear)
    }


def names_by_layer(encoder: TextEncoder) -> list[list[str]]:
    """The names of the backbone's parameters, from input to output.

    Args:
        encoder: The encoder.

    Returns:
        One list for each of the encoder's layers. What no layer owns stands in the first.
    """
    places = {
        id(parameter): place
        for place, layer in enumerate(encoder.layers())
        for module in layer
        for parameter in module.parameters()
    }
    names: list[list[str]] = [[] for _ in range(encoder.depth)]
    for name, parameter in encoder.backbone.named_parameters():
        names[places.get(id(parameter), 0)].append(name)
    return names


@contextmanager
def watching(layers: dict[str, nn.Linear], mask: torch.Tensor, products: Weights) -> Iterator[None]:
    """Inside, XᵀX of what enters linear layers is added up, without padding.

    Args:
        layers: The layers by name.
        mask: 1 where a token is real, [n, T].
        products: Sums by name, float64 [in, in]; new ones start at 0.

    Yields:
        Nothing.
    """
    real = mask.bool()

    def watch(name: str) -> "torch.utils.hooks.RemovableHandle":
        def take(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            given = args[0].detach()
            rows = given[real] if given.shape[:2] == real.shape else given.flatten(0, -2)
            found = (rows.T @ rows).double()
            products[name] = products[name] + found if name in products else found

        return layers[name].register_forward_pre_hook(take)

    handles = [watch(name) for name in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def products_of(
    encoder: TextEncoder, layers: dict[str, nn.Linear], batches: Iterable[Batch]
) -> Weights:
    """XᵀX of what enters linear layers in a plain forward pass.

    Args:
        encoder: The encoder; `layers` are its own.
        layers: The layers by name.
        batches: The rows.

    Returns:
        Sums over tokens by name, float64 [in, in]; a layer that no pass calls is missing.
    """
    products: Weights = {}
    with torch.no_grad():
        for batch in batches:
            with watching(layers, batch["attention_mask"], products):
                encoder(batch)
    return products
