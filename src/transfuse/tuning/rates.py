"""All layers, each at a rate of its own."""

import math
from dataclasses import dataclass

from transfuse.models import Network
from transfuse.tuning.base import Group, Stage, Tuning, head_group, layer_names

__all__ = ["Discriminative", "Layerwise"]


@dataclass(frozen=True)
class Layerwise(Tuning):
    """Full fine-tuning with layer-wise rate decay: each layer moves less than the one above it.

    The rate of the layer i places below the top is learning_rate * decay ** i (Clark et al., 2020,
    arXiv:2003.10555; with decay = 1/2.6 the discriminative fine-tuning of ULMFiT).
    """

    learning_rate: float = 1e-4
    """Peak rate of the top layer. Default: 1e-4."""

    decay: float = 0.8
    """Factor from one layer to the one below, 0 to 1. Default: 0.8."""

    head_learning_rate: float = 1e-3
    """Peak rate of the head. Default: 1e-3."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.decay <= 1:
            raise ValueError("decay lies in (0, 1]")

    def stages(self, network: Network) -> tuple[Stage, ...]:
        """One stage with a group per layer."""
        groups = [
            Group(names, self.learning_rate * self.decay**below)
            for below, names in enumerate(reversed(layer_names(network)))
            if names
        ]
        return (Stage("layerwise", (*groups, head_group(network, self.head_learning_rate))),)


@dataclass(frozen=True)
class Discriminative(Tuning):
    """Full fine-tuning with the rates of the layers given, from input to output."""

    rates: tuple[float, ...] = (1e-5, 3e-5, 1e-4)
    """Peak rates from the input's layers to the output's; the layers are divided evenly among
    them. 0 freezes. Default: 1e-5, 3e-5, 1e-4."""

    head_learning_rate: float = 1e-3
    """Peak rate of the head. Default: 1e-3."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.rates or not all(0 <= rate < math.inf for rate in self.rates):
            raise ValueError("rates holds at least one rate, each 0 or above")

    def stages(self, network: Network) -> tuple[Stage, ...]:
        """One stage with a group per layer that moves."""
        layers = layer_names(network)
        groups = []
        for index, names in enumerate(layers):
            rate = self.rates[index * len(self.rates) // len(layers)]
            if rate > 0 and names:
                groups.append(Group(names, rate))
        return (Stage("discriminative", (*groups, head_group(network, self.head_learning_rate))),)
