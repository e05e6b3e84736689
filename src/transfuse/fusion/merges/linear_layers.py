"""The linear layers of a backbone: which weights are theirs, and what enters them.

A convolution of 1 × 1 is a linear layer as well, on the channels of each place; of many
convolutional networks these are most of the weights.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from transfuse.errors import ModelError, Problem
from transfuse.fusion.merges.family import Weights, backbone_of
from transfuse.models import Batch, Encoder

__all__ = ["Linear", "linear_layers", "linear_share", "names_by_layer", "products_of", "watching"]

Linear = nn.Linear | nn.Conv2d


def linear_layers(encoder: Encoder) -> dict[str, Linear]:
    """The linear layers of a backbone by the name of their weight.

    Args:
        encoder: The encoder.

    Raises:
        ModelError: If there are none.
    """
    backbone = backbone_of(encoder)
    found = {f"{name}.weight": part for name, part in backbone.named_modules() if _is_linear(part)}
    if not found:
        raise ModelError(
            Problem(
                type(backbone).__name__,
                "has no linear layers and no convolutions of 1 × 1, which this merge is about",
                "some of them",
                "Take a merge of all weights alike, such as soup, task_arithmetic or fisher.",
            )
        )
    return found


def _is_linear(part: nn.Module) -> bool:
    if isinstance(part, nn.Conv2d):
        return part.kernel_size == (1, 1) and part.groups == 1 and part.padding in ((0, 0), "valid")
    return isinstance(part, nn.Linear)


def linear_share(encoder: Encoder, names: Iterable[str]) -> float:
    """The share of a backbone's weights that some parameters are.

    Args:
        encoder: The encoder.
        names: Names of its backbone's parameters.
    """
    sizes = {name: each.numel() for name, each in backbone_of(encoder).named_parameters()}
    return float(round(sum(sizes[name] for name in names) / sum(sizes.values()), 4))


def names_by_layer(encoder: Encoder) -> list[list[str]]:
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
    for name, parameter in backbone_of(encoder).named_parameters():
        names[places.get(id(parameter), 0)].append(name)
    return names


@contextmanager
def watching(
    layers: dict[str, Linear], mask: torch.Tensor | None, products: Weights
) -> Iterator[None]:
    """Inside, XᵀX of what enters linear layers is added up, without padding.

    Args:
        layers: The layers by name.
        mask: 1 where a token is real, [n, T]. None: all are.
        products: Sums by name, float64 [in, in]; new ones start at 0.

    Yields:
        Nothing.
    """
    real = None if mask is None else mask.bool()

    def watch(name: str) -> "torch.utils.hooks.RemovableHandle":
        def take(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            given = args[0].detach()
            if isinstance(module, nn.Conv2d):
                high, wide = module.stride
                given = given[:, :, ::high, ::wide].movedim(1, -1)
            masked = real is not None and given.shape[:2] == real.shape
            rows = given[real] if masked else given.flatten(0, -2)
            # In 32 bits the sums of channels that are silent together are no longer positive.
            rows = rows.double()
            found = rows.T @ rows
            products[name] = products[name] + found if name in products else found

        return layers[name].register_forward_pre_hook(take)

    handles = [watch(name) for name in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def products_of(encoder: Encoder, layers: dict[str, Linear], batches: Iterable[Batch]) -> Weights:
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
            with watching(layers, batch.get("attention_mask"), products):
                encoder(batch)
    return products
