"""Encoders of one backbone that can be built anew in another size of its architecture.

What prunes a network, or takes layers of it for a student, talks to this interface and does not
know what the encoder reads.
"""

from abc import abstractmethod
from typing import Any, Protocol, Self

from torch import nn

from transfuse.models.encoder import Adaptable, Encoder

__all__ = ["Parts", "Resizable", "block_prefix"]


class Parts(Protocol):
    """What is known of a backbone's parts, from input to output."""

    @property
    def before(self) -> tuple[nn.Module, ...]:
        """Modules with parameters that run before the first block."""

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """The blocks in order; empty where none were found."""

    @property
    def after(self) -> tuple[nn.Module, ...]:
        """Modules with parameters that first run after the last block."""


class Resizable(Encoder):
    """An encoder of one backbone of transformers.

    Attributes:
        backbone: The backbone.
        config: The config that it was built from.
        anatomy: Its parts.
    """

    backbone: nn.Module
    config: Any
    anatomy: Parts

    def layers(self) -> list[list[nn.Module]]:
        """See `Encoder.layers`; a backbone without a row of blocks is one layer."""
        before, blocks = list(self.anatomy.before), self.anatomy.blocks
        after = list(self.anatomy.after)
        return [before, *[[block] for block in blocks[:-1]]] + (
            [[blocks[-1], *after]] if blocks else []
        )

    def adaptable(self) -> list[Adaptable]:
        """See `Encoder.adaptable`; around the backbone."""
        return [Adaptable(self, "backbone", self.reads[0])]

    @abstractmethod
    def fresh(self, config: Any) -> nn.Module:
        """A backbone with fresh weights from torch's global generator.

        Args:
            config: A config of the same architecture.
        """

    @abstractmethod
    def around(self, backbone: nn.Module, config: Any) -> Self:
        """The same encoder around another backbone: it reads and pools in the same way.

        Args:
            backbone: What `fresh` gave for the config.
            config: The config.
        """


def block_prefix(encoder: Resizable) -> str | None:
    """Under which name a backbone keeps its list of blocks, with a dot; None without such a list.

    Args:
        encoder: The encoder.
    """
    blocks = encoder.anatomy.blocks
    for name, module in encoder.backbone.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) and blocks and module[0] is blocks[0]:
            return f"{name}."
    return None
