"""The interface of a tuning, and the stages that it yields.

A tuning is a frozen dataclass of options. It prepares the network once (fresh weights, adapters)
and then yields stages. Each stage names the parameters that train and their rates; the training
loop builds a new optimizer for each, since a parameter that is unfrozen after the optimizer was
built never moves. Tunings speak of layers from input to output and know nothing of what an
encoder reads.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from torch import nn

from transfuse.models import Encoder, Network

__all__ = [
    "Group",
    "Stage",
    "Tuning",
    "frozen_layers",
    "head_group",
    "head_solvable",
    "layer_names",
]


@dataclass(frozen=True)
class Group:
    """Parameters that train at one rate."""

    names: frozenset[str]
    """Names as in `network.named_parameters()`."""

    learning_rate: float


@dataclass(frozen=True)
class Stage:
    """A stretch of training in which one set of parameters moves."""

    name: str
    groups: tuple[Group, ...]
    share: float = 1.0
    """Share of the run's steps; the shares of a tuning's stages add up to 1."""

    solve: bool = False
    """Whether an exact solver may take the place of training: only heads move."""

    @property
    def names(self) -> frozenset[str]:
        """The names of all parameters that train."""
        return frozenset().union(*(group.names for group in self.groups))


@dataclass(frozen=True)
class Tuning(ABC):
    """What moves.

    Raises:
        ValueError: If an option named `learning_rate` or `..._learning_rate` is not a number
            above 0.
    """

    def __post_init__(self) -> None:
        for option in fields(self):
            rate = getattr(self, option.name)
            if option.name.endswith("learning_rate") and not 0 < rate < math.inf:
                raise ValueError(f"{option.name} is a number above 0")

    def prepare(self, network: Network, seed: int) -> None:
        """Change the network before training, in place: fresh weights, adapters.

        Args:
            network: The network with its source weights.
            seed: Seed of whatever is drawn.
        """
        return

    def export(self, network: Network, folder: Path) -> None:
        """Write what moved on its own, where it has a form of its own, before `finish`.

        Args:
            network: The trained network.
            folder: The model folder.
        """
        return

    def finish(self, network: Network) -> None:
        """Bring the trained network back to the source's architecture, in place.

        Args:
            network: The trained network.
        """
        return

    @abstractmethod
    def stages(self, network: Network) -> tuple[Stage, ...]:
        """The stages of training, in order, for a prepared network."""


def frozen_layers(encoder: Encoder, training: Iterable[nn.Parameter]) -> int:
    """How many of an encoder's layers, from the input on, hold nothing that trains.

    Args:
        encoder: The encoder.
        training: Every parameter that trains.

    Returns:
        0 to `encoder.depth`.
    """
    moving = {id(parameter) for parameter in training}
    for index, layer in enumerate(encoder.layers()):
        if any(id(weight) in moving for module in layer for weight in module.parameters()):
            return index
    return encoder.depth


def layer_names(network: Network) -> list[frozenset[str]]:
    """Names of the encoders' parameters by layer, from input to output.

    Several encoders are aligned at their outputs: the last entry holds the last layer of each.
    Parameters of an encoder outside its layers count to the first.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    stacks = []
    for encoder in network.encoders.values():
        assert isinstance(encoder, Encoder)
        layers = [
            {names[id(weight)] for module in layer for weight in module.parameters()}
            for layer in encoder.layers()
        ]
        everything = {names[id(weight)] for weight in encoder.parameters()}
        layers[0] |= everything.difference(*layers)
        stacks.append(layers)
    depth = max(len(stack) for stack in stacks)
    aligned = [[set[str]()] * (depth - len(stack)) + stack for stack in stacks]
    return [frozenset().union(*level) for level in zip(*aligned, strict=True)]


def head_solvable(network: Network) -> bool:
    """Whether what stands outside the encoders is heads alone, which a solver may fit.

    The losses are not convex in the weights of a fusion.
    """
    return not list(network.fusion.parameters())


def head_group(network: Network, learning_rate: float) -> Group:
    """The parameters outside the encoders: fusion and heads, which every tuning trains."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    modules: Sequence[nn.Module] = (network.fusion, network.heads)
    return Group(
        frozenset(names[id(weight)] for module in modules for weight in module.parameters()),
        learning_rate,
    )
