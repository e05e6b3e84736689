"""What the heads of pictures' places share."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from transfuse.models.encoder import Batch, Encoded
from transfuse.models.heads import Head
from transfuse.models.scenes.pyramid import Level, unpacked
from transfuse.models.source import seeded

__all__ = ["PlacesHead"]


class PlacesHead(Head):
    """A head that reads an encoder's feature maps.

    Each map gets a linear layer to one width, as in SegFormer's decode head (Xie et al., 2021,
    arXiv:2105.15203), and all of them are added at the resolution of the finest.

    Args:
        levels: The maps, from the coarsest on.
        labels: Names of the classes.
        width: Length of a place's vector.
        dropout: Share of its entries dropped in training.
    """

    deep = True
    inputs: nn.ModuleList

    def __init__(
        self, levels: Sequence[Level], labels: Sequence[str], width: int, dropout: float
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.labels = tuple(labels)
        self.problem_type = None
        self.width = width
        self.dropout = nn.Dropout(dropout)

    @property
    @abstractmethod
    def options(self) -> dict[str, Any]:
        """What the constructor takes besides levels and labels."""

    @abstractmethod
    def build(self) -> dict[str, nn.Module]:
        """The parts with fresh weights, by the attribute that holds each."""

    def start(self, seed: int) -> None:
        """Builds the parts.

        Args:
            seed: Seed of their weights.
        """
        with seeded(seed):
            parts = {"inputs": self._inputs(), **self.build()}
        for name, part in parts.items():
            setattr(self, name, part)

    def _inputs(self) -> nn.ModuleList:
        return nn.ModuleList(nn.Linear(level.channels, self.width) for level in self.levels)

    @property
    def linear(self) -> None:
        """See `Head.linear`; it is not."""
        return None

    def reset(self, seed: int) -> None:
        """See `Head.reset`; the weights are those that the constructor draws from this seed."""
        with seeded(seed):
            fresh = {"inputs": self._inputs(), **self.build()}
        for name, part in fresh.items():
            getattr(self, name).load_state_dict(part.state_dict())

    def forward(self, encoded: Encoded, batch: Batch) -> torch.Tensor:
        """See `Head.forward`; without tokens the answer is not a number, since there is none."""
        if encoded.tokens is None:
            return encoded.pooled.new_full((len(encoded.pooled), self.outputs), torch.nan)
        tokens = encoded.tokens
        if not torch.is_autocast_enabled(tokens.device.type):
            tokens = tokens.to(next(self.parameters()).dtype)
        maps = unpacked(tokens, self.levels)
        side = maps[-1].shape[-1]
        total = torch.zeros((), dtype=tokens.dtype, device=tokens.device)
        for layer, each in zip(self.inputs, maps, strict=True):
            thin = layer(each.movedim(1, 3)).movedim(3, 1)
            if thin.shape[-1] != side:
                thin = functional.interpolate(thin, (side, side), mode="bilinear")
            total = total + thin
        return self.answer(self.dropout(total))

    @abstractmethod
    def answer(self, places: torch.Tensor) -> torch.Tensor:
        """The logits from the vectors of all places.

        Args:
            places: [n, width, side, side].

        Returns:
            [n, outputs].
        """
